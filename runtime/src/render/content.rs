//! What a template wrote, put over what the notification brought.

use crate::call::TemplateProblem;
use crate::domain::{Content, Part};

use super::html;

/// The plain text of a content in which nobody wrote one: its markdown as it is, else its HTML without markup.
///
/// ```
/// use campanile::domain::Content;
/// use campanile::render::derive_text;
///
/// let content = Content { html: Some("<p>Hello <b>Ada</b></p>".to_owned()), ..Content::default() };
/// assert_eq!(derive_text(&content), "Hello Ada");
/// ```
#[must_use]
pub fn derive_text(content: &Content) -> String {
    match (&content.markdown, &content.html) {
        (Some(markdown), _) => markdown.trim().to_owned(),
        (None, Some(html)) => html::to_text(html),
        (None, None) => String::new(),
    }
}

/// The notification's own content with the rendered parts over it. A part that came out blank was not written.
pub(super) fn merge(own: &Content, rendered: Vec<(String, String)>) -> Result<Content, TemplateProblem> {
    let mut content = own.clone();
    for (name, value) in rendered {
        if value.trim().is_empty() {
            continue;
        }
        match name.as_str() {
            // One line: a title stands in headers and lists.
            "title" => content.title = Some(value.split_whitespace().collect::<Vec<_>>().join(" ")),
            "text" => content.text = value,
            "html" => content.html = Some(value),
            "markdown" => content.markdown = Some(value),
            _ => match content.parts.iter_mut().find(|part| part.name == name) {
                Some(part) => part.value = value,
                None => content.parts.push(Part { name, value }),
            },
        }
    }
    if content.text.is_empty() {
        content.text = derive_text(&content);
    }
    if content.text.is_empty() && content.title.is_none() {
        let message = "neither text nor title came out of the template".to_owned();
        return Err(TemplateProblem { part: "text".to_owned(), line: 0, column: 0, message });
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(parts: &[(&str, &str)]) -> Vec<(String, String)> {
        parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_rendered_part_goes_before_what_the_notification_brought() {
        let own = Content {
            title: Some("own".to_owned()),
            text: "own".to_owned(),
            parts: vec![Part { name: "preheader".to_owned(), value: "own".to_owned() }],
            ..Content::default()
        };
        let rendered = parts(&[("text", "new"), ("title", " \n"), ("preheader", "new"), ("sms", "short")]);
        let content = merge(&own, rendered).unwrap();
        assert_eq!((content.title.as_deref(), content.text.as_str()), (Some("own"), "new"));
        let values: Vec<_> = content.parts.iter().map(|part| (part.name.as_str(), part.value.as_str())).collect();
        assert_eq!(values, [("preheader", "new"), ("sms", "short")]);
    }

    #[test]
    fn a_title_is_one_line() {
        let content = merge(&Content::default(), parts(&[("title", "a\r\nBcc: b\n")])).unwrap();
        assert_eq!(content.title.as_deref(), Some("a Bcc: b"));
    }

    #[test]
    fn text_is_derived_from_markdown_before_html_if_nobody_wrote_it() {
        let content = merge(&Content::default(), parts(&[("html", "<p>h</p>"), ("markdown", "*m*\n")])).unwrap();
        assert_eq!(content.text, "*m*");
        let content = merge(&Content::default(), parts(&[("html", "<p>h</p>")])).unwrap();
        assert_eq!(content.text, "h");
    }

    #[test]
    fn a_template_that_writes_nothing_is_a_problem() {
        assert!(merge(&Content::default(), parts(&[("text", " "), ("sms", "x")])).is_err());
    }
}
