//! Reads one section key by key. A key that was asked for is known; what is left at the end is not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use crate::config::check::Finding;
use crate::config::nearest::nearest;
use crate::config::tree::{Node, Scalar, Table, Value};
use crate::config::{Place, Places, Problem, SecretGrant, SecretGrants};

/// Collects problems, and the places of what was set.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
    /// What is good and cannot be meant.
    pub(super) warnings: Vec<Problem>,
    pub(super) places: Places,
}

/// One section while it is read.
#[derive(Debug)]
pub(super) struct Section<'r> {
    reader: &'r mut Reader,
    /// Its whole key; empty for the root.
    path: String,
    left: BTreeMap<String, Node>,
    known: Vec<&'static str>,
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl Reader {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems, warnings: Vec::new(), places: Places::default() }
    }

    pub(super) fn root(&mut self, table: Table, read: impl FnOnce(&mut Section<'_>)) {
        self.section(String::new(), table, read);
    }

    fn section(&mut self, path: String, table: Table, read: impl FnOnce(&mut Section<'_>)) {
        self.places.insert(path.clone(), table.place);
        let mut section = Section { reader: self, path, left: table.entries, known: Vec::new() };
        read(&mut section);
        section.finish();
    }

    /// Takes everything that the check found.
    pub(super) fn add(&mut self, findings: Vec<Finding>) {
        // A key that could not be read has been reported, and what was checked is its default. A key that could be read
        // may have more than one finding.
        let unread: BTreeSet<_> = self.problems.iter().map(|problem| problem.key.clone()).collect();
        for finding in findings.into_iter().filter(|finding| !unread.contains(&finding.key)) {
            let place = self.places.of(&finding.key);
            self.problems.push(finding.at(place));
        }
    }

    /// The same of what is good and does nothing.
    pub(super) fn warn(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            let place = self.places.of(&finding.key);
            self.warnings.push(finding.at(place));
        }
    }

    fn secret_of_table(&mut self, path: String, table: Table, name: &str, into: &mut SecretGrants) {
        self.section(path, table, |section| {
            let mut from = None;
            let mut hosts = None;
            section.key("from", &mut from, |scalar| super::value::secret(scalar).map(Some));
            section.require("from", "say where the secret is: `from = \"env:NAME\"`");
            section.key("hosts", &mut hosts, |scalar| super::value::list(scalar).map(Some));
            if let Some(from) = from {
                into.insert(name.to_owned(), SecretGrant { from, hosts });
            }
        });
    }
}

