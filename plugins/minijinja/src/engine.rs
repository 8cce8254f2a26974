//! Renders the parts of a template.

use std::collections::BTreeMap;
use std::io;

use campanile_plugin_sdk::{Part, RenderOptions, Template, TemplateProblem};
use jinja::value::ValueKind;
use jinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};

use crate::instant;
use crate::problem::{self, Sources};

/// All rendered parts together, in bytes. The largest mails and chat messages are far below.
pub(crate) const OUTPUT_MAX: usize = 1 << 20;

/// Instructions per part. A loop over 10,000 items with a few lines in it fits; one that runs away ends as a problem
/// of the template before it uses up the call's CPU time, which would be a fault of this plugin.
const FUEL: u64 = 200_000;

/// Depth of scopes; an include counts 10, a macro 4. The guest's stack of 256 KiB holds about three times as much.
const DEPTH_MAX: usize = 100;

/// Names that every template can read. Data of the same name goes before.
pub(crate) const GIVEN: [&str; 3] = ["now", "locale", "time_zone"];

/// Renders every part, in order.
pub(crate) fn render(template: &Template, data: &str, options: &RenderOptions) -> Result<Vec<Part>, TemplateProblem> {
    let context = context(data)?;
    let sources = problem::sources(template);
    let mut environment = environment(template);
    environment.set_undefined_behavior(if options.strict {
        // A test for truth is allowed, as in `{% if url %}`; printing, looping over and looking into nothing are not.
        UndefinedBehavior::SemiStrict
    } else {
        UndefinedBehavior::Chainable
    });
    add_given(&mut environment, options);

    let mut room = OUTPUT_MAX;
    let mut parts: Vec<Part> =
        template.parts.iter().map(|part| Part { name: part.name.clone(), ..Part::default() }).collect();
    // What an HTML part includes is escaped whatever it is called, so both kinds of part compile includes on their own.
    for escaped in [false, true] {
        environment.clear_templates();
        environment.set_auto_escape_callback(move |name| {
            if escaped || is_html(name) { AutoEscape::Html } else { AutoEscape::None }
        });
        for (part, rendered) in template.parts.iter().zip(&mut parts) {
            if is_html(&part.name) == escaped {
                rendered.value = render_part(&environment, part, context.clone(), &mut room, &sources)?;
            }
        }
    }
    Ok(parts)
}

/// `html` and everything that ends in `.html`.
fn is_html(name: &str) -> bool {
    name == "html" || name.ends_with(".html")
}

/// The filters, tests and functions there are, and what can be included: every part and include, parts first.
pub(crate) fn environment<'s>(template: &Template) -> Environment<'s> {
    let mut environment = Environment::new();
    // It prints everything there is: of use to nobody who receives a message.
    environment.remove_global("debug");
    // Off in a release build, where errors would not name what is undefined.
    environment.set_debug(true);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH_MAX);
    let includable: BTreeMap<String, String> = template
        .includes
        .iter()
        .chain(&template.parts)
        .map(|source| (source.name.clone(), source.value.clone()))
        .collect();
    environment.set_loader(move |name| Ok(includable.get(name).cloned()));
    environment
}

fn add_given(environment: &mut Environment<'_>, options: &RenderOptions) {
    environment.add_global("now", instant::rfc3339(options.now_ms));
    // What is not known stays undefined, so that `locale | default("en")` works.
    if let Some(locale) = &options.locale {
        environment.add_global("locale", locale.as_str());
    }
    if let Some(time_zone) = &options.time_zone {
        environment.add_global("time_zone", time_zone.as_str());
    }
}

fn context(data: &str) -> Result<Value, TemplateProblem> {
    let problem = |line, column, message: String| TemplateProblem { part: "data".to_owned(), line, column, message };
    let value: Value = serde_json::from_str(data).map_err(|error| {
        let message = format!("the data is not JSON: {}", of_category(error.classify()));
        problem(problem::number(error.line()), problem::number(error.column()), message)
    })?;
    if value.kind() == ValueKind::Map {
        Ok(value)
    } else {
        Err(problem(1, 1, format!("the data is a JSON {}, an object is needed", value.kind())))
    }
}

/// The parser's own message may quote the data, which belongs to a recipient.
fn of_category(category: serde_json::error::Category) -> &'static str {
    match category {
        serde_json::error::Category::Io => "it cannot be read",
        serde_json::error::Category::Syntax => "a character that does not belong there, or nesting over 128",
        serde_json::error::Category::Data => "a value that has no place in a template",
        serde_json::error::Category::Eof => "it ends too early",
    }
}

fn render_part<'s>(
    environment: &Environment<'s>,
    part: &'s Part,
    context: Value,
    room: &mut usize,
    sources: &Sources<'_>,
) -> Result<String, TemplateProblem> {
    let mut output = Output { bytes: Vec::with_capacity(part.value.len().min(*room)), room };
    environment
        .template_from_named_str(&part.name, &part.value)
        .and_then(|compiled| compiled.render_captured_to(context, &mut output).map(drop))
        .map_err(|error| match error.kind() {
            ErrorKind::WriteFailure => TemplateProblem {
                part: part.name.clone(),
                message: format!("the rendered parts have over {OUTPUT_MAX} bytes together"),
                ..TemplateProblem::default()
            },
            _ => problem::of_error(&error, &part.name, sources),
        })?;
    Ok(String::from_utf8(output.bytes).expect("the engine writes whole strings"))
}

/// Collects what is written, and refuses what is too much.
struct Output<'r> {
    bytes: Vec<u8>,
    room: &'r mut usize,
}

impl io::Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        *self.room = self.room.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
