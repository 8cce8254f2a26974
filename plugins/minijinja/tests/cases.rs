//! Golden cases: each file in `cases/` is a template with data and what comes of it.

#[test]
fn every_case_comes_out_as_written() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");
    campanile_plugin_sdk::testing::run_template_cases::<minijinja::Minijinja>(folder);
}
