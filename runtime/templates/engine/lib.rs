//! Fills in `${name}` from the data.

use std::collections::BTreeSet;

use campanile_plugin_sdk::{
    EngineAbout, Part, RenderOptions, Template, TemplateEngine, TemplateInfo, TemplateProblem, Value, Variable,
    export_template_engine,
};

/// All rendered parts together, in bytes: a template that is longer ends as a problem, not as a fault of this plugin.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

pub struct {{type}};

impl TemplateEngine for {{type}} {
    const ABOUT: EngineAbout = EngineAbout {
        name: "{{name}}",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Fills in ${name} from the data",
        extensions: &["{{name}}"],
        features: &["html-escape", "strict"],
        ..EngineAbout::NONE
    };

    fn check(template: &Template) -> Result<TemplateInfo, Vec<TemplateProblem>> {
        let (mut names, mut problems) = (BTreeSet::new(), Vec::new());
        for part in &template.parts {
            match pieces(part) {
                Ok(pieces) => names.extend(pieces.into_iter().filter_map(|piece| piece.name)),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let variables = names.into_iter().map(|name| Variable { name: name.to_owned(), required: true });
        Ok(TemplateInfo { variables: variables.collect() })
    }

    fn render(template: &Template, data: &str, options: &RenderOptions) -> Result<Vec<Part>, TemplateProblem> {
        let whole = Part { name: "data".to_owned(), value: data.to_owned() };
        let data: Value = data.parse().map_err(|_| problem(&whole, 0, "the data is not JSON"))?;
        let mut room = OUTPUT_BYTES_MAX;
        template.parts.iter().map(|part| fill(part, &data, options.strict, &mut room)).collect()
    }
}

/// A stretch of text, and the name of the variable behind it with its place in bytes.
struct Piece<'a> {
    text: &'a str,
    name: Option<&'a str>,
    at: usize,
}

fn pieces(part: &Part) -> Result<Vec<Piece<'_>>, TemplateProblem> {
    let (mut pieces, mut rest, mut done) = (Vec::new(), part.value.as_str(), 0);
    while let Some(start) = rest.find("${") {
        let at = done + start;
        let length = rest[start..].find('}').ok_or_else(|| problem(part, at, "`${` without `}`"))?;
        pieces.push(Piece { text: &rest[..start], name: Some(rest[start + 2..start + length].trim()), at });
        rest = &rest[start + length + 1..];
        done = at + length + 1;
    }
    pieces.push(Piece { text: rest, name: None, at: done });
    Ok(pieces)
}

fn fill(part: &Part, data: &Value, strict: bool, room: &mut usize) -> Result<Part, TemplateProblem> {
    let is_html = part.name == "html" || part.name.ends_with(".html");
    let mut value = String::new();
    for Piece { text, name, at } in pieces(part)? {
        let filled = match name.map(|name| (name, data.get(name))) {
            None => String::new(),
            Some((_, Some(Value::String(text)))) => text.clone(),
            Some((name, None | Some(Value::Null))) if strict => {
                return Err(problem(part, at, &format!("the data has no `{name}`")));
            }
            Some((_, None | Some(Value::Null))) => String::new(),
            Some((_, Some(other))) => other.to_string(),
        };
        let filled = if is_html { escaped(&filled) } else { filled };
        let left = room.checked_sub(text.len() + filled.len());
        *room = left.ok_or_else(|| problem(part, at, &format!("the parts have over {OUTPUT_BYTES_MAX} bytes together")))?;
        value.extend([text, &filled]);
    }
    Ok(Part { name: part.name.clone(), value })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Lines and columns count from 1; a column is a character.
fn problem(part: &Part, at: usize, message: &str) -> TemplateProblem {
    let before = &part.value[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    TemplateProblem {
        part: part.name.clone(),
        line: number(line),
        column: number(column),
        message: message.to_owned(),
    }
}

export_template_engine!({{type}});
