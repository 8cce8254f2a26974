//! Every refusal of `plugins new|build|inspect|check|test|add|remove|approve|release`, by the line that is typed: what was
//! asked, why not, and what to do. What a file is refused for has tables in `sandbox` and `supply`, and what a running
//! server says in `client`.

use std::fs;
use std::path::Path;

use clap::Parser as _;

use super::{add, test};
use crate::cli::Cli;
use crate::cli::failure::Failure;
use crate::cli::terminal::Paint;

/// A folder with a project of each kind of fault.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a folder");
    let lib = "[package]\nname = \"tool\"\n[lib]\ncrate-type = [\"cdylib\"]\n";
    for (file, text) in [
        ("campanile.toml", "[plugins]\ndir = \"DIR/enabled\"\n".replace("DIR", &place.path().display().to_string())),
        ("broken.toml", "[plugins]\ndir = \"DIR/broken\"\n".replace("DIR", &place.path().display().to_string())),
        ("broken/plugins.lock", "format = 1\nplugin = 7\n".to_owned()),
        ("file", String::new()),
        ("text.wasm", "not WebAssembly".to_owned()),
        ("list.json", "[]".to_owned()),
        ("torn.json", "{".to_owned()),
        ("empty/notes.txt", String::new()),
        ("torn/Cargo.toml", "[package\n".to_owned()),
        ("workspace/Cargo.toml", "[workspace]\nmembers = []\n".to_owned()),
        ("program/Cargo.toml", "[package]\nname = \"tool\"\n".to_owned()),
        ("library/Cargo.toml", lib.to_owned()),
        ("worldless/requirements.txt", String::new()),
        ("nameless/requirements.txt", String::new()),
        ("nameless/wit/world.wit", "package a:b;\n".to_owned()),
        ("codeless/requirements.txt", String::new()),
        ("codeless/wit/world.wit", "world pager {\n".to_owned()),
        ("blocked/requirements.txt", String::new()),
        ("blocked/wit/world.wit", "world pager {\n".to_owned()),
        ("blocked/src/app.py", String::new()),
        ("blocked/dist", String::new()),
    ] {
        let path = place.path().join(file);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    place
}

fn shown(place: &Path, failure: &Failure) -> String {
    let text = failure.render(Paint::Off).replace(&place.display().to_string(), "DIR");
    format!("{:?}, {}", failure.exit, text.trim_end())
}

/// What each of these lines is refused with; `DIR` is the folder.
fn told(place: &Path, lines: &[&str]) -> String {
    let mut told = Vec::new();
    for line in lines {
        let words = line.split(' ').map(|word| word.replace("DIR", &place.display().to_string()));
        let config = format!("--config={}", place.join("campanile.toml").display());
        let configured = if line.contains("--config") { None } else { Some(config) };
        let typed = ["campanile".to_owned(), "plugins".to_owned()].into_iter().chain(words).chain(configured);
        let failure = match Cli::try_parse_from(typed) {
            Ok(cli) => crate::cli::run(cli).expect_err(line),
            Err(error) => Failure::of_usage(&error),
        };
        told.push(format!("$ {line}\n{}", shown(place, &failure)));
    }
    told.join("\n\n")
}

