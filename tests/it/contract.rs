//! The contract as its readers and its users have it: the document, and what was promised of a frozen version.

mod document;
mod shape;

use std::path::{Path, PathBuf};
use std::{env, fs};

use wit_parser::{PackageId, Resolve};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests stand in the workspace").to_owned()
}

/// The contract as it is now.
fn current() -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit")).expect("the contract is WIT");
    (resolve, package)
}

#[test]
fn the_document_of_the_contract_is_made_from_it() {
    let (resolve, package) = current();
    let made = document::write(&resolve, package);
    let path = root().join("wit/CONTRACT.md");
    if env::var_os("CAMPANILE_BLESS").is_some() {
        fs::write(&path, &made).expect("the document can be written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    // Not `assert_eq`: two whole documents would hide the one sentence that helps.
    assert!(kept == made, "wit/CONTRACT.md is not what the contract says; run `make contract-docs` and commit it");
}

/// GitHub's name for a heading: lower case, spaces to hyphens, all else but letters, digits and hyphens dropped.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
}

#[test]
fn every_link_in_the_document_leads_somewhere() {
    let (resolve, package) = current();
    let made = document::write(&resolve, package);
    let headings: Vec<String> =
        made.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' ')).map(anchor).collect();
    let links: Vec<&str> = made.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 50, "there are links");
    let lost: Vec<&&str> = links.iter().filter(|link| !headings.iter().any(|heading| heading == *link)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

/// What was frozen stays, letter by letter: a later contract of the same line may only have more.
#[test]
fn everything_of_a_frozen_contract_is_still_there() {
    let (resolve, package) = current();
    let now = shape::of(&resolve, package);
    let folder = root().join("tests/contract");
    for entry in fs::read_dir(folder).expect("there are frozen contracts") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "wit") {
            continue;
        }
        let mut resolve = Resolve::default();
        let package = resolve.push_file(&path).expect("a frozen contract is WIT");
        for (item, shape) in shape::of(&resolve, package) {
            assert_eq!(now.get(&item), Some(&shape), "{item} of `{}`", path.display());
        }
    }
}
