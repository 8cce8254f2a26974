//! A small decoder for JSON that goes on after the first problem.
//!
//! serde stops at what it cannot take. A caller is better served by all that is wrong, so an object is split into its
//! fields first, each still JSON text, and every field is then read for itself. Nothing here recurses: what is nested
//! where it should not be is of the wrong type, and `data` is handed on as text.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::config::nearest;
use crate::intake::{Problem, ProblemCode, Problems, pointer};

/// Fields of one object that are looked at. The widest object that makes sense has 64 pairs of metadata.
const FIELDS_MAX: usize = 1_024;

/// A key that is repeated in a message or compared with known ones is cut to this.
const KEY_CHARS_MAX: usize = 64;

/// A JSON text, checked for syntax, that is not decoded yet.
pub(super) type Raw<'a> = &'a RawValue;

/// An object whose fields are taken one by one.
pub(super) struct Object<'a> {
    /// Its JSON Pointer.
    at: String,
    fields: Vec<(Cow<'a, str>, Raw<'a>)>,
}

impl<'a> Object<'a> {
    /// The object that `raw` is, or nothing and a problem.
    pub(super) fn read(at: String, raw: Raw<'a>, problems: &mut Problems) -> Option<Self> {
        match serde_json::from_str::<Fields<'a>>(raw.get()) {
            Ok(fields) => {
                if fields.overflown {
                    problems.add(&*at, ProblemCode::TooMany, format!("more than {FIELDS_MAX} fields"));
                }
                Some(Self { at, fields: fields.list })
            }
            Err(_) => {
                wrong_type(&at, "an object", raw, problems);
                None
            }
        }
    }

    /// The pointer of one of its fields.
    pub(super) fn at(&self, name: &str) -> String {
        pointer(&self.at, name)
    }

    /// The value of a field; `null` is as good as nothing.
    pub(super) fn take(&mut self, name: &str, problems: &mut Problems) -> Option<Raw<'a>> {
        let place = self.fields.iter().position(|(key, _)| key == name)?;
        let (_, value) = self.fields.remove(place);
        while let Some(again) = self.fields.iter().position(|(key, _)| key == name) {
            self.fields.remove(again);
            problems.add(self.at(name), ProblemCode::DuplicateField, "the field is there twice");
        }
        (value.get() != "null").then_some(value)
    }

    /// A string.
    pub(super) fn text(&mut self, name: &str, problems: &mut Problems) -> Option<String> {
        let raw = self.take(name, problems)?;
        text(raw, || self.at(name), problems)
    }

    /// A string that is read further; what it should be is said by `parse`'s error.
    pub(super) fn parsed<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
        problems: &mut Problems,
    ) -> Option<T> {
        let text = self.text(name, problems)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                problems.add(self.at(name), ProblemCode::BadValue, error.to_string());
                None
            }
        }
    }

    /// The first `max` entries of an array; empty where the field is not there.
    pub(super) fn list(&mut self, name: &str, max: usize, problems: &mut Problems) -> Vec<Raw<'a>> {
        let Some(raw) = self.take(name, problems) else { return Vec::new() };
        let Some((list, count)) = entries(raw, max) else {
            wrong_type(&self.at(name), "an array", raw, problems);
            return Vec::new();
        };
        if count > max {
            problems.add(self.at(name), ProblemCode::TooMany, format!("{count} entries, the limit is {max}"));
        }
        list
    }

    /// An object in it.
    pub(super) fn object(&mut self, name: &str, problems: &mut Problems) -> Option<Object<'a>> {
        let raw = self.take(name, problems)?;
        Object::read(self.at(name), raw, problems)
    }

    /// Every field that is left, as a pair of strings. One that is none stays, empty, so that places keep.
    pub(super) fn pairs(self, problems: &mut Problems) -> Vec<(String, String)> {
        let Self { at, fields } = self;
        let pair = |(key, raw): (Cow<'a, str>, Raw<'a>)| {
            let value = text(raw, || pointer(&at, &key), problems).unwrap_or_default();
            (key.into_owned(), value)
        };
        fields.into_iter().map(pair).collect()
    }

    /// Notes every field that nobody took. `known` are the fields there are, `others` what they are called elsewhere.
    pub(super) fn finish(self, known: &[&str], others: &[(&str, &str)], problems: &mut Problems) {
        for (key, _) in &self.fields {
            let key: String = key.chars().take(KEY_CHARS_MAX).collect();
            let elsewhere = others.iter().find(|(name, _)| *name == key).map(|(_, ours)| *ours);
            let meant = elsewhere.or_else(|| nearest(&key, known.iter().copied()));
            problems.push(Problem {
                at: self.at(&key),
                code: ProblemCode::UnknownField,
                message: format!("there is no field `{key}`"),
                hint: meant.map(|name| format!("did you mean `{name}`?")),
            });
        }
    }
}

/// The string that `raw` is, or nothing and a problem.
pub(super) fn text(raw: Raw<'_>, at: impl FnOnce() -> String, problems: &mut Problems) -> Option<String> {
    let text = decode(raw);
    if text.is_none() {
        if raw.get().starts_with('"') {
            problems.add(at(), ProblemCode::BadValue, "has an escape that stands for no character");
        } else {
            wrong_type(&at(), "a string", raw, problems);
        }
    }
    text
}

/// Whether `raw` is a string.
pub(super) fn is_text(raw: Raw<'_>) -> bool {
    raw.get().starts_with('"')
}

fn decode<'a, T: Deserialize<'a>>(raw: Raw<'a>) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// The same, where nothing may be borrowed.
pub(super) fn decode_owned<T: DeserializeOwned>(raw: Raw<'_>) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// Notes that `raw` should have been something else.
pub(super) fn wrong_type(at: &str, expected: &str, raw: Raw<'_>, problems: &mut Problems) {
    let found = match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    };
    problems.add(at, ProblemCode::WrongType, format!("must be {expected} and is {found}"));
}

/// The first `max` entries of the array that `raw` is, and how many there are.
pub(super) fn entries<'a>(raw: Raw<'a>, max: usize) -> Option<(Vec<Raw<'a>>, usize)> {
    struct EntriesVisitor(usize);
    impl<'de> Visitor<'de> for EntriesVisitor {
        type Value = (Vec<Raw<'de>>, usize);

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut list = Vec::new();
            while list.len() < self.0 {
                match seq.next_element()? {
                    Some(entry) => list.push(entry),
                    None => {
                        let count = list.len();
                        return Ok((list, count));
                    }
                }
            }
            let mut count = list.len();
            while seq.next_element::<IgnoredAny>()?.is_some() {
                count += 1;
            }
            Ok((list, count))
        }
    }
    serde_json::Deserializer::from_str(raw.get()).deserialize_seq(EntriesVisitor(max)).ok()
}

/// An object's fields in their order, duplicates included.
struct Fields<'a> {
    list: Vec<(Cow<'a, str>, Raw<'a>)>,
    overflown: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields { list: Vec::new(), overflown: false };
                while let Some(Key(key)) = map.next_key()? {
                    if fields.list.len() < FIELDS_MAX {
                        fields.list.push((key, map.next_value()?));
                    } else {
                        fields.overflown = true;
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// A key, borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}
