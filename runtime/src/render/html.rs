//! Plain text from an HTML fragment.
//!
//! Not a browser: unknown tags are skipped, nothing is fetched, and the work is linear in the length of the input,
//! whatever is in it.

/// Tags whose content is not text.
const HIDDEN: [&str; 6] = ["script", "style", "head", "title", "template", "noscript"];

/// Tags that begin on a line of their own.
const BLOCKS: [&str; 16] = [
    "address",
    "article",
    "blockquote",
    "dd",
    "div",
    "dl",
    "dt",
    "footer",
    "form",
    "header",
    "li",
    "ol",
    "section",
    "tr",
    "table",
    "ul",
];

/// Tags with an empty line around them.
const PARAGRAPHS: [&str; 9] = ["p", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "pre"];

/// The longest entity: `&thinsp;` and the like, and `&#x10FFFF;`.
const ENTITY_MAX: usize = 12;

/// What a reader would see, by lines: blocks on lines of their own, links with their address behind them.
pub(super) fn to_text(html: &str) -> String {
    let mut text = Text::default();
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        text.push(&rest[..at]);
        rest = &rest[at..];
        rest = if rest.starts_with('&') { entity(rest, &mut text) } else { markup(rest, &mut text) };
    }
    text.push(rest);
    text.done()
}

/// Takes one entity, or the `&` alone where it begins none.
fn entity<'h>(html: &'h str, text: &mut Text) -> &'h str {
    let end = html.bytes().take(ENTITY_MAX).position(|byte| byte == b';');
    if let Some(end) = end
        && let Some(character) = character(&html[1..end])
    {
        // Whitespace that was written on purpose is not collapsed.
        text.push_exact(character);
        return &html[end + 1..];
    }
    text.push("&");
    &html[1..]
}

fn character(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|c| !c.is_control() || *c == '\n' || *c == '\t');
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "copy" => '©',
        "reg" => '®',
        "trade" => '™',
        "hellip" => '…',
        "ndash" => '–',
        "mdash" => '—',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "laquo" => '«',
        "raquo" => '»',
        "bull" => '•',
        "middot" => '·',
        "euro" => '€',
        "times" => '×',
        _ => return None,
    })
}

/// Takes one tag or comment, or the `<` alone where it begins none.
fn markup<'h>(html: &'h str, text: &mut Text) -> &'h str {
    if let Some(comment) = html.strip_prefix("<!--") {
        return comment.find("-->").map_or("", |end| &comment[end + 3..]);
    }
    let inner = &html[1..];
    if !inner.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?')) {
        text.push("<");
        return inner;
    }
    let Some(end) = tag_end(inner) else { return "" };
    let (tag, rest) = (&inner[..end], &inner[end + 1..]);
    let (closing, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
    let name_end = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
    let name = tag[..name_end].to_ascii_lowercase();
    if !closing && HIDDEN.contains(&name.as_str()) {
        return behind_close(rest, &name);
    }
    apply(&name, closing, &tag[name_end..], text);
    rest
}

fn apply(name: &str, closing: bool, attributes: &str, text: &mut Text) {
    match (name, closing) {
        ("br", _) => text.break_line(),
        ("li", false) => {
            text.lines(1);
            text.push_exact('-');
            text.push(" ");
        }
        ("a", false) => text.open_link(attribute(attributes, "href")),
        ("a", true) => text.close_link(),
        ("img", false) => text.push(attribute(attributes, "alt").unwrap_or_default()),
        ("td" | "th", false) => text.push(" "),
        (name, _) if BLOCKS.contains(&name) => text.lines(1),
        (name, _) if PARAGRAPHS.contains(&name) => text.lines(2),
        _ => {}
    }
}

/// The `>` of a tag: one within quotes is part of a value.
fn tag_end(inner: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in inner.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    // A quote that is never closed: take it for part of the text.
    quote.and_then(|_| inner.find('>'))
}

/// What follows `</name…>`; nothing where it is never closed.
fn behind_close<'h>(html: &'h str, name: &str) -> &'h str {
    let mut rest = html;
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        if rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            return rest.find('>').map_or("", |end| &rest[end + 1..]);
        }
    }
    ""
}

