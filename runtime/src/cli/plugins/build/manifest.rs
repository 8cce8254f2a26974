//! Whether a Rust project is one of a plugin, before cargo compiles anything of it.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use crate::cli::failure::Failure;

/// The crates that bring the contract into a component: that of Campanile, or bindings of one's own.
const SDK: &str = "campanile-plugin-sdk";
const BINDINGS: &str = "wit-bindgen";

const HINT: &str = "name the folder of a plugin, or make one with `campanile plugins new NAME`";

/// Refuses what would be compiled for nothing.
pub(super) fn check(dir: &Path) -> Result<(), Failure> {
    let file = dir.join("Cargo.toml");
    let shown = file.display();
    let text = fs::read_to_string(&file)
        .map_err(|error| Failure::usage(format!("`{shown}` cannot be read: {error}")).hint(HINT))?;
    let manifest: Table = text.parse().map_err(|error: toml::de::Error| {
        Failure::usage(format!("`{shown}` cannot be read: {}", error.message()))
            .hint("mend it: `cargo metadata` shows the place")
    })?;
    let refused = |why: &str| Failure::usage(format!("`{shown}` is not that of a plugin: {why}"));
    if !manifest.contains_key("package") {
        return Err(refused("it is a workspace, or holds no `[package]`").hint(HINT));
    }
    if !makes_component(&manifest) {
        let hint = format!("Cargo.toml needs:\n[lib]\ncrate-type = [\"cdylib\"]\n\nElse {HINT}");
        return Err(refused("it makes no component").hint(hint));
    }
    if !depends_on_contract(&manifest) {
        let hint = format!("add the SDK: cargo add {SDK}\nElse {HINT}");
        return Err(refused(&format!("it depends neither on `{SDK}` nor on `{BINDINGS}`")).hint(hint));
    }
    Ok(())
}

fn makes_component(manifest: &Table) -> bool {
    let library = manifest.get("lib").and_then(Value::as_table);
    // Cargo takes both spellings.
    let kinds = library.and_then(|lib| lib.get("crate-type").or_else(|| lib.get("crate_type")));
    kinds.and_then(Value::as_array).is_some_and(|kinds| kinds.iter().any(|kind| kind.as_str() == Some("cdylib")))
}

/// In `[dependencies]`, or in those of a target.
fn depends_on_contract(manifest: &Table) -> bool {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    let tables = std::iter::once(manifest).chain(targets).filter_map(|table| table.get("dependencies")?.as_table());
    tables.flatten().any(|(key, value)| {
        // A dependency may have another name here than its crate has.
        let name = value.get("package").and_then(Value::as_str).unwrap_or(key);
        name == SDK || name.starts_with(BINDINGS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(manifest: &str) -> Result<(), Failure> {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("Cargo.toml"), manifest).expect("a file");
        check(dir.path())
    }

    #[test]
    fn a_plugin_has_a_component_to_make_and_the_contract_to_make_it_of() {
        let with = |dependencies: &str| {
            judged(&format!("[package]\nname = \"x\"\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n{dependencies}"))
        };
        assert!(with("[dependencies]\ncampanile-plugin-sdk = \"0.1\"").is_ok());
        assert!(with("[dependencies]\nsdk = { package = \"campanile-plugin-sdk\", path = \"..\" }").is_ok());
        assert!(with("[target.wasm32-wasip2.dependencies]\nwit-bindgen.workspace = true").is_ok());
        assert!(with("[dependencies]\nserde = \"1\"").is_err());
        assert!(judged("[package]\nname = \"x\"\n[dependencies]\ncampanile-plugin-sdk = \"0.1\"").is_err());
        assert!(judged("[workspace]\nmembers = []").is_err());
    }
}
