//! Content → the line. Pure.

use campanile_plugin_sdk::{Call, time};

/// `2026-01-31T12:00:00Z high     Title: text`, on one line whatever the content holds.
pub fn line(call: &Call) -> String {
    let content = call.content();
    let mut line = time::rfc3339(call.context.now_ms);
    line.push_str(&format!(" {:<8} ", call.notification.priority.name()));
    if !call.recipient.address.is_empty() {
        escape_into(&mut line, &call.recipient.address);
        line.push(' ');
    }
    if let Some(title) = &content.title {
        escape_into(&mut line, title);
        line.push_str(": ");
    }
    escape_into(&mut line, &content.text);
    line
}

/// Appends `text` so that it can forge neither a line nor a terminal's escape sequence: controls (C0, DEL, C1), line
/// and paragraph separators and the marks that turn the direction of text are written as `\n`, `\u{1b}` and so on, the
/// backslash itself as `\\`.
fn escape_into(line: &mut String, text: &str) {
    for c in text.chars() {
        let is_unsafe = c.is_control()
            || matches!(c, '\\' | '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if is_unsafe {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}
