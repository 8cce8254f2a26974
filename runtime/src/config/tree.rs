//! What was written, before it means anything: one tree of keys out of file, environment and flags, in which every
//! node knows its place.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Place, Problem};

/// A section or a value.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Table(Table),
    Value(Value),
}

impl Node {
    pub(super) fn place(&self) -> &Place {
        match self {
            Self::Table(table) => &table.place,
            Self::Value(value) => &value.place,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) place: Place,
    pub(super) entries: BTreeMap<String, Node>,
}

#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) place: Place,
    pub(super) scalar: Scalar,
}

#[derive(Clone, Debug)]
pub(super) enum Scalar {
    /// From the environment or a flag: has no type until its reader gives it one.
    Text(String),
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    Array(Vec<Node>),
}

impl Scalar {
    /// What it is, for messages.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Datetime(_) => "a date",
            Self::Array(_) => "an array",
        }
    }

    /// `text` as the type of `self`, where it reads as such.
    fn retyped(&self, text: &str) -> Option<Self> {
        match self {
            Self::Integer(_) => text.parse().map(Self::Integer).ok(),
            Self::Float(_) => text.parse().map(Self::Float).ok(),
            Self::Boolean(_) => text.parse().map(Self::Boolean).ok(),
            Self::Text(_) | Self::String(_) | Self::Datetime(_) | Self::Array(_) => None,
        }
    }
}

impl Table {
    pub(super) fn empty(place: Place) -> Self {
        Self { place, entries: BTreeMap::new() }
    }

    /// Reads a file's text. What is not TOML is reported, all of it, and the rest is kept.
    pub(super) fn parse(path: &Arc<Path>, text: &str, problems: &mut Vec<Problem>) -> Self {
        let lines = Lines { path, text };
        let (document, errors) = DeTable::parse_recoverable(text);
        problems.extend(errors.iter().map(|error| {
            let at = error.span().map_or(0, |span| span.start);
            // Not the error's `Display`: that one shows the line, and with it perhaps a secret.
            Problem::new(lines.place(at), "", error.message())
        }));
        lines.table(Place::File { path: path.clone(), line: 1 }, document.get_ref(), problems)
    }

    /// Puts `text` at the end of `keys`, over what is there. A key finds an existing one in another case and with `-`
    /// for `_`, because the name of a variable can spell neither.
    ///
    /// Fails where a section is needed and a value stands, or the other way round.
    pub(super) fn put(&mut self, keys: &[String], text: String, place: &Place) -> Result<(), String> {
        let Some((key, rest)) = keys.split_first() else { return Ok(()) };
        let key = self.entries.keys().find(|existing| same(existing, key)).unwrap_or(key).clone();
        match (self.entries.get_mut(&key), rest) {
            (Some(Node::Table(table)), []) => Err(format!("is a section, see {}: name a key of it", table.place)),
            (Some(Node::Value(value)), []) => {
                let scalar = value.scalar.retyped(&text).unwrap_or(Scalar::Text(text));
                *value = Value { place: place.clone(), scalar };
                Ok(())
            }
            (Some(Node::Value(value)), _) => Err(format!("needs a section, and a value stands at {}", value.place)),
            (Some(Node::Table(table)), rest) => table.put(rest, text, place),
            (None, []) => {
                self.entries.insert(key, Node::Value(Value { place: place.clone(), scalar: Scalar::Text(text) }));
                Ok(())
            }
            (None, rest) => {
                let mut table = Self::empty(place.clone());
                let put = table.put(rest, text, place);
                self.entries.insert(key, Node::Table(table));
                put
            }
        }
    }
}

/// Whether a variable's spelling of a key means this key.
fn same(existing: &str, spelled: &str) -> bool {
    existing.len() == spelled.len()
        && existing.chars().zip(spelled.chars()).all(|(a, b)| a.eq_ignore_ascii_case(&b) || (a == '-' && b == '_'))
}

struct Lines<'a> {
    path: &'a Arc<Path>,
    text: &'a str,
}

impl Lines<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.as_bytes().iter().take(offset);
        Place::File { path: self.path.clone(), line: 1 + before.filter(|byte| **byte == b'\n').count() }
    }

    fn table(&self, place: Place, table: &DeTable<'_>, problems: &mut Vec<Problem>) -> Table {
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let key: &Spanned<std::borrow::Cow<'_, str>> = key;
            let place = self.place(key.span().start);
            (key.get_ref().to_string(), self.node(place, value.get_ref(), problems))
        };
        Table { place, entries: table.iter().map(entry).collect() }
    }

    fn node(&self, place: Place, value: &DeValue<'_>, problems: &mut Vec<Problem>) -> Node {
        let scalar = match value {
            DeValue::Table(table) => return Node::Table(self.table(place, table, problems)),
            DeValue::String(text) => Scalar::String(text.to_string()),
            DeValue::Integer(number) => {
                let digits = number.as_str();
                Scalar::Integer(i64::from_str_radix(digits, number.radix()).unwrap_or_else(|_| {
                    let message = format!("the number `{digits}` does not fit 64 bits");
                    problems.push(Problem::new(place.clone(), "", message));
                    0
                }))
            }
            // The parser has checked the spelling; `inf` and `nan` are read too, and refused by whoever checks ranges.
            DeValue::Float(number) => Scalar::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Scalar::Boolean(*value),
            DeValue::Datetime(at) => Scalar::Datetime(at.to_string()),
            DeValue::Array(items) => Scalar::Array(
                items.iter().map(|item| self.node(self.place(item.span().start), item.get_ref(), problems)).collect(),
            ),
        };
        Node::Value(Value { place, scalar })
    }
}
