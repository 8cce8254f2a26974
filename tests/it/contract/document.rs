//! The contract as a document: every world, interface, type and function, with what its files say of it, linked.

use std::fmt::Write as _;

use wit_parser::{
    Docs, Interface, InterfaceId, PackageId, Resolve, Type, TypeDef, TypeDefKind, TypeOwner, WorldItem, WorldKey,
};

use super::shape;

const HEAD: &str = "<!-- Made from the files of this folder by `make contract-docs`. -->\n
Every world, interface, type and function of the contract. [README.md](README.md) says what is promised of it.
`option<…>` may be left out, `list<…>` may be empty, `pairs` are names with their values.\n";

/// Which of an interface's sides is the plugin's.
const VALUES: &str = "## Values\n\nWhat crosses the border in both directions.\n";
const EXPORTS: &str = "## What a plugin exports\n\nThe host calls these. Each runs in a fresh instance.\n";
const IMPORTS: &str =
    "## What the host offers\n\nA plugin imports what it uses. What is not granted answers `denied`.\n";

/// The whole document.
pub(super) fn write(resolve: &Resolve, package: PackageId) -> String {
    let all = &resolve.packages[package];
    let mut text = format!("# `{}`\n\n{HEAD}\n", all.name);
    let host = &resolve.worlds[*all.worlds.get("host").expect("the world `host` binds everything")];
    let ids = |part: &Items| -> Vec<InterfaceId> { part.values().filter_map(interface).collect() };
    let (exports, imports) = (ids(&host.exports), ids(&host.imports));
    let types = *all.interfaces.get("types").expect("the interface `types`");
    contents(resolve, &mut text, types, &exports, &imports);
    worlds(resolve, package, &mut text);
    text.push_str(VALUES);
    section(resolve, &mut text, types);
    for (head, part) in [(EXPORTS, exports), (IMPORTS, imports)] {
        write!(text, "\n{head}").expect("a text grows");
        for id in part.into_iter().filter(|id| *id != types) {
            section(resolve, &mut text, id);
        }
    }
    text
}

type Items = wit_parser::IndexMap<WorldKey, WorldItem>;

fn interface(item: &WorldItem) -> Option<InterfaceId> {
    match item {
        WorldItem::Interface { id, .. } => Some(*id),
        WorldItem::Function(_) | WorldItem::Type { .. } => None,
    }
}

fn name_of(resolve: &Resolve, id: InterfaceId) -> &str {
    resolve.interfaces[id].name.as_deref().expect("every interface of the contract has a name")
}

fn link(name: &str) -> String {
    format!("[`{name}`](#{name})")
}

fn contents(
    resolve: &Resolve,
    text: &mut String,
    types: InterfaceId,
    exports: &[InterfaceId],
    imports: &[InterfaceId],
) {
    let list = |ids: &[InterfaceId]| {
        let linked = ids.iter().filter(|id| **id != types).map(|id| link(name_of(resolve, *id)));
        linked.collect::<Vec<_>>().join(", ")
    };
    writeln!(text, "- [Worlds](#worlds)\n- [Values](#values): {}", link("types")).expect("a text grows");
    writeln!(text, "- [What a plugin exports](#what-a-plugin-exports): {}", list(exports)).expect("a text grows");
    writeln!(text, "- [What the host offers](#what-the-host-offers): {}\n", list(imports)).expect("a text grows");
}

fn worlds(resolve: &Resolve, package: PackageId, text: &mut String) {
    text.push_str("## Worlds\n\n| world | imports | exports | |\n|---|---|---|---|\n");
    for (name, id) in &resolve.packages[package].worlds {
        let world = &resolve.worlds[*id];
        let list = |items: &Items| {
            let linked = items.values().filter_map(interface).map(|id| link(name_of(resolve, id)));
            linked.collect::<Vec<_>>().join(", ")
        };
        let (imports, exports) = (list(&world.imports), list(&world.exports));
        writeln!(text, "| `{name}` | {imports} | {exports} | {} |", cell(&world.docs)).expect("a text grows");
    }
    text.push('\n');
}

/// What the files say, as paragraphs.
fn paragraphs(docs: &Docs) -> String {
    docs.contents.as_deref().map(|docs| format!("{}\n\n", docs.trim())).unwrap_or_default()
}

