//! The tools of each language, and what to do where one is missing. What they say goes to standard error as they say it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::failure::{Exit, Failure};
use crate::cli::plugins::new::contract_files;

/// The target of plugins in Rust.
const TARGET: &str = "wasm32-wasip2";

/// What a project without link settings of its own gets: see `.cargo/config.toml` of a new project.
const LINK_SETTINGS: &str =
    r#"target.wasm32-wasip2.rustflags=["-C", "link-arg=-zstack-size=65536", "-C", "link-arg=--strip-debug"]"#;

/// What the last step of a JavaScript or Python build writes, before the component has said its name.
const UNNAMED: &str = "unnamed.wasm.part";

/// Runs cargo and answers the component that it made.
pub(super) fn rust(dir: &Path) -> Result<PathBuf, Failure> {
    super::manifest::check(dir)?;
    check_target(dir)?;
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(dir)
        .args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        // Flags for the programs of this machine would take the place of the project's own.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if !dir.join(".cargo/config.toml").is_file() {
        cargo.args(["--config", LINK_SETTINGS]);
    }
    let mut child = cargo.stdout(Stdio::piped()).spawn().map_err(|error| missing("cargo", &error, RUST_HINT))?;
    let manifest = dir.join("Cargo.toml");
    let mut made = None;
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(io::BufRead::lines) {
        let line = line.context("cargo's messages cannot be read")?;
        let message: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(file) = component_in(&message, &manifest) {
            made = Some(file);
        }
    }
    let status = child.wait().context("cargo cannot be waited for")?;
    if !status.success() {
        return Err(failed("cargo build", status));
    }
    made.ok_or_else(|| no_component(&manifest))
}

fn no_component(manifest: &Path) -> Failure {
    Failure::new(Exit::No, anyhow::anyhow!("cargo built `{}`, and no component came of it", manifest.display()))
        .hint("Cargo.toml needs:\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]")
}

const RUST_HINT: &str = "install Rust: https://rustup.rs";

fn check_target(dir: &Path) -> Result<(), Failure> {
    // In the folder: a project may pin a toolchain of its own.
    let asked = Command::new("rustc").current_dir(dir).args(["--print", "target-libdir", "--target", TARGET]).output();
    let asked = asked.map_err(|error| missing("rustc", &error, RUST_HINT))?;
    let libraries = String::from_utf8_lossy(&asked.stdout);
    if asked.status.success() && Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    Err(no_target())
}

fn no_target() -> Failure {
    Failure::usage(format!("the Rust target {TARGET} is not installed")).hint(format!("rustup target add {TARGET}"))
}

/// The component that a message of cargo's tells of, if it is this project's.
fn component_in(message: &Value, manifest: &Path) -> Option<PathBuf> {
    let is_ours = message["reason"] == "compiler-artifact"
        && message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest);
    let files = message["filenames"].as_array().filter(|_| is_ours)?;
    files.iter().filter_map(Value::as_str).map(PathBuf::from).find(|file| file.extension() == Some(OsStr::new("wasm")))
}

/// Runs the project's own `build` script, which takes the file to write; installs what it needs before.
pub(super) fn js(dir: &Path) -> Result<PathBuf, Failure> {
    const HINT: &str = "install Node.js 20 or later; on Debian: apt-get install nodejs npm";
    complete_contract(dir)?;
    let out = unnamed(dir)?;
    if !dir.join("node_modules").is_dir() {
        let install = if dir.join("package-lock.json").is_file() { "ci" } else { "install" };
        let quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        step(Command::new("npm").current_dir(dir).arg(install).args(quiet), "npm install", HINT)?;
    }
    step(
        Command::new("npm").current_dir(dir).args(["run", "--silent", "build", "--"]).arg(&out),
        "npm run build",
        HINT,
    )?;
    Ok(out)
}

/// Runs componentize-py in an environment of the project's own.
pub(super) fn python(dir: &Path) -> Result<PathBuf, Failure> {
    const HINT: &str = "install Python 3.10 or later with venv; on Debian: apt-get install python3 python3-venv";
    complete_contract(dir)?;
    let (world, module) = (world_of(dir)?, module_of(dir)?);
    let out = unnamed(dir)?;
    let bin = dir.join(".venv").join(if cfg!(windows) { "Scripts" } else { "bin" });
    let tool = bin.join("componentize-py");
    if !tool.exists() {
        step(Command::new("python3").current_dir(dir).args(["-m", "venv", ".venv"]), "python3 -m venv", HINT)?;
        let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"];
        step(Command::new(bin.join("python")).current_dir(dir).args(quiet), "pip install", HINT)?;
    }
    let mut componentize = Command::new(tool);
    componentize.current_dir(dir).args(["-q", "-d", "wit", "-w", &world, "componentize", "-p", "src", &module, "-o"]);
    step(componentize.arg(&out), "componentize-py", "`componentize-py` has to stand in requirements.txt")?;
    Ok(out)
}

