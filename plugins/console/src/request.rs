//! Content → the line. Pure.

use campanile_plugin_sdk::Call;

/// `2026-01-31T12:00:00Z high  Title: text`, on one line whatever the content holds.
pub fn line(call: &Call) -> String {
    let content = call.content();
    let mut line = time(call.context.now_ms);
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

/// RFC 3339 in whole seconds.
fn time(now_ms: u64) -> String {
    let seconds = now_ms / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`, for days from 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}
