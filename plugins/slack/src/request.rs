//! Content → request. Pure.
//!
//! Blocks and their limits: <https://docs.slack.dev/reference/block-kit/blocks>

use campanile_plugin_sdk::{Action, ActionStyle, Call, Content, Value, json};

/// Text of a header block, in characters (Slack, "Header block").
pub const HEADER_CHARS_MAX: u32 = 150;
/// Text of a section block, in characters (Slack, "Section block").
pub const SECTION_CHARS_MAX: u32 = 3000;
/// Elements of an actions block (Slack, "Actions block").
const ACTIONS_MAX: usize = 25;
/// Text of a button, in characters (Slack, "Button element").
const LABEL_CHARS_MAX: u32 = 75;
/// URL of a button, in characters (Slack, "Button element").
const URL_CHARS_MAX: usize = 3000;
/// Identifier of an element, in characters (Slack, "Button element").
const ACTION_ID_CHARS_MAX: u32 = 255;

/// The message: `blocks` to look at, `text` for notifications and screen readers.
///
/// A part `slack-blocks` that holds a list takes the place of the blocks made here.
#[must_use]
pub fn body(username: Option<&str>, call: &Call) -> Value {
    let content = call.content();
    let mut message = json!({ "text": fallback(content), "blocks": blocks(content, &call.notification.actions) });
    if let Some(username) = username {
        message["username"] = username.into();
    }
    message
}

fn fallback(content: &Content) -> String {
    let text = escape(&content.text);
    match &content.title {
        Some(title) => format!("{}\n{text}", escape(title)),
        None => text,
    }
}

fn blocks(content: &Content, actions: &[Action]) -> Value {
    let own = content.part("slack-blocks").and_then(|part| serde_json::from_str(part).ok());
    if let Some(own @ Value::Array(_)) = own {
        return own;
    }
    let mut blocks = Vec::new();
    if let Some(title) = content.title.as_deref().filter(|title| !title.trim().is_empty()) {
        blocks.push(json!({ "type": "header", "text": plain(title, HEADER_CHARS_MAX) }));
    }
    // Markdown comes from the caller as Slack's own dialect or close to it; its markup must survive.
    let text = match &content.markdown {
        Some(markdown) => escape_markup(markdown),
        None => escape(&content.text),
    };
    if !text.trim().is_empty() {
        let text = shorten_escaped(&text, SECTION_CHARS_MAX);
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } }));
    }
    let buttons: Vec<Value> = actions.iter().filter_map(button).take(ACTIONS_MAX).collect();
    if !buttons.is_empty() {
        blocks.push(json!({ "type": "actions", "elements": buttons }));
    }
    Value::Array(blocks)
}

/// A link button. An incoming webhook cannot be answered, so an action without a URL has no button.
fn button(action: &Action) -> Option<Value> {
    let url = action.url.as_deref().filter(|url| url.chars().count() <= URL_CHARS_MAX)?;
    let mut button = json!({
        "type": "button",
        "action_id": shorten(&action.id, ACTION_ID_CHARS_MAX),
        "text": plain(&action.label, LABEL_CHARS_MAX),
        "url": url,
    });
    match action.style {
        ActionStyle::Plain => {}
        ActionStyle::Primary | ActionStyle::Danger => button["style"] = action.style.name().into(),
    }
    Some(button)
}

fn plain(text: &str, max: u32) -> Value {
    json!({ "type": "plain_text", "text": shorten(text, max), "emoji": true })
}

/// At most `max` characters, the last one `…` if some are missing.
fn shorten(text: &str, max: u32) -> String {
    let max = max as usize;
    if text.chars().count() <= max {
        return text.into();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// As [`shorten`], without leaving half of `&amp;` at the end.
fn shorten_escaped(text: &str, max: u32) -> String {
    let short = shorten(text, max);
    if short.len() == text.len() {
        return short;
    }
    let body = short.trim_end_matches('…');
    match body.rfind('&') {
        Some(start) if !body[start..].contains(';') => format!("{}…", &body[..start]),
        Some(_) | None => short,
    }
}

/// `&`, `<` and `>` are Slack's control characters: <https://docs.slack.dev/messaging/formatting-message-text#escaping>
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Escapes all but the markup that Markdown needs of the three: `>` that starts a quoted line, and links
/// `<https://…|label>`. Mentions such as `<!channel>` stay text: content must not ring everybody.
fn escape_markup(markdown: &str) -> String {
    let mut escaped = String::with_capacity(markdown.len());
    for (index, line) in markdown.split('\n').enumerate() {
        if index > 0 {
            escaped.push('\n');
        }
        let mut rest = match line.strip_prefix('>') {
            Some(quoted) => {
                escaped.push('>');
                quoted
            }
            None => line,
        };
        while let Some((before, link, after)) = next_link(rest) {
            escaped.push_str(&escape(before));
            escaped.push('<');
            escaped.push_str(&escape(link));
            escaped.push('>');
            rest = after;
        }
        escaped.push_str(&escape(rest));
    }
    escaped
}

/// The first `<http…>` or `<mailto:…>`: what is before, in it, and after.
fn next_link(text: &str) -> Option<(&str, &str, &str)> {
    let is_link = |rest: &str| ["http://", "https://", "mailto:"].iter().any(|scheme| rest.starts_with(scheme));
    let start = text.match_indices('<').map(|(at, _)| at).find(|at| is_link(&text[at + 1..]))?;
    let (link, after) = text[start + 1..].split_once('>')?;
    Some((&text[..start], link, after))
}
