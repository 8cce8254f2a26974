//! What plugins and hosts are compiled against: names and types, without a word of documentation.

use std::collections::BTreeMap;

use wit_parser::{Function, PackageId, Resolve, Type, TypeDef, TypeDefKind, WorldItem};

/// Every item of the package by its name, as text: two items of the same text fit together.
pub(super) fn of(resolve: &Resolve, package: PackageId) -> BTreeMap<String, String> {
    let mut items = BTreeMap::new();
    let package = &resolve.packages[package];
    for (interface, id) in &package.interfaces {
        let interface_of = &resolve.interfaces[*id];
        for (name, id) in &interface_of.types {
            items.insert(format!("type {interface}.{name}"), definition(resolve, &resolve.types[*id]));
        }
        for (name, function) in &interface_of.functions {
            items.insert(format!("function {interface}.{name}"), signature(resolve, function));
        }
    }
    for (world, id) in &package.worlds {
        let all = &resolve.worlds[*id];
        for (word, part) in [("import", &all.imports), ("export", &all.exports)] {
            for (key, item) in part {
                if matches!(item, WorldItem::Interface { .. }) {
                    // A world names its interfaces with the version; what matters is which.
                    let name = resolve.name_world_key(key);
                    let name = name.split('@').next().unwrap_or_default().to_owned();
                    items.insert(format!("world {world}: {word} {name}"), String::new());
                }
            }
        }
    }
    items
}

/// `func(key: string) -> option<string>`
pub(super) fn signature(resolve: &Resolve, function: &Function) -> String {
    let param = |param: &wit_parser::Param| format!("{}: {}", param.name, name(resolve, &param.ty));
    let params: Vec<String> = function.params.iter().map(param).collect();
    let result = function.result.as_ref().map(|result| format!(" -> {}", name(resolve, result))).unwrap_or_default();
    format!("func({}){result}", params.join(", "))
}

fn definition(resolve: &Resolve, ty: &TypeDef) -> String {
    let case = |name: &str, ty: &Option<Type>| match ty {
        Some(ty) => format!("{name}({})", self::name(resolve, ty)),
        None => name.to_owned(),
    };
    match &ty.kind {
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter().map(|field| format!("{}: {}", field.name, name(resolve, &field.ty)));
            format!("record {{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter().map(|each| case(&each.name, &each.ty));
            format!("variant {{ {} }}", cases.collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Enum(each) => {
            format!("enum {{ {} }}", each.cases.iter().map(|case| case.name.clone()).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Flags(flags) => {
            format!("flags {{ {} }}", flags.flags.iter().map(|flag| flag.name.clone()).collect::<Vec<_>>().join(", "))
        }
        other => kind(resolve, other),
    }
}

/// A type as it stands in WIT, without the interface that it comes from.
pub(super) fn name(resolve: &Resolve, ty: &Type) -> String {
    match ty {
        Type::Id(id) => match &resolve.types[*id] {
            TypeDef { name: Some(name), .. } => name.clone(),
            TypeDef { kind: inner, .. } => kind(resolve, inner),
        },
        Type::Bool => "bool".to_owned(),
        Type::Char => "char".to_owned(),
        Type::String => "string".to_owned(),
        // `U8` and the like: their names are those of WIT, in capitals.
        number => format!("{number:?}").to_lowercase(),
    }
}

fn kind(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let inner = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), |ty| name(resolve, ty));
    match kind {
        TypeDefKind::Option(ty) => format!("option<{}>", name(resolve, ty)),
        TypeDefKind::List(ty) => format!("list<{}>", name(resolve, ty)),
        TypeDefKind::Result(result) => match (&result.ok, &result.err) {
            (None, None) => "result".to_owned(),
            (ok, None) => format!("result<{}>", inner(ok)),
            (ok, err) => format!("result<{}, {}>", inner(ok), inner(err)),
        },
        TypeDefKind::Tuple(tuple) => {
            format!("tuple<{}>", tuple.types.iter().map(|ty| name(resolve, ty)).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Type(ty) => name(resolve, ty),
        other => panic!("the contract has no {}", other.as_str()),
    }
}
