//! Template engine: Jinja, by [MiniJinja](https://docs.rs/minijinja).
//!
//! *Flow:* `scan` reads a template without data, `engine` renders it, `problem` says where something is wrong.
//!
//! *Not here:* files, versions, caches. The host keeps templates and hands over all sources with each call.

mod engine;
mod instant;
mod problem;
mod scan;

use campanile_plugin_sdk::{
    EngineAbout, Part, RenderOptions, Template, TemplateEngine, TemplateInfo, TemplateProblem, export_template_engine,
};

/// The engine. README.md beside this crate lists what it can do.
#[derive(Clone, Copy, Debug)]
pub struct Minijinja;

impl TemplateEngine for Minijinja {
    const ABOUT: EngineAbout = EngineAbout {
        name: "minijinja",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Jinja templates, with HTML escaped by default",
        homepage: Some("https://docs.rs/minijinja"),
        license: Some("MIT OR Apache-2.0"),
        extensions: &["j2", "jinja"],
        features: &["html-escape", "includes", "strict"],
        ..EngineAbout::NONE
    };

    fn check(template: &Template) -> Result<TemplateInfo, Vec<TemplateProblem>> {
        scan::scan(template)
    }

    fn render(template: &Template, data: &str, options: &RenderOptions) -> Result<Vec<Part>, TemplateProblem> {
        engine::render(template, data, options)
    }
}

export_template_engine!(Minijinja);
