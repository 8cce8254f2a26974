//! Lists the contract and the SDK's source, which `campanile plugins new` writes into a project: the SDK is on no
//! registry yet, and an author needs nothing but the program.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What a project needs of this repository, by place in it.
const TAKEN: [&str; 8] = [
    "Cargo.toml",
    "Cargo.lock",
    "wit",
    "plugin-sdk/Cargo.toml",
    "plugin-sdk/src",
    "plugin-sdk/src/testing/cases.md",
    "plugin-sdk/derive",
    "examples/channel-js/package-lock.json",
];

fn main() -> io::Result<()> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("..");
    let root = root.canonicalize()?;
    let mut files = Vec::new();
    for place in TAKEN {
        println!("cargo::rerun-if-changed={}", root.join(place).display());
        gather(&root.join(place), &mut files)?;
    }
    files.sort();
    let mut list = String::from("&[\n");
    for file in files {
        let place = file.strip_prefix(&root).expect("it lies below the root").display().to_string();
        // Writing into a string cannot fail.
        let _ = writeln!(list, "({place:?}, include_str!({:?})),", file.display().to_string());
    }
    list.push_str("]\n");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("sources.rs"), list)
}

fn gather(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        // A project builds the SDK and does not test it.
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        let is_source = path.extension().is_some_and(|extension| ["rs", "wit", "toml"].iter().any(|e| extension == *e));
        if (path.is_dir() || is_source) && !is_test {
            gather(&path, files)?;
        }
    }
    Ok(())
}
