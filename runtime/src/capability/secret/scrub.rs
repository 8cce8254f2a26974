//! Blanks out secrets in what comes back from a provider: some repeat in an error what they were sent.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// What stands in the place of a secret.
const BLANK: &str = "***";
/// Shorter values are words of every text; to blank them out would ruin replies and hide nothing.
const VALUE_BYTES_MIN: usize = 4;
/// The path of a URL that is a secret is one too, unless it is as short as `/` or `/hook`.
const PATH_BYTES_MIN: usize = 8;

/// What RFC 3986 calls unreserved stays.
pub(crate) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Finds some secrets in every spelling that a provider may give them.
pub(crate) struct Scrubber {
    finder: AhoCorasick,
    spellings: Vec<String>,
}

impl Scrubber {
    /// None: there is nothing to look for.
    pub(crate) fn new<'a>(values: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut spellings: Vec<String> = values.flat_map(spellings).collect();
        spellings.sort_unstable();
        spellings.dedup();
        if spellings.is_empty() {
            return None;
        }
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            // A table for each byte of each spelling would take megabytes where a secret is a key in PEM.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&spellings)
            .ok()?;
        Some(Self { finder, spellings })
    }

    pub(crate) fn text(&self, text: &mut String) {
        if self.finder.is_match(text.as_str()) {
            let mut clean = String::with_capacity(text.len());
            self.finder.replace_all_with(text, &mut clean, |_, _, clean| {
                clean.push_str(BLANK);
                true
            });
            *text = clean;
        }
    }

    /// With `cut` the bytes may end within a secret.
    pub(crate) fn bytes(&self, bytes: &mut Bytes, cut: bool) {
        let mut clean = Vec::new();
        if self.finder.is_match(&bytes[..]) {
            clean.reserve(bytes.len());
            self.finder.replace_all_with_bytes(&bytes[..], &mut clean, |_, _, clean| {
                clean.extend_from_slice(BLANK.as_bytes());
                true
            });
            *bytes = clean.into();
        }
        if cut && let Some(begun) = self.begun(bytes) {
            let mut clean = bytes[..bytes.len() - begun].to_vec();
            clean.extend_from_slice(BLANK.as_bytes());
            *bytes = clean.into();
        }
    }

    /// How much of the end is the beginning of a secret.
    fn begun(&self, bytes: &[u8]) -> Option<usize> {
        let longest = |spelling: &String| {
            let spelling = spelling.as_bytes();
            let most = bytes.len().min(spelling.len().saturating_sub(1));
            (VALUE_BYTES_MIN..=most).rev().find(|length| bytes.ends_with(&spelling[..*length]))
        };
        self.spellings.iter().filter_map(longest).max()
    }
}

fn spellings(value: &str) -> Vec<String> {
    if value.len() < VALUE_BYTES_MIN {
        return Vec::new();
    }
    let percent = utf8_percent_encode(value, ENCODED).to_string();
    let json = json_escaped(value);
    let mut all = vec![
        value.to_owned(),
        lower_hex(&percent),
        percent.replace("%20", "+"),
        percent,
        json.replace('/', "\\/"),
        json,
        STANDARD_NO_PAD.encode(value),
        URL_SAFE_NO_PAD.encode(value),
    ];
    if let Ok(url) = Url::parse(value)
        && url.has_host()
    {
        let path = url[url::Position::BeforePath..].trim_start_matches('/');
        if path.len() >= PATH_BYTES_MIN {
            all.push(path.to_owned());
            all.push(path.replace('/', "\\/"));
        }
        all.push(url.into());
    }
    all
}

/// Without the quotes around it.
pub(crate) fn json_escaped(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// `%2F` as `%2f`.
fn lower_hex(percent: &str) -> String {
    let mut parts = percent.split('%');
    let mut lower = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (hex, rest) = part.split_at(2);
        lower.extend(["%", &hex.to_ascii_lowercase(), rest]);
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr/t \"ü\"";

    fn scrubbed(values: &[&str], text: &str, cut: bool) -> String {
        let mut bytes = Bytes::copy_from_slice(text.as_bytes());
        let mut same = text.to_owned();
        if let Some(scrubber) = Scrubber::new(values.iter().copied()) {
            scrubber.bytes(&mut bytes, cut);
            scrubber.text(&mut same);
        }
        let clean = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(cut || same == clean, "text and bytes are judged alike");
        clean
    }

    #[test]
    fn a_secret_is_blanked_out_in_every_spelling() {
        for spelling in [
            SECRET,
            "s3cr%2Ft%20%22%C3%BC%22",
            "s3cr%2ft%20%22%c3%bc%22",
            "s3cr%2Ft+%22%C3%BC%22",
            r#"s3cr/t \"ü\""#,
            r#"s3cr\/t \"ü\""#,
            "czNjci90ICLDvCI",
        ] {
            assert_eq!(scrubbed(&[SECRET], &format!("<{spelling}>"), false), "<***>", "{spelling}");
        }
        assert_eq!(scrubbed(&["?>?>?>"], "Pz4/Pj8+ Pz4_Pj8-", false), "*** ***");
    }

    #[test]
    fn the_path_of_a_secret_url_is_a_secret() {
        let url = "https://hooks.example.com/services/T0/B0/xyz";
        assert_eq!(scrubbed(&[url], &format!("{url}: no_team at /services/T0/B0/xyz"), false), "***: no_team at /***");
        assert_eq!(scrubbed(&["https://hooks.example.com/hook"], "no hook", false), "no hook");
    }

    #[test]
    fn the_longest_of_overlapping_secrets_goes_and_short_ones_stay() {
        assert_eq!(scrubbed(&["abcd", "abcdef"], "abcdefg abcd", false), "***g ***");
        assert_eq!(scrubbed(&["abc", ""], "abc", false), "abc");
    }

    #[test]
    fn a_secret_that_the_end_cuts_off_is_blanked_out_only_there() {
        assert_eq!(scrubbed(&["token-12345"], "the token-12", true), "the ***");
        assert_eq!(scrubbed(&["token-12345"], "the tok", true), "the tok");
        assert_eq!(scrubbed(&["token-12345"], "the token-12", false), "the token-12");
        assert_eq!(scrubbed(&["token-12345"], "token-12345 and token", true), "*** and ***");
    }
}
