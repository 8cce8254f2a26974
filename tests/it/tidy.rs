//! Holds the house rules that a compiler does not: who may import whom, how long a file may be, what it may be called.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms each room may name. `store` is the trait; `sqlite` the engine below it. Tests of a room may name more.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &["domain"]),
    ("config", &["domain"]),
    ("telemetry", &["domain"]),
    ("store", &["domain", "config"]),
    ("sqlite", &["domain", "config", "clock", "store"]),
    ("call", &["domain"]),
    ("capability", &["domain", "config", "clock", "telemetry"]),
    ("queue", &["domain", "clock", "store"]),
    ("retry", &["domain", "clock"]),
    // Where plugin files come from and who answers for them; what a file is stays the sandbox's to judge.
    ("supply", &["domain", "config", "telemetry"]),
    ("sandbox", &["domain", "config", "clock", "telemetry", "call", "capability", "supply"]),
    ("route", &["domain", "call", "store"]),
    ("render", &["domain", "clock", "call", "store"]),
    ("intake", &["domain", "clock", "call", "store", "queue", "route", "telemetry"]),
    ("dispatch", &["domain", "clock", "config", "telemetry", "call", "store", "queue"]),
    ("events", &["domain", "clock", "store", "telemetry"]),
    ("callback", &["domain", "clock", "config", "telemetry", "capability", "store", "events"]),
    (
        "runtime",
        &[
            "domain",
            "clock",
            "config",
            "telemetry",
            "call",
            "capability",
            "store",
            "sqlite",
            "queue",
            "sandbox",
            "supply",
            "route",
            "render",
            "intake",
            "dispatch",
            "events",
            "callback",
        ],
    ),
    (
        "bench",
        &[
            "domain",
            "clock",
            "config",
            "telemetry",
            "call",
            "capability",
            "store",
            "sqlite",
            "queue",
            "sandbox",
            "intake",
            "dispatch",
            "events",
            "callback",
            "runtime",
            "api",
        ],
    ),
    ("api", &["domain", "config", "telemetry", "intake", "events", "runtime"]),
    ("cli", &["domain", "config", "events", "intake", "runtime", "api", "bench", "telemetry"]),
];

/// Crates that stay in one room.
const KEPT_IN: &[(&str, &[&str])] = &[
    ("wasmtime", &["sandbox"]),
    ("wasmtime_wasi", &["sandbox"]),
    ("wasmtime_wasi_http", &["sandbox"]),
    ("wasmparser", &["sandbox"]),
    // Limits of the compiler's process; to look an installation over, free space and rights to a folder; and how large a
    // terminal is.
    ("rustix", &["sandbox", "runtime", "cli"]),
    ("rusqlite", &["sqlite"]),
    // The egress of plugins has connections of its own, so that what is checked is what is dialled.
    ("reqwest", &["supply", "cli", "bench"]),
    // In the sandbox only for the bodies of `wasi:http`, which are its types.
    ("hyper", &["capability", "sandbox"]),
    ("hyper_util", &["capability"]),
    ("hyper_rustls", &["capability"]),
    ("rustls", &["capability"]),
    // Keys and signatures: of requests in `capability`, of plugin files in `supply`.
    ("aws_lc_rs", &["capability", "supply"]),
    ("oci_client", &["supply"]),
    ("axum", &["api", "cli", "bench"]),
    ("anyhow", &["cli", "main"]),
    ("clap", &["cli", "main"]),
];

const FILE_LINES_MAX: usize = 500;
const BANNED_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc", "mod"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests stand in the workspace").to_owned()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace can be read") {
            let path = entry.expect("an entry can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn all_rust_files() -> Vec<PathBuf> {
    ["runtime", "plugin-sdk", "plugins", "tests", "examples"]
        .iter()
        .flat_map(|top| rust_files(&root().join(top)))
        .collect()
}

