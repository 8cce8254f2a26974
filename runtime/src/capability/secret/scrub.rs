//! Blanks out secrets in what comes back from a provider: some repeat in an error what they were sent.

mod escape;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Match, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use self::escape::{Escape, Undone};

/// What stands in the place of a secret.
const BLANK: &str = "***";
/// Shorter values are words of every text; to blank them out would ruin replies and hide nothing.
const VALUE_BYTES_MIN: usize = 4;
/// The path of a URL that is a secret is one too, unless it is as short as `/` or `/hook`.
const PATH_BYTES_MIN: usize = 8;

/// What RFC 3986 calls unreserved stays.
pub(crate) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Finds some secrets in the spellings that providers give them: as they are; as JSON and percent-encoded, whichever
/// characters are escaped; and in base64, also of a longer text that they are in. Each look reads a reply once, so the
/// cost grows with the reply and not with the number of secrets.
///
/// Not found: values under [`VALUE_BYTES_MIN`] bytes; what is escaped twice in one way, encoded twice, written as HTML
/// entities, in hex, in base64 with line breaks, or changed, as by upper case.
pub(crate) struct Scrubber {
    finder: AhoCorasick,
    spellings: Vec<Spelling>,
}

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Spelling {
    text: String,
    /// Letters of base64 before and behind it that tell a part of the secret, and a part of what stands beside it.
    edges: (usize, usize),
}

impl Spelling {
    fn whole(text: impl Into<String>) -> Self {
        Self { text: text.into(), edges: (0, 0) }
    }
}

impl Scrubber {
    /// None: there is nothing to look for.
    pub(crate) fn new<'a>(values: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut spellings: Vec<Spelling> = values.flat_map(spellings).collect();
        spellings.sort_unstable();
        // Of the same text, the one with more edges is the last.
        spellings.reverse();
        spellings.dedup_by(|one, other| one.text == other.text);
        if spellings.is_empty() {
            return None;
        }
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            // A table for each byte of each spelling would take megabytes where a secret is a key in PEM.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(spellings.iter().map(|spelling| &spelling.text))
            .ok()?;
        Some(Self { finder, spellings })
    }

    pub(crate) fn text(&self, text: &mut String) {
        let found = self.found(text.as_bytes(), false);
        if !found.is_empty() {
            // Escapes and spellings are whole characters, so nothing is lost; were one cut in two, it would be a mark.
            *text = String::from_utf8_lossy(&blanked(text.as_bytes(), &found)).into_owned();
        }
    }

    /// With `cut` the bytes may end within a secret.
    pub(crate) fn bytes(&self, bytes: &mut Bytes, cut: bool) {
        let found = self.found(bytes, cut);
        if !found.is_empty() {
            *bytes = blanked(bytes, &found).into();
        }
    }

    /// Where secrets stand, in order, none beside another.
    fn found(&self, reply: &[u8], cut: bool) -> Vec<(usize, usize)> {
        let mut found: Vec<_> = self.finder.find_iter(reply).map(|found| self.widened(reply, &found)).collect();
        if cut && let Some(begun) = self.begun(reply) {
            found.push((reply.len() - begun, reply.len()));
        }
        for undone in Escape::ALL.into_iter().filter_map(|escape| Undone::of(reply, escape)) {
            let matches = self.finder.find_iter(&undone.bytes).map(|found| self.widened(&undone.bytes, &found));
            found.extend(matches.map(|(start, end)| undone.place(start, end)));
            if cut && let Some(begun) = self.begun(&undone.bytes) {
                let length = undone.bytes.len();
                found.push((undone.place(length - begun, length).0, reply.len()));
            }
        }
        found.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::with_capacity(found.len());
        for (start, end) in found {
            match merged.last_mut() {
                Some((_, last)) if start < *last => *last = end.max(*last),
                Some(_) | None => merged.push((start, end)),
            }
        }
        merged
    }

    /// A match with its edges, as far as they are there.
    fn widened(&self, reply: &[u8], found: &Match) -> (usize, usize) {
        let (before, behind) = self.spellings[found.pattern().as_usize()].edges;
        let is_letter = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
        let (start, end) = (found.start(), found.end());
        let before = reply[..start].iter().rev().take(before).take_while(is_letter).count();
        let behind = reply[end..].iter().take(behind).take_while(is_letter).count();
        (start - before, end + behind)
    }

    /// How much of the end is the beginning of a secret.
    fn begun(&self, bytes: &[u8]) -> Option<usize> {
        let longest = |spelling: &Spelling| {
            let spelling = spelling.text.as_bytes();
            let most = bytes.len().min(spelling.len().saturating_sub(1));
            (VALUE_BYTES_MIN..=most).rev().find(|length| bytes.ends_with(&spelling[..*length]))
        };
        self.spellings.iter().filter_map(longest).max()
    }
}