/// The value of one attribute, as it is written.
fn attribute<'h>(attributes: &'h str, name: &str) -> Option<&'h str> {
    let mut rest = attributes;
    while let Some(equals) = rest.find('=') {
        let key = rest[..equals].trim_end().rsplit(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default();
        let value = rest[equals + 1..].trim_start();
        let (value, behind) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split_once(quote)?,
            _ => value.split_at(value.find(|c: char| c.is_ascii_whitespace()).unwrap_or(value.len())),
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = behind;
    }
    None
}

/// Text under way: runs of whitespace become one space, and lines begin where blocks do.
#[derive(Default)]
struct Text {
    text: String,
    /// A space is owed before the next character of the line.
    space: bool,
    /// Where the open link leads, and where its label begins.
    link: Option<(String, usize)>,
}

impl Text {
    fn push(&mut self, more: &str) {
        for c in more.chars() {
            if c.is_ascii_whitespace() {
                self.space = true;
            } else {
                self.push_exact(c);
            }
        }
    }

    fn push_exact(&mut self, c: char) {
        if std::mem::take(&mut self.space) && !self.text.is_empty() && !self.text.ends_with(['\n', ' ']) {
            self.text.push(' ');
        }
        self.text.push(c);
    }

    fn break_line(&mut self) {
        self.space = false;
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push('\n');
    }

    /// At least `count` line breaks before what follows.
    fn lines(&mut self, count: usize) {
        self.space = false;
        self.text.truncate(self.text.trim_end_matches(' ').len());
        if self.text.is_empty() {
            return;
        }
        let there = self.text.len() - self.text.trim_end_matches('\n').len();
        (there..count).for_each(|_| self.text.push('\n'));
    }

    fn open_link(&mut self, target: Option<&str>) {
        let shown =
            target.filter(|target| ["https://", "http://", "mailto:"].iter().any(|scheme| target.starts_with(scheme)));
        self.link = shown.map(|target| (target.replace("&amp;", "&"), self.text.len()));
    }

    /// Puts the address behind the label, unless the label is the address.
    fn close_link(&mut self) {
        let Some((target, start)) = self.link.take() else { return };
        let label = self.text.get(start..).unwrap_or_default().trim();
        if label != target && Some(label) != target.strip_prefix("mailto:") {
            let behind = if label.is_empty() { target } else { format!(" ({target})") };
            self.text.push_str(&behind);
        }
    }

    fn done(self) -> String {
        self.text.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blocks_begin_on_lines_of_their_own() {
        let html =
            "<h1>Disk  full</h1>\n<p>db-3 is at\n<b>91&nbsp;%</b>.<br>Act now.</p><ul><li>one</li><li>two</li></ul>end";
        assert_eq!(to_text(html), "Disk full\n\ndb-3 is at 91 %.\nAct now.\n\n- one\n- two\nend");
    }

    #[test]
    fn what_is_not_text_is_left_out() {
        let html = "a<!-- <p>no --><script>if (1 < 2) { '</p>' }</script ><style>p{}</style><img src=x alt=\"a cat\">b";
        assert_eq!(to_text(html), "aa catb");
        assert_eq!(to_text("before<script>never closed"), "before");
    }

    #[test]
    fn a_link_has_its_address_behind_it_unless_it_is_its_own_label() {
        assert_eq!(
            to_text("<a class='b>c' href=\"https://x.example/?a=1&amp;b=2\">Open</a>"),
            "Open (https://x.example/?a=1&b=2)"
        );
        assert_eq!(to_text("<a href=https://x.example>https://x.example</a>"), "https://x.example");
        assert_eq!(to_text("<a href='javascript:alert(1)'>Open</a>"), "Open");
    }

    #[test]
    fn what_only_looks_like_markup_stays() {
        assert_eq!(to_text("1 < 2 && 3 > 2 &unknown; &#xD800; &#65;"), "1 < 2 && 3 > 2 &unknown; &#xD800; A");
    }

    proptest! {
        #[test]
        fn any_input_has_an_end(html in "([<>&;/=\"' a-z#!-]|<a href=|<script|</script|&amp;|é){0,200}") {
            prop_assert!(to_text(&html).len() <= 2 * html.len());
        }

        #[test]
        fn escaped_text_comes_back(words in proptest::collection::vec("[!-~é]{1,8}", 0..10)) {
            let text = words.join(" ");
            let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            prop_assert_eq!(to_text(&html), text);
        }
    }
}