#[test]
fn every_refusal_of_new_says_what_to_do() {
    let place = place();
    let lines = [
        "new Pager --dir DIR/new",
        "new sdk --dir DIR/new",
        "new engine --kind template --lang js --dir DIR/new",
        "new pager --lang cobol",
        "new pager --dir DIR/empty",
        "new pager --dir DIR/file/new",
        "new pager --dir DIR/file/below/new",
    ];
    insta::assert_snapshot!(told(place.path(), &lines), @r"
    $ new Pager --dir DIR/new
    Usage, error: `Pager` is not a plugin name: it starts with a lower-case letter and goes on in `a-z`, `0-9`, `-`

    hint: name it after what it speaks to, such as `pager` or `chat-ops`

    $ new sdk --dir DIR/new
    Usage, error: a plugin cannot be called `sdk`: `campanile-plugin-sdk` is a crate of Campanile's

    hint: name it after what it speaks to, such as `pager` or `chat-ops`

    $ new engine --kind template --lang js --dir DIR/new
    Usage, error: a template engine is made in `rust`, not in `js`

    hint: leave `--lang` out, or `--kind template`: a channel is made in rust, js or python

    $ new pager --lang cobol
    Usage, error: invalid value 'cobol' for '--lang <LANGUAGE>'
      [possible values: rust, js, python]

    hint: For more information, try '--help'.

    $ new pager --dir DIR/empty
    Usage, error: `DIR/empty` is there already, and is left as it is

    hint: choose another name, or another folder with `--dir`

    $ new pager --dir DIR/file/new
    No, error: `DIR/file` cannot be written
      Caused by: File exists (os error 17)

    hint: name a folder that this user may make, with `--dir`

    $ new pager --dir DIR/file/below/new
    No, error: `DIR/file/below` cannot be written
      Caused by: Not a directory (os error 20)

    hint: name a folder that this user may make, with `--dir`
    ");
}

const BUILDS: [&str; 10] = [
    "build DIR/none",
    "build DIR/empty",
    "build DIR/torn",
    "build DIR/workspace",
    "build DIR/program",
    "build DIR/library",
    "build DIR/worldless",
    "build DIR/nameless",
    "build DIR/codeless",
    "build DIR/blocked",
];

#[test]
fn every_refusal_of_build_says_what_to_do() {
    let place = place();
    insta::assert_snapshot!(told(place.path(), &BUILDS), @r#"
    $ build DIR/none
    Usage, error: there is no folder `DIR/none`

    hint: name the folder of a project, or make one with `campanile plugins new NAME --lang rust|js|python`

    $ build DIR/empty
    Usage, error: `DIR/empty` is no project of a plugin: it has neither Cargo.toml nor package.json nor requirements.txt

    hint: name the folder of a project, or make one with `campanile plugins new NAME --lang rust|js|python`

    $ build DIR/torn
    Usage, error: `DIR/torn/Cargo.toml` cannot be read: unclosed table, expected `]`

    hint: mend it: `cargo metadata` shows the place

    $ build DIR/workspace
    Usage, error: `DIR/workspace/Cargo.toml` is not that of a plugin: it is a workspace, or holds no `[package]`

    hint: name the folder of a plugin, or make one with `campanile plugins new NAME`

    $ build DIR/program
    Usage, error: `DIR/program/Cargo.toml` is not that of a plugin: it makes no component

    hint:
    Cargo.toml needs:
    [lib]
    crate-type = ["cdylib"]

    Else name the folder of a plugin, or make one with `campanile plugins new NAME`

    $ build DIR/library
    Usage, error: `DIR/library/Cargo.toml` is not that of a plugin: it depends neither on `campanile-plugin-sdk` nor on `wit-bindgen`

    hint:
    add the SDK: cargo add campanile-plugin-sdk
    Else name the folder of a plugin, or make one with `campanile plugins new NAME`

    $ build DIR/worldless
    Usage, error: `wit/world.wit` cannot be read: it says what the plugin is and uses

    hint: `campanile plugins new NAME --lang python` makes a project that has one

    $ build DIR/nameless
    Usage, error: `wit/world.wit` has no line `world NAME {`

    hint: `campanile plugins new NAME --lang python` makes a project that has one

    $ build DIR/codeless
    Usage, error: there is no `src/app.py`, `src/channel.py` or `src/plugin.py`: one of them holds the class `Channel`

    hint: `campanile plugins new NAME --lang python` makes a project that has one

    $ build DIR/blocked
    No, error: `DIR/blocked/dist` cannot be written
      Caused by: File exists (os error 17)

    hint: see that this user may write in the project's folder, and that nothing else has that name
    "#);
}

const LOOKS: [&str; 10] = [
    "inspect DIR/none.wasm",
    "inspect DIR/text.wasm",
    "check DIR/none.wasm",
    "check DIR/text.wasm --with DIR/none.json",
    "check DIR/text.wasm --with DIR/torn.json",
    "check DIR/text.wasm --with DIR/list.json",
    "test DIR/empty",
    "test DIR/none.wasm",
    "test DIR/text.wasm",
    "test DIR/text.wasm --cases DIR/none",
];

#[test]
fn every_refusal_of_inspect_check_and_test_says_what_to_do() {
    let place = place();
    let mut told = told(place.path(), &LOOKS);
    // Of a folder of cases nobody asks before there is a plugin.
    for folder in ["none", "empty"] {
        let failure = test::paths(&place.path().join(folder)).expect_err("it has no case");
        told.push_str(&format!("\n\n{}", shown(place.path(), &failure)));
    }
    insta::assert_snapshot!(told, @r#"
    $ inspect DIR/none.wasm
    Usage, error: there is no file `DIR/none.wasm`

    hint: name a `.wasm` file: the bundled ones lie in `plugins/` beside the program

    $ inspect DIR/text.wasm
    No, error: `DIR/text.wasm` is no plugin to load
      Caused by: it is text, not WebAssembly: put the compiled component here

    $ check DIR/none.wasm
    Usage, error: there is no file `DIR/none.wasm`

    hint: name a `.wasm` file: the bundled ones lie in `plugins/` beside the program

    $ check DIR/text.wasm --with DIR/none.json
    Usage, error: `DIR/none.json`: cannot be read: No such file or directory (os error 2); let this user read it

    $ check DIR/text.wasm --with DIR/torn.json
    Usage, error: `DIR/torn.json`: is not JSON: EOF while parsing an object at line 1 column 1; mend it there

    $ check DIR/text.wasm --with DIR/list.json
    Usage, error: `DIR/list.json`: is not a JSON object: write `{ "KEY": VALUE }`

    $ test DIR/empty
    Usage, error: there is no component in `DIR/empty/dist`

    hint: build it first: campanile plugins build

    $ test DIR/none.wasm
    Usage, error: there is no file `DIR/none.wasm`

    hint: name a `.wasm` file: the bundled ones lie in `plugins/` beside the program

    $ test DIR/text.wasm
    No, error: `DIR/text.wasm` is no plugin to load
      Caused by: it is text, not WebAssembly: put the compiled component here

    $ test DIR/text.wasm --cases DIR/none
    Usage, error: there is no folder `DIR/none`

    hint: name a folder of cases with `--cases DIR`; a project of `campanile plugins new NAME` has some in `cases/`

    Usage, error: folder `DIR/none` cannot be read: No such file or directory (os error 2)

    hint: name a folder of cases with `--cases DIR`; a project of `campanile plugins new NAME` has some in `cases/`

    Usage, error: folder `DIR/empty` holds no case (`*.json`)

    hint: name a folder of cases with `--cases DIR`; a project of `campanile plugins new NAME` has some in `cases/`
    "#);
}

#[test]
fn every_refusal_of_add_and_remove_says_what_to_do() {
    let place = place();
    let lines = [
        "add DIR/text.wasm --sha256 7f",
        "add DIR/text.wasm",
        "add DIR/none.wasm",
        "add http://plugins.example.com/acme.wasm",
        "remove acme",
        "remove Acme",
        "remove acme --config DIR/broken.toml",
    ];
    insta::assert_snapshot!(told(place.path(), &lines), @r"
    $ add DIR/text.wasm --sha256 7f
    Usage, error: `--sha256` takes 64 hex digits, and `7f` is none of that

    hint: `sha256sum FILE` prints them, and so does `campanile plugins inspect FILE`

    $ add DIR/text.wasm
    No, error: `DIR/text.wasm` was not added
      Caused by: it is text, not WebAssembly: put the compiled component here

    $ add DIR/none.wasm
    No, error: `DIR/none.wasm` was not added
      Caused by: `DIR/none.wasm` cannot be read or written
      Caused by: No such file or directory (os error 2)

    $ add http://plugins.example.com/acme.wasm
    No, error: `http://plugins.example.com/acme.wasm` was not added
      Caused by: `http://plugins.example.com/acme.wasm` is no place to get a plugin from: use `https://`; `http://` goes to this machine only

    $ remove acme
    Nothing, error: there is no plugin `acme` in `DIR/enabled`

    hint: name it as its file is called, without `.wasm`; `--config FILE` names another configuration

    $ remove Acme
    Usage, error: invalid value 'Acme' for '<NAME>': `Acme` is not a plugin name: it starts with a lower-case letter and goes on in `a-z`, `0-9`, `-`

    hint: For more information, try '--help'.

    $ remove acme --config DIR/broken.toml
    No, error: plugin `acme` was not removed
      Caused by: `plugins.lock` cannot be understood: line 2: invalid type: integer `7`, expected a sequence; remove it and add the plugins again, or restore it
    ");
}

#[test]
fn a_login_that_is_half_one_says_what_is_missing() {
    let place = place();
    let none = place.path().join("none").display().to_string();
    let user = |name: &str| (name == "CAMPANILE_REGISTRY_USER").then(|| "ada".to_owned());
    let file = |name: &str| user(name).or_else(|| (name == "CAMPANILE_REGISTRY_PASSWORD_FILE").then(|| none.clone()));
    let told: Vec<_> = [add::login(user), add::login(file)]
        .into_iter()
        .map(|login| shown(place.path(), &login.expect_err("it is half a login")))
        .collect();
    assert!(add::login(|_| None).expect("nobody is somebody, too").is_none());
    insta::assert_snapshot!(told.join("\n\n"), @r"
    Usage, error: `CAMPANILE_REGISTRY_USER` is set, and neither `CAMPANILE_REGISTRY_PASSWORD` nor `CAMPANILE_REGISTRY_PASSWORD_FILE` is

    hint: set one of them, or unset `CAMPANILE_REGISTRY_USER` to ask the registry without a login

    Usage, error: `CAMPANILE_REGISTRY_PASSWORD_FILE` names `DIR/none`, which cannot be read: No such file or directory (os error 2)

    hint: let this user read it, or set `CAMPANILE_REGISTRY_PASSWORD`
    ");
}

#[test]
fn approve_and_release_without_a_server_or_a_name_say_what_to_do() {
    let place = place();
    let lines = [
        "approve acme --url http://127.0.0.1:9",
        "release acme --url http://127.0.0.1:9",
        "approve Acme --url http://127.0.0.1:9",
    ];
    insta::assert_snapshot!(told(place.path(), &lines), @r"
    $ approve acme --url http://127.0.0.1:9
    No, error: no server answers at `http://127.0.0.1:9/`
      Caused by: Connection refused (os error 111)

    hint: start one with `campanile serve`, or name another with `--url` or `CAMPANILE_URL`

    $ release acme --url http://127.0.0.1:9
    No, error: no server answers at `http://127.0.0.1:9/`
      Caused by: Connection refused (os error 111)

    hint: start one with `campanile serve`, or name another with `--url` or `CAMPANILE_URL`

    $ approve Acme --url http://127.0.0.1:9
    Usage, error: invalid value 'Acme' for '<NAME>': `Acme` is not a plugin name: it starts with a lower-case letter and goes on in `a-z`, `0-9`, `-`

    hint: For more information, try '--help'.
    ");
}