fn blanked(reply: &[u8], found: &[(usize, usize)]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(reply.len());
    let mut at = 0;
    for (start, end) in found {
        clean.extend_from_slice(&reply[at..*start]);
        clean.extend_from_slice(BLANK.as_bytes());
        at = *end;
    }
    clean.extend_from_slice(&reply[at..]);
    clean
}

fn spellings(value: &str) -> Vec<Spelling> {
    if value.len() < VALUE_BYTES_MIN {
        return Vec::new();
    }
    // What JSON and percent-encoding make of it is found by undoing them, but for the space of a form.
    let form = utf8_percent_encode(value, ENCODED).to_string().replace("%20", "+");
    let mut all = vec![Spelling::whole(value), Spelling::whole(lower_hex(&form)), Spelling::whole(form)];
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        all.push(Spelling::whole(engine.encode(value)));
        all.extend((0..3).map(|place| within(engine, value, place)));
    }
    if let Ok(url) = Url::parse(value)
        && url.has_host()
    {
        let path = url[url::Position::BeforePath..].trim_start_matches('/');
        if path.len() >= PATH_BYTES_MIN {
            all.push(Spelling::whole(path));
        }
        all.push(Spelling::whole(url));
    }
    all
}

/// What base64 makes of a value that begins at this place of three within a longer text: the letters that only the value
/// decides. The letters at its edges tell of its neighbours as well.
fn within(engine: &GeneralPurpose, value: &str, place: usize) -> Spelling {
    let encoded = engine.encode([&[0; 2][..place.min(2)], value.as_bytes()].concat());
    // Of one byte before it, two letters are touched; of two, three.
    let first = if place == 0 { 0 } else { place + 1 };
    let last = encoded.len() - usize::from(!(place + value.len()).is_multiple_of(3));
    Spelling { text: encoded[first..last].to_owned(), edges: (usize::from(place != 0), encoded.len() - last) }
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
    fn a_secret_is_found_whichever_of_its_characters_are_escaped() {
        let secret = "k<y+ü/=&😀";
        for spelling in [
            r"k\u003cy+ü/=&😀",
            r"k\u003Cy\u002B\u00FC/\u003D\u0026\uD83D\uDE00",
            r"\u006b\u003c\u0079\u002b\u00fc\/\u003d\u0026\ud83d\ude00",
            "k%3Cy+%C3%BC/=&%F0%9F%98%80",
            "%6b%3c%79%2b%c3%bc%2f%3d%26%f0%9f%98%80",
        ] {
            assert_eq!(scrubbed(&[secret], &format!("<{spelling}> \\n %2F"), false), "<***> \\n %2F", "{spelling}");
        }
    }

    /// Whatever stands before and behind, in both alphabets, with no letter left that tells of the secret alone.
    #[test]
    fn a_secret_is_found_in_the_base64_of_a_longer_text() {
        for secret in ["four", "fives", "?>sixes", "a longer secret, with ü"] {
            for before in ["", "u", "us", "use", "user:", "a whole sentence before "] {
                for behind in ["", ":", ", ", "and", " and so on"] {
                    let text = format!("{before}{secret}{behind}");
                    for encoded in
                        [base64::engine::general_purpose::STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)]
                    {
                        let clean = scrubbed(&[secret], &format!("<{encoded}>"), false);
                        assert!(clean.contains("***"), "{text}: {clean}");
                        let kept = clean.len() - "<***>".len();
                        assert!(kept <= (before.len() + behind.len()).div_ceil(3) * 4 + 4, "{text}: {clean}");
                    }
                }
            }
        }
    }

    #[test]
    fn base64_is_found_although_its_letters_are_escaped() {
        let encoded = base64::engine::general_purpose::STANDARD.encode("user:?>?>?>?>");
        let json = encoded.replace('/', r"\/");
        let percent = encoded.replace('/', "%2F").replace('+', "%2B");
        for spelling in [json, percent] {
            assert_eq!(scrubbed(&["?>?>?>?>"], &spelling, false), "dXNlcj***==", "{spelling}");
        }
    }

    #[test]
    fn what_is_too_short_or_only_looks_like_an_escape_stays() {
        for text in ["abc and YWJj", r"\u0061bc", "%61bc", "100 % \\ of \\u00 it", ""] {
            assert_eq!(scrubbed(&["abc", "token-12345"], text, false), text);
        }
    }

    #[test]
    fn a_secret_that_the_end_cuts_off_within_an_escape_is_blanked_out() {
        assert_eq!(scrubbed(&["token<12345"], r"the token\u003c1", true), "the ***");
        assert_eq!(scrubbed(&["token<12345"], r"the token\u00", true), "the ***");
        assert_eq!(scrubbed(&["token<12345"], "the token%3", true), "the ***");
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
