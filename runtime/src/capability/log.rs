//! What a plugin says, made fit for an operator's eyes: nothing that writes to a terminal, no handle of a secret.
//!
//! *Not here:* how much a call may say (`sandbox::output`); secrets' values, which no plugin has.

use std::borrow::Cow;

/// What every handle begins with.
const HANDLE: &str = "csec_";
/// What stands in place of one: no longer than the shortest, so that a text within a limit stays within it.
const BLANK: &str = "***";

/// The text without handles of secrets and without control characters, which become spaces. One that is fit already is
/// handed back as it is.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(HANDLE) && !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(HANDLE) {
        push_visible(&mut clean, &rest[..at]);
        let behind = &rest[at + HANDLE.len()..];
        // Also one that was cut off, or that goes on: a guest may have joined it with something.
        let end = behind.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(behind.len());
        let end = behind.find(HANDLE).unwrap_or(end).min(end);
        clean.push_str(BLANK);
        rest = &behind[end..];
    }
    push_visible(&mut clean, rest);
    Cow::Owned(clean)
}

fn push_visible(clean: &mut String, text: &str) {
    clean.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_and_what_writes_to_a_terminal_are_blanked() {
        let handle = "csec_0123456789abcdefghjkmnpqrs";
        let cases = [
            ("", ""),
            ("Provider is slow.", "Provider is slow."),
            ("\u{1b}[31mred\r\nnext", " [31mred  next"),
            ("csec_", "***"),
            ("csec_012…", "***…"),
            ("https://csec_abc/csec_def?x=csec_ghi", "https://***/***?x=***"),
            ("grüße csec_ABC-ü", "grüße ***-ü"),
        ];
        for (said, shown) in cases {
            assert_eq!(clean(said), shown);
        }
        assert_eq!(clean(&format!("with {handle}{handle}\u{7}")), "with ****** ");
        assert!(matches!(clean("fit already"), Cow::Borrowed(_)));
    }
}