fn unnamed(dir: &Path) -> Result<PathBuf, Failure> {
    Ok(super::dist_in(dir)?.join(UNNAMED))
}

/// Puts the contract where the tools look for it, if it is not there.
fn complete_contract(dir: &Path) -> Result<(), Failure> {
    if dir.join("wit/deps/campanile-plugin").exists() {
        return Ok(());
    }
    for (place, text) in contract_files() {
        let path = dir.join(place);
        fs::create_dir_all(path.parent().unwrap_or(dir))
            .and_then(|()| fs::write(&path, text))
            .map_err(|error| super::unwritable(&path, error))?;
    }
    Ok(())
}

/// The world that the project's own WIT has.
fn world_of(dir: &Path) -> Result<String, Failure> {
    const HINT: &str = "`campanile plugins new NAME --lang python` makes a project that has one";
    let text = fs::read_to_string(dir.join("wit/world.wit")).map_err(|_| {
        Failure::usage("`wit/world.wit` cannot be read: it says what the plugin is and uses").hint(HINT)
    })?;
    let world = text.lines().find_map(|line| line.trim().strip_prefix("world ")?.split([' ', '{']).next());
    world.map(str::to_owned).ok_or_else(|| Failure::usage("`wit/world.wit` has no line `world NAME {`").hint(HINT))
}

/// The module that holds the plugin.
fn module_of(dir: &Path) -> Result<String, Failure> {
    let names = ["app", "channel", "plugin"];
    let found = names.into_iter().find(|name| dir.join("src").join(name).with_extension("py").is_file());
    found.map(str::to_owned).ok_or_else(|| {
        Failure::usage(
            "there is no `src/app.py`, `src/channel.py` or `src/plugin.py`: one of them holds the class `Channel`",
        )
        .hint("`campanile plugins new NAME --lang python` makes a project that has one")
    })
}

/// One command, its output on standard error: standard output is for what this program has to say.
fn step(command: &mut Command, name: &str, hint: &str) -> Result<(), Failure> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::from(io::stderr())).status();
    let status = status.map_err(|error| missing(name, &error, hint))?;
    if status.success() { Ok(()) } else { Err(failed(name, status)) }
}

fn missing(tool: &str, error: &io::Error, hint: &str) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "is not installed".to_owned(),
        _ => format!("cannot be run: {error}"),
    };
    Failure::usage(format!("`{tool}` {why}")).hint(hint)
}

fn failed(tool: &str, status: std::process::ExitStatus) -> Failure {
    Failure::new(Exit::No, anyhow::anyhow!("`{tool}` failed ({status}); what it said stands above"))
        .hint("mend what it names, then build again")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_component_of_this_project_is_told_from_those_of_others() {
        let manifest = Path::new("/here/Cargo.toml");
        let message = |path: &str| json!({ "reason": "compiler-artifact", "manifest_path": path, "filenames": ["/t/x.wasm", "/t/libx.rlib"] });
        assert_eq!(component_in(&message("/here/Cargo.toml"), manifest), Some(PathBuf::from("/t/x.wasm")));
        assert_eq!(component_in(&message("/there/Cargo.toml"), manifest), None);
        assert_eq!(component_in(&json!({ "reason": "build-finished" }), manifest), None);
    }

    #[test]
    fn the_world_is_the_one_of_the_project() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(world_of(dir.path()).is_err());
        fs::create_dir(dir.path().join("wit")).expect("a folder");
        fs::write(dir.path().join("wit/world.wit"), "package a:b;\n\n/// world of\nworld pager {\n}\n")
            .expect("a file");
        assert_eq!(world_of(dir.path()).expect("a world"), "pager");
    }

    #[test]
    fn a_tool_that_is_missing_cannot_be_run_or_fails_says_what_to_do() {
        use std::os::unix::process::ExitStatusExt as _;

        use crate::cli::terminal::Paint;

        let told = [
            missing("cargo", &io::ErrorKind::NotFound.into(), RUST_HINT),
            missing("cargo", &io::ErrorKind::PermissionDenied.into(), RUST_HINT),
            failed("cargo build", std::process::ExitStatus::from_raw(101 << 8)),
            no_target(),
            no_component(Path::new("/here/Cargo.toml")),
        ];
        let told: Vec<_> = told.iter().map(|failure| failure.render(Paint::Off)).collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        error: `cargo` is not installed

        hint: install Rust: https://rustup.rs

        error: `cargo` cannot be run: permission denied

        hint: install Rust: https://rustup.rs

        error: `cargo build` failed (exit status: 101); what it said stands above

        hint: mend what it names, then build again

        error: the Rust target wasm32-wasip2 is not installed

        hint: rustup target add wasm32-wasip2

        error: cargo built `/here/Cargo.toml`, and no component came of it

        hint:
        Cargo.toml needs:
        [lib]
        crate-type = ["cdylib", "rlib"]
        "#);
    }
}