impl Section<'_> {
    /// Reads `key` into `into`, where it is there. Says whether it was.
    pub(super) fn key<T>(
        &mut self,
        key: &'static str,
        into: &mut T,
        read: impl FnOnce(&Scalar) -> Result<T, String>,
    ) -> bool {
        self.known.push(key);
        let Some(node) = self.left.remove(key) else { return false };
        let path = join(&self.path, key);
        let place = node.place().clone();
        let value = match &node {
            Node::Value(value) => read(&value.scalar),
            Node::Table(_) => Err("is a section, expected a value".to_owned()),
        };
        match value {
            Ok(value) => *into = value,
            Err(message) => self.reader.problems.push(Problem::new(place.clone(), path.clone(), message)),
        }
        self.reader.places.insert(path, place);
        true
    }

    /// Reports `key`, read before, where it is missing.
    pub(super) fn require(&mut self, key: &'static str, hint: &str) {
        let path = join(&self.path, key);
        if self.reader.places.get(&path).is_none() {
            let place = self.reader.places.of(&self.path);
            self.reader.problems.push(Problem::new(place, path, "is missing").hint(hint));
        }
    }

    /// Reports `key`, read before.
    pub(super) fn complain(&mut self, key: &'static str, message: String) {
        let path = join(&self.path, key);
        let place = self.reader.places.of(&path);
        self.reader.problems.push(Problem::new(place, path, message));
    }

    /// Warns of `key`, read before.
    pub(super) fn warn(&mut self, key: &'static str, message: &str, hint: &str) {
        let path = join(&self.path, key);
        let place = self.reader.places.of(&path);
        self.reader.warnings.push(Problem::new(place, path, message).hint(hint));
    }

    /// Reads the list `key` into `into`, where it is there. Each entry that is not good is a problem of its own. Tells
    /// whether it is there and all of it is good.
    pub(super) fn entries<T>(
        &mut self,
        key: &'static str,
        into: &mut Vec<T>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> bool {
        let mut texts: Option<Vec<String>> = None;
        self.key(key, &mut texts, |scalar| super::value::list(scalar).map(Some));
        let Some(texts) = texts else { return false };
        into.clear();
        for text in &texts {
            match read(text) {
                Ok(value) => into.push(value),
                Err(message) => self.complain(key, message),
            }
        }
        into.len() == texts.len()
    }

    /// Reads the section `key` within this one, where it is there.
    pub(super) fn section(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>)) {
        self.known.push(key);
        let Some(node) = self.left.remove(key) else { return };
        self.enter(key, node, read);
    }

    /// Reads every section within this one, whatever its name.
    pub(super) fn each(&mut self, mut read: impl FnMut(&str, &mut Section<'_>)) {
        for (key, node) in std::mem::take(&mut self.left) {
            self.enter(&key, node, |section| read(&key, section));
        }
    }

    /// Reads every section of the list `key`, `[[key]]`, where there are some. Their keys are numbered from 0.
    pub(super) fn tables(&mut self, key: &'static str, mut read: impl FnMut(&mut Section<'_>)) {
        self.known.push(key);
        let Some(node) = self.left.remove(key) else { return };
        let path = join(&self.path, key);
        self.reader.places.insert(path.clone(), node.place().clone());
        let Node::Value(Value { scalar: Scalar::Array(items), .. }) = node else {
            let message = format!("is no list of sections, expected `[[{path}]]`");
            self.reader.problems.push(Problem::new(node.place().clone(), path, message));
            return;
        };
        for (number, item) in items.into_iter().enumerate() {
            let path = join(&path, &number.to_string());
            match item {
                Node::Table(table) => self.reader.section(path, table, &mut read),
                Node::Value(value) => {
                    let message = format!("is {}, expected a section", value.scalar.kind());
                    self.reader.problems.push(Problem::new(value.place, path, message));
                }
            }
        }
    }

    fn enter(&mut self, key: &str, node: Node, read: impl FnOnce(&mut Section<'_>)) {
        let path = join(&self.path, key);
        match node {
            Node::Table(table) => self.reader.section(path, table, read),
            Node::Value(value) => {
                let message = format!("is {}, expected a section `[{path}]`", value.scalar.kind());
                self.reader.problems.push(Problem::new(value.place, path, message));
            }
        }
    }

    /// Reports this whole section and does not look at its keys.
    pub(super) fn refuse(&mut self, message: &str) {
        self.left.clear();
        let place = self.reader.places.of(&self.path);
        self.reader.problems.push(Problem::new(place, self.path.clone(), format!("has a bad name: {message}")));
    }

    /// Reads the section `key` as what is handed to a plugin: any keys, any values. No message quotes one: it may be a
    /// secret.
    pub(super) fn json(&mut self, key: &'static str, into: &mut Map<String, Json>) {
        self.known.push(key);
        let Some(node) = self.left.remove(key) else { return };
        let path = join(&self.path, key);
        let place = node.place().clone();
        // A plugin may have something to say of any of it.
        note(&mut self.reader.places, &path, &node);
        let read = match &node {
            Node::Table(table) => json_object(table),
            Node::Value(_) => Err((place, "is a value, expected a section")),
        };
        match read {
            Ok(map) => *into = map,
            Err((place, message)) => self.reader.problems.push(Problem::new(place, path, message)),
        }
    }

    /// Reads the section `key` as references to secrets: `token = "env:TOKEN"`, or a section with `from` and `hosts`.
    /// No message quotes a value: somebody may have written the secret itself.
    pub(super) fn secrets(&mut self, key: &'static str, into: &mut SecretGrants) {
        self.section(key, |section| {
            for (name, node) in std::mem::take(&mut section.left) {
                let path = join(&section.path, &name);
                let place = node.place().clone();
                section.reader.places.insert(path.clone(), place.clone());
                let read = match node {
                    Node::Value(value) => {
                        super::value::secret(&value.scalar).map(|from| SecretGrant { from, hosts: None })
                    }
                    Node::Table(table) => {
                        section.reader.secret_of_table(path, table, &name, into);
                        continue;
                    }
                };
                match read {
                    Ok(grant) => {
                        into.insert(name, grant);
                    }
                    Err(message) => section.reader.problems.push(Problem::new(place, path, message)),
                }
            }
        });
    }

    fn finish(self) {
        let Self { reader, path, left, known } = self;
        for (key, node) in left {
            let problem = Problem::new(node.place().clone(), join(&path, &key), "is not a known key");
            reader.problems.push(problem.hint(nearest_hint(&key, &known)));
        }
    }
}

/// The nearest of `known`, or all of them where none is near.
fn nearest_hint(key: &str, known: &[&str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: `{}`", known.join("`, `")),
    }
}

/// Notes the places of a node and of all below it; of an array's entries by their numbers, from 0.
fn note(places: &mut Places, path: &str, node: &Node) {
    places.insert(path.to_owned(), node.place().clone());
    match node {
        Node::Table(table) => table.entries.iter().for_each(|(key, node)| note(places, &join(path, key), node)),
        Node::Value(value) => {
            if let Scalar::Array(items) = &value.scalar {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(number, item)| note(places, &join(path, &number.to_string()), item));
            }
        }
    }
}

fn json_object(table: &Table) -> Result<Map<String, Json>, (Place, &'static str)> {
    table.entries.iter().map(|(key, node)| Ok((key.clone(), json(node)?))).collect()
}

fn json(node: &Node) -> Result<Json, (Place, &'static str)> {
    match node {
        Node::Table(table) => json_object(table).map(Json::Object),
        Node::Value(value) => match &value.scalar {
            Scalar::Text(text) | Scalar::String(text) | Scalar::Datetime(text) => Ok(Json::String(text.clone())),
            Scalar::Integer(number) => Ok((*number).into()),
            Scalar::Float(number) => serde_json::Number::from_f64(*number)
                .map(Json::Number)
                .ok_or_else(|| (value.place.clone(), "holds a number that JSON has no word for")),
            Scalar::Boolean(value) => Ok((*value).into()),
            Scalar::Array(items) => items.iter().map(json).collect::<Result<_, _>>().map(Json::Array),
        },
    }
}
