//! The SDK and the contract as they were when this program was made, to be written into projects.

use std::collections::BTreeSet;

use anyhow::Context as _;
use toml::{Table, Value};

/// Place in the repository, and text.
const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));

/// Where a project of Rust keeps the SDK.
const VENDORED: &str = "vendor/campanile";

/// Packages of the SDK, by the place of their manifests.
const MANIFESTS: [&str; 2] = ["plugin-sdk/Cargo.toml", "plugin-sdk/derive/Cargo.toml"];

fn source(place: &str) -> anyhow::Result<&'static str> {
    let found = SOURCES.iter().find(|(at, _)| *at == place);
    found.map(|(_, text)| *text).with_context(|| format!("`{place}` was not built into the program"))
}

/// The contract, where tools of other languages look for it.
pub(in super::super) fn contract_files() -> Vec<(String, String)> {
    let of_contract = SOURCES.iter().filter_map(|(place, text)| Some((place.strip_prefix("wit/")?, text)));
    of_contract.map(|(name, text)| (format!("wit/deps/campanile-plugin/{name}"), (*text).to_owned())).collect()
}

/// How cases are written, for the folder in which they lie.
pub(super) fn description_of_cases() -> anyhow::Result<(String, String)> {
    Ok(("cases/README.md".to_owned(), source("plugin-sdk/src/testing/cases.md")?.to_owned()))
}

/// The lock file of the example in JavaScript, which has the same tools.
pub(super) fn package_lock(package: &str) -> anyhow::Result<String> {
    Ok(source("examples/channel-js/package-lock.json")?.replace("campanile-channel-discord", package))
}

/// The SDK with its workspace, and a lock file with the versions it was tested with.
pub(super) fn sdk(package: &str) -> anyhow::Result<Vec<(String, String)>> {
    let sources = SOURCES.iter().filter(|(place, _)| place.starts_with("plugin-sdk/") || place.starts_with("wit/"));
    let mut files: Vec<_> = sources.map(|(place, text)| (format!("{VENDORED}/{place}"), (*text).to_owned())).collect();
    // The crate names it, and cargo looks for it.
    files.push((format!("{VENDORED}/plugin-sdk/README.md"), "The SDK of Campanile's plugins.\n".to_owned()));
    files.push((format!("{VENDORED}/Cargo.toml"), workspace()?));
    files.push(("Cargo.lock".to_owned(), lock(package)?));
    Ok(files)
}

/// A workspace with what the SDK inherits from the repository's, and nothing else.
fn workspace() -> anyhow::Result<String> {
    let root: Table = source("Cargo.toml")?.parse()?;
    let root = table(root.get("workspace"))?;
    let known = table(root.get("dependencies"))?;
    let mut wanted = BTreeSet::new();
    for manifest in MANIFESTS {
        let manifest: Table = source(manifest)?.parse()?;
        let of_targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
        let tables = of_targets.filter_map(Value::as_table).chain([&manifest]);
        for table in tables {
            for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
                let names = table.get(kind).and_then(Value::as_table).into_iter().flat_map(Table::keys);
                wanted.extend(names.cloned());
            }
        }
    }
    let dependencies: Table =
        known.iter().filter(|(name, _)| wanted.contains(*name)).map(|(name, it)| (name.clone(), it.clone())).collect();
    let mut workspace = Table::new();
    workspace.insert("resolver".into(), root.get("resolver").cloned().unwrap_or_else(|| "3".into()));
    workspace.insert("members".into(), Value::Array(vec!["plugin-sdk".into(), "plugin-sdk/derive".into()]));
    for key in ["package", "lints"] {
        workspace.insert(key.into(), root.get(key).cloned().with_context(|| format!("the workspace has no `{key}`"))?);
    }
    workspace.insert("dependencies".into(), Value::Table(dependencies));
    let mut manifest = Table::new();
    manifest.insert("workspace".into(), Value::Table(workspace));
    Ok(toml::to_string(&manifest)?)
}

fn table(value: Option<&Value>) -> anyhow::Result<&Table> {
    value.and_then(Value::as_table).context("the repository's manifest has another shape")
}

/// The repository's lock file cut down to the SDK and what it needs, with `package` on top. What is too much in it cargo
/// takes out.
fn lock(package: &str) -> anyhow::Result<String> {
    let lock: Table = source("Cargo.lock")?.parse()?;
    let packages = lock.get("package").and_then(Value::as_array).context("the lock file has no packages")?;
    let name_of = |package: &Value| package.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let needed_by = |package: &Value| -> Vec<String> {
        let listed = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        listed.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut kept = BTreeSet::new();
    let mut open = vec!["campanile-plugin-sdk".to_owned()];
    // A dependency is a name, or a name and a version where there are several.
    while let Some(wanted) = open.pop() {
        let mut words = wanted.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        for (index, found) in packages.iter().enumerate().filter(|(_, found)| name_of(found) == name) {
            let same = version.is_none_or(|version| found.get("version").and_then(Value::as_str) == Some(version));
            if same && kept.insert(index) {
                // What only its own tests use.
                open.extend(needed_by(found).into_iter().filter(|name| name != "insta"));
            }
        }
    }
    let mut own = Table::new();
    own.insert("name".into(), package.into());
    own.insert("version".into(), "0.1.0".into());
    own.insert("dependencies".into(), Value::Array(vec!["campanile-plugin-sdk".into()]));
    let mut listed: Vec<Value> = kept.into_iter().map(|index| packages[index].clone()).collect();
    listed.push(Value::Table(own));
    listed.sort_by_key(name_of);
    let mut cut = Table::new();
    cut.insert("version".into(), lock.get("version").cloned().unwrap_or(Value::Integer(4)));
    cut.insert("package".into(), Value::Array(listed));
    Ok(toml::to_string(&cut)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_holds_the_sdk_and_what_it_needs_and_no_sandbox() {
        let text = lock("campanile-plugin-pager").expect("a lock file");
        for name in ["campanile-plugin-pager", "campanile-plugin-sdk-derive", "serde_json", "wit-bindgen", "syn"] {
            assert!(text.contains(&format!("name = \"{name}\"\n")), "{name}");
        }
        assert!(!text.contains("name = \"wasmtime\"") && !text.contains("name = \"insta\""));
    }

    #[test]
    fn the_workspace_of_the_sdk_is_whole() {
        let manifest: Table = workspace().expect("a manifest").parse().expect("TOML");
        let workspace = manifest["workspace"].as_table().expect("a table");
        assert!(workspace["dependencies"].get("wit-bindgen").is_some() && workspace["lints"].get("rust").is_some());
        assert!(workspace["dependencies"].get("wasmtime").is_none());
    }
}
