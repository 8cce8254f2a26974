//! The golden cases without a sandbox: `cargo test`, for a debugger.

#[test]
fn every_case_ends_as_it_says() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");
    campanile_plugin_sdk::testing::run_template_cases::<{{crate}}::{{type}}>(folder);
}
