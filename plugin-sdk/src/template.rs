//! The trait a template engine implements, and its values.

use crate::{EngineAbout, Pairs, Part};

/// Turns templates and data into the parts of a message.
///
/// ```
/// use campanile_plugin_sdk::{export_template_engine, EngineAbout, Part, RenderOptions};
/// use campanile_plugin_sdk::{Template, TemplateEngine, TemplateInfo, TemplateProblem};
///
/// /// Gives every part back as it is.
/// pub struct Verbatim;
///
/// impl TemplateEngine for Verbatim {
///     const ABOUT: EngineAbout = EngineAbout {
///         name: "verbatim",
///         version: "0.1.0",
///         summary: "No templates at all",
///         extensions: &["txt"],
///         ..EngineAbout::NONE
///     };
///
///     fn check(_: &Template) -> Result<TemplateInfo, Vec<TemplateProblem>> {
///         Ok(TemplateInfo::default())
///     }
///
///     fn render(template: &Template, _: &str, _: &RenderOptions) -> Result<Vec<Part>, TemplateProblem> {
///         Ok(template.parts.clone())
///     }
/// }
///
/// export_template_engine!(Verbatim);
/// ```
pub trait TemplateEngine {
    /// What the engine says of itself.
    const ABOUT: EngineAbout;

    /// At registration, without data: the variables it reads.
    ///
    /// # Errors
    ///
    /// All problems that can be seen.
    fn check(template: &Template) -> Result<TemplateInfo, Vec<TemplateProblem>>;

    /// The template's parts, filled in. `data` is a JSON object.
    ///
    /// # Errors
    ///
    /// The first problem met.
    fn render(template: &Template, data: &str, options: &RenderOptions) -> Result<Vec<Part>, TemplateProblem>;
}

/// A template as it is registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// Its registered name.
    pub name: String,
    /// `title`, `text`, `html` (escaped by default), `markdown`, or any other name.
    pub parts: Vec<Part>,
    /// What parts may include, by name.
    pub includes: Vec<Part>,
}

/// What a check found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateInfo {
    /// What the template reads of its data.
    pub variables: Vec<Variable>,
}

/// One name a template reads of its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variable {
    /// The top-level key.
    pub name: String,
    /// Rendering fails without it.
    pub required: bool,
}

/// How to render.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenderOptions {
    /// BCP 47.
    pub locale: Option<String>,
    /// IANA name.
    pub time_zone: Option<String>,
    /// The wall clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// An undefined variable is a problem.
    pub strict: bool,
    /// Room for later versions: ignore what you do not know.
    pub extra: Pairs,
}

/// What is wrong with a template, or with its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateProblem {
    /// The part it is in.
    pub part: String,
    /// From 1; 0 is unknown.
    pub line: u32,
    /// From 1; 0 is unknown.
    pub column: u32,
    /// A sentence for the template's author.
    pub message: String,
}