/// What the files say, for a table.
fn cell(docs: &Docs) -> String {
    let docs = docs.contents.as_deref().unwrap_or_default();
    docs.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn section(resolve: &Resolve, text: &mut String, id: InterfaceId) {
    let interface = &resolve.interfaces[id];
    let name = name_of(resolve, id);
    write!(text, "\n### {name}\n\n{}", paragraphs(&interface.docs)).expect("a text grows");
    for (function, what) in &interface.functions {
        let signature = shape::signature(resolve, what);
        write!(text, "#### {name}: {function}\n\n`{function}: {signature}`\n\n").expect("a text grows");
        let mut named: Vec<String> = Vec::new();
        let types = what.params.iter().map(|param| &param.ty).chain(&what.result);
        types.for_each(|ty| mentions(resolve, ty, &mut named));
        if !named.is_empty() {
            write!(text, "Types: {}.\n\n", named.join(", ")).expect("a text grows");
        }
        text.push_str(&paragraphs(&what.docs));
    }
    for (ty, id) in &interface.types {
        let definition = &resolve.types[*id];
        if !is_used_from_elsewhere(resolve, interface, definition) {
            one_type(resolve, text, name, ty, definition);
        }
    }
}

/// `use types.{…}`: it is documented where it comes from.
fn is_used_from_elsewhere(resolve: &Resolve, interface: &Interface, ty: &TypeDef) -> bool {
    let TypeDefKind::Type(Type::Id(id)) = ty.kind else { return false };
    let origin = &resolve.types[id];
    ty.name == origin.name
        && matches!(origin.owner, TypeOwner::Interface(owner) if resolve.interfaces[owner].name != interface.name)
}

fn one_type(resolve: &Resolve, text: &mut String, interface: &str, name: &str, ty: &TypeDef) {
    let docs = paragraphs(&ty.docs);
    let rows: Vec<(String, String, String)> = match &ty.kind {
        TypeDefKind::Record(record) => {
            let row = |field: &wit_parser::Field| (field.name.clone(), linked(resolve, &field.ty), cell(&field.docs));
            record.fields.iter().map(row).collect()
        }
        TypeDefKind::Variant(variant) => {
            let linked = |ty: &Option<Type>| ty.as_ref().map(|ty| linked(resolve, ty)).unwrap_or_default();
            variant.cases.iter().map(|case| (case.name.clone(), linked(&case.ty), cell(&case.docs))).collect()
        }
        TypeDefKind::Enum(all) => {
            all.cases.iter().map(|case| (case.name.clone(), String::new(), cell(&case.docs))).collect()
        }
        TypeDefKind::Flags(all) => {
            all.flags.iter().map(|flag| (flag.name.clone(), String::new(), cell(&flag.docs))).collect()
        }
        TypeDefKind::Type(other) => {
            write!(text, "#### {interface}: {name}\n\nThe same as {}.\n\n{docs}", linked(resolve, other))
                .expect("a text grows");
            return;
        }
        _ => {
            let shape = of_kind(resolve, &ty.kind);
            write!(text, "#### {interface}: {name}\n\n{shape}\n\n{docs}").expect("a text grows");
            return;
        }
    };
    let (word, first) = match &ty.kind {
        TypeDefKind::Record(_) => ("Record", "field"),
        TypeDefKind::Variant(_) => ("One of", "case"),
        TypeDefKind::Enum(_) => ("One of", "word"),
        _ => ("Any of", "word"),
    };
    write!(text, "#### {interface}: {name}\n\n{docs}").expect("a text grows");
    if rows.iter().all(|(_, ty, docs)| ty.is_empty() && docs.is_empty()) {
        let words: Vec<String> = rows.into_iter().map(|(name, ..)| format!("`{name}`")).collect();
        write!(text, "{word}: {}.\n\n", words.join(", ")).expect("a text grows");
        return;
    }
    write!(text, "{word}:\n\n| {first} | type | |\n|---|---|---|\n").expect("a text grows");
    for (name, ty, docs) in rows {
        writeln!(text, "| `{name}` | {ty} | {docs} |").expect("a text grows");
    }
    text.push('\n');
}

/// Where a named type is documented, following `use`.
fn home(resolve: &Resolve, mut id: wit_parser::TypeId) -> Option<(String, String)> {
    loop {
        let ty = &resolve.types[id];
        let name = ty.name.clone()?;
        let TypeOwner::Interface(owner) = ty.owner else { return None };
        match ty.kind {
            TypeDefKind::Type(Type::Id(next)) if resolve.types[next].name.as_ref() == Some(&name) => id = next,
            _ => return Some((name_of(resolve, owner).to_owned(), name)),
        }
    }
}

/// A type with links, for running text and tables.
fn linked(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else { return shape::name(resolve, ty) };
    match home(resolve, *id) {
        Some((interface, name)) => format!("[{name}](#{interface}-{name})"),
        None => of_kind(resolve, &resolve.types[*id].kind),
    }
}

fn of_kind(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let inner = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "\\_".to_owned(), |ty| linked(resolve, ty));
    match kind {
        TypeDefKind::Option(ty) => format!("option\\<{}\\>", linked(resolve, ty)),
        TypeDefKind::List(ty) => format!("list\\<{}\\>", linked(resolve, ty)),
        TypeDefKind::Result(result) => format!("result\\<{}, {}\\>", inner(&result.ok), inner(&result.err)),
        TypeDefKind::Tuple(tuple) => {
            let types: Vec<String> = tuple.types.iter().map(|ty| linked(resolve, ty)).collect();
            format!("tuple\\<{}\\>", types.join(", "))
        }
        TypeDefKind::Type(ty) => linked(resolve, ty),
        other => panic!("the contract has no {}", other.as_str()),
    }
}

/// The named types in `ty`, linked, each once.
fn mentions(resolve: &Resolve, ty: &Type, named: &mut Vec<String>) {
    let Type::Id(id) = ty else { return };
    if home(resolve, *id).is_some() {
        let link = linked(resolve, ty);
        if !named.contains(&link) {
            named.push(link);
        }
        return;
    }
    match &resolve.types[*id].kind {
        TypeDefKind::Option(ty) | TypeDefKind::List(ty) => mentions(resolve, ty, named),
        TypeDefKind::Result(result) => {
            result.ok.iter().chain(&result.err).for_each(|ty| mentions(resolve, ty, named));
        }
        TypeDefKind::Tuple(tuple) => tuple.types.iter().for_each(|ty| mentions(resolve, ty, named)),
        _ => {}
    }
}