/// The room a file of `runtime/src` belongs to.
fn room_of(file: &Path) -> String {
    let inside = file.strip_prefix(root().join("runtime/src")).expect("a file of the runtime");
    let parts: Vec<String> = inside.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    match parts.as_slice() {
        [store, engine, ..] if store == "store" && engine == "sqlite" => "sqlite".into(),
        [room, ..] => room.clone(),
        [] => String::new(),
    }
}

/// A file's code without its tests, comments and doc examples.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("a source file can be read");
    let without_tests = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
    without_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn is_test_file(file: &Path) -> bool {
    let text = file.to_string_lossy();
    text.ends_with("tests.rs")
        || text.contains("/tests/")
        || text.ends_with("conformance.rs")
        || text.ends_with("model.rs")
}

/// The rooms that `code` names through `crate::`.
fn imported(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        let room: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let engine = room == "store" && rest.starts_with("store::sqlite");
        rooms.insert(if engine { "sqlite".into() } else { room });
    }
    rooms
}

#[test]
fn rooms_import_only_whom_they_may() {
    let table: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("runtime/src")) {
        let room = room_of(&file);
        if is_test_file(&file) || room == "lib" || room == "main" {
            continue;
        }
        let Some(allowed) = table.get(room.as_str()) else {
            wrong.push(format!("{}: the room `{room}` is not in the table", file.display()));
            continue;
        };
        for import in imported(&code(&file)) {
            if import != room && table.contains_key(import.as_str()) && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{}: `{room}` may not import `{import}`", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_crate_with_a_room_of_its_own_is_named_nowhere_else() {
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("runtime/src")) {
        let room = room_of(&file);
        let code = code(&file);
        for (name, rooms) in KEPT_IN {
            if code.contains(&format!("{name}::")) && !rooms.contains(&room.as_str()) && !is_test_file(&file) {
                wrong.push(format!("{}: `{name}` belongs to {rooms:?}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_plugin_sdk_and_the_runtime_meet_only_in_the_contract() {
    for (manifest, other) in [("plugin-sdk/Cargo.toml", "campanile ="), ("runtime/Cargo.toml", "campanile-plugin-sdk.")]
    {
        let text = fs::read_to_string(root().join(manifest)).expect("a manifest can be read");
        let dependencies = text.split("[dev-dependencies]").next().unwrap_or_default();
        assert!(!dependencies.contains(other), "{manifest} depends on the other side");
    }
}

#[test]
fn files_are_short_and_named_for_what_they_hold() {
    let mut wrong = Vec::new();
    for file in all_rust_files() {
        let lines = fs::read_to_string(&file).expect("a source file can be read").lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{}: {lines} lines, the limit is {FILE_LINES_MAX}", file.display()));
        }
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        if BANNED_NAMES.contains(&&*name) {
            wrong.push(format!("{}: the name says nothing", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn errors_are_matched_by_type_and_state_is_handed_over() {
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("runtime/src")) {
        let code = code(&file);
        for (text, why) in [
            (".to_string().contains(", "match on the error's type"),
            ("\nstatic ", "two runtimes in one process must not meet; hand it over from the composition root"),
            ("\npub static ", "two runtimes in one process must not meet; hand it over from the composition root"),
            ("thread_local!", "hand it over from the composition root"),
        ] {
            if code.contains(text) && !is_test_file(&file) && room_of(&file) != "main" {
                wrong.push(format!("{}: `{text}`: {why}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_test_sleeps() {
    let sleep = concat!("sleep", "(");
    // A guest that sleeps past its deadline has to sleep.
    let guests = root().join("tests/guests");
    let asleep: Vec<String> = all_rust_files()
        .into_iter()
        .filter(|file| is_test_file(file) && !file.starts_with(&guests))
        .filter(|file| fs::read_to_string(file).expect("a test can be read").contains(sleep))
        .map(|file| file.display().to_string())
        .collect();
    assert!(asleep.is_empty(), "wait for an event or move the clock in {asleep:?}");
}
