//! From an error of the engine to a place in a source.

use std::collections::BTreeMap;
use std::error::Error as _;

use campanile_plugin_sdk::{Template, TemplateProblem};
use jinja::Error;

/// Every source by its name, as the loader has them.
pub(crate) type Sources<'s> = BTreeMap<&'s str, &'s str>;

/// The sources of a template. A part goes before an include of the same name.
pub(crate) fn sources(template: &Template) -> Sources<'_> {
    template.includes.iter().chain(&template.parts).map(|part| (part.name.as_str(), part.value.as_str())).collect()
}

/// Where and what is wrong, told of the innermost source: the include, not the part that includes it.
pub(crate) fn of_error(error: &Error, part: &str, sources: &Sources<'_>) -> TemplateProblem {
    let mut place = error;
    let mut innermost = error;
    while let Some(next) = innermost.source().and_then(|source| source.downcast_ref::<Error>()) {
        innermost = next;
        if innermost.line().is_some() {
            place = innermost;
        }
    }
    let name = place.name().unwrap_or(part);
    let (line, column) = match (place.range(), sources.get(name)) {
        (Some(range), Some(source)) => position(source, range.start),
        _ => (place.line().map_or(0, number), 0),
    };
    let mut message = text(place);
    if !std::ptr::eq(place, innermost) {
        message = format!("{message}: {}", text(innermost));
    }
    if name != part {
        message.push_str(&format!(", used by part `{part}`"));
    }
    TemplateProblem { part: name.to_owned(), line, column, message }
}

/// Kind and detail, without the place that `Display` adds.
fn text(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// Line and column of a byte, from 1; a column is a character. Both are 0 where the byte is not in the source.
pub(crate) fn position(source: &str, offset: usize) -> (u32, u32) {
    let Some(before) = source.get(..offset) else { return (0, 0) };
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let lines = before.bytes().filter(|byte| *byte == b'\n').count();
    (number(lines + 1), number(before[line_start..].chars().count() + 1))
}

/// A count as the contract has it.
pub(crate) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
