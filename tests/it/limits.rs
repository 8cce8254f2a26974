//! Holds `LIMITS.md` to the code.

use std::fs;
use std::path::{Path, PathBuf};

use campanile::Config;
use campanile::config::Secrets;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests stand in the workspace").to_owned()
}

fn page() -> String {
    fs::read_to_string(root().join("LIMITS.md")).expect("the page can be read")
}

fn source(path: &str) -> String {
    fs::read_to_string(root().join("runtime/src").join(path)).unwrap_or_else(|error| panic!("`{path}`: {error}"))
}

/// The fixed limits that the page names: file, constant and value.
fn fixed(page: &str) -> Vec<(&str, &str, &str)> {
    let cells = page.lines().filter_map(|line| line.strip_suffix("` |")?.rsplit_once("| `").map(|(_, cell)| cell));
    let places = cells.filter_map(|cell| cell.split_once(": ").filter(|(path, _)| path.ends_with(".rs")));
    places.filter_map(|(path, rest)| rest.split_once(" = ").map(|(name, value)| (path, name, value))).collect()
}

/// Name and value of the constants at the top of a file that are limits.
fn constants(source: &str) -> Vec<(&str, &str)> {
    let lines =
        source.lines().filter_map(|line| line.strip_prefix("pub(super) ").unwrap_or(line).strip_prefix("const "));
    let typed = lines.filter_map(|line| line.strip_suffix(';')?.split_once(": "));
    let valued = typed.filter_map(|(name, rest)| Some((name, rest.split_once(" = ")?.1)));
    valued.filter(|(name, _)| name.ends_with("_MAX")).collect()
}

#[test]
fn what_the_page_says_of_fixed_limits_is_what_the_code_has() {
    let page = page();
    let fixed = fixed(&page);
    assert!(fixed.len() > 50, "the page is read as it is written: {}", fixed.len());
    for (path, name, value) in &fixed {
        let source = source(path);
        let has = |line: &str| line.contains(&format!("const {name}: ")) && line.ends_with(&format!(" = {value};"));
        assert!(source.lines().any(has), "LIMITS.md: `{path}` has no `{name}` of {value}");
    }
    for path in ["sandbox/limits.rs", "sandbox/bounds.rs", "capability/allowance.rs", "capability/cache.rs"] {
        for (name, value) in constants(&source(path)) {
            assert!(fixed.contains(&(path, name, value)), "LIMITS.md lacks `{path}: {name} = {value}`");
        }
    }
}

#[test]
fn the_page_names_the_defaults_that_are_in_force() {
    let (page, printed) = (page(), Config::default().to_toml(Secrets::Shown));
    let (_, section) = printed.split_once("[plugins.defaults]\n").expect("there are defaults");
    let lines: Vec<_> = section.lines().take_while(|line| !line.is_empty()).collect();
    assert!(lines.len() > 5, "{printed}");
    for line in lines {
        assert!(page.contains(&format!("`{line}`")), "LIMITS.md lacks `{line}`");
    }
}
