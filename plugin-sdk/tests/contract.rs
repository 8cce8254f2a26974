//! The text of the contract, so that no change of it goes unseen.

use std::{fs, path::Path};

/// The contract without comments and blank lines: what plugins and hosts are compiled against.
///
/// A change here is a change for every plugin there is: `wit/README.md` says which are allowed.
#[test]
fn the_contract_is_the_one_that_was_agreed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let entries = fs::read_dir(folder).expect("the folder of the contract");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wit"));
    files.sort();
    let mut contract = String::new();
    for file in files {
        let name = file.file_name().expect("a file has a name").to_string_lossy().into_owned();
        contract.push_str(&format!("// {name}\n"));
        let text = fs::read_to_string(&file).expect("a file of the contract");
        for line in text.lines().map(|line| line.split("//").next().unwrap_or_default().trim_end()) {
            if !line.is_empty() {
                contract.push_str(line);
                contract.push('\n');
            }
        }
    }
    insta::assert_snapshot!("contract", contract);
}
