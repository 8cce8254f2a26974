//! Undoes escapes in a reply, and remembers where each byte came from.

/// A way to write any character as something else. Which characters are, differs from program to program: so a reply is
/// read back, instead of guessing every spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// `\u003c`, `\/`, `\n`: strings of JSON.
    Json,
    /// `%3C`: URLs and forms.
    Percent,
}

impl Escape {
    pub(super) const ALL: [Self; 2] = [Self::Json, Self::Percent];

    const fn sign(self) -> u8 {
        match self {
            Self::Json => b'\\',
            Self::Percent => b'%',
        }
    }

    /// What stands at the beginning of `rest`, and how much of it that takes. None: no escape.
    fn read(self, rest: &[u8]) -> Option<(Plain, usize)> {
        match self {
            Self::Json => json(rest),
            Self::Percent => {
                let value = u8::try_from(hex(rest.get(1..3)?)?).ok()?;
                Some((Plain::byte(value), 3))
            }
        }
    }

    /// The longest escape, in bytes: a pair of surrogates.
    const fn length_max(self) -> usize {
        match self {
            Self::Json => 12,
            Self::Percent => 3,
        }
    }
}

/// A byte, or the bytes of a character.
struct Plain {
    bytes: [u8; 4],
    length: usize,
}

impl Plain {
    const fn byte(byte: u8) -> Self {
        Self { bytes: [byte, 0, 0, 0], length: 1 }
    }

    fn char(char: char) -> Self {
        let mut bytes = [0; 4];
        let length = char.encode_utf8(&mut bytes).len();
        Self { bytes, length }
    }
}

fn json(rest: &[u8]) -> Option<(Plain, usize)> {
    let simple = match rest.get(1)? {
        byte @ (b'"' | b'\\' | b'/') => *byte,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'f' => 12,
        b'r' => b'\r',
        b'u' => return unicode(rest),
        _ => return None,
    };
    Some((Plain::byte(simple), 2))
}

fn unicode(rest: &[u8]) -> Option<(Plain, usize)> {
    let first = hex(rest.get(2..6)?)?;
    if let Some(char) = char::from_u32(first) {
        return Some((Plain::char(char), 6));
    }
    // The first half of a character beyond the basic plane, and the second.
    let second = if rest.get(6..8)? == b"\\u" { hex(rest.get(8..12)?)? } else { return None };
    let [Ok(first), Ok(second)] = [first, second].map(u16::try_from) else { return None };
    let char = char::decode_utf16([first, second]).next()?.ok()?;
    Some((Plain::char(char), 12))
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

/// What a reply says once one kind of escape is undone.
#[derive(Debug)]
pub(super) struct Undone {
    pub(super) bytes: Vec<u8>,
    /// Where each byte began in the reply, and where the last one ended.
    begins: Vec<usize>,
}

impl Undone {
    /// Reads a reply once, from beginning to end. None: there is nothing to undo. An escape that the end cuts off is
    /// left out.
    pub(super) fn of(reply: &[u8], escape: Escape) -> Option<Self> {
        let sign = escape.sign();
        if !reply.contains(&sign) {
            return None;
        }
        let (mut bytes, mut begins) = (Vec::with_capacity(reply.len()), Vec::with_capacity(reply.len() + 1));
        let mut at = 0;
        while let Some(byte) = reply.get(at) {
            let (plain, length) = if *byte == sign {
                match escape.read(&reply[at..]) {
                    Some(read) => read,
                    None if reply.len() - at < escape.length_max() && is_begun(&reply[at..], escape) => break,
                    None => (Plain::byte(*byte), 1),
                }
            } else {
                (Plain::byte(*byte), 1)
            };
            bytes.extend_from_slice(&plain.bytes[..plain.length]);
            begins.extend(std::iter::repeat_n(at, plain.length));
            at += length;
        }
        begins.push(at);
        Some(Self { bytes, begins })
    }

    /// Where in the reply these bytes stand.
    pub(super) fn place(&self, start: usize, end: usize) -> (usize, usize) {
        (self.begins[start], self.begins[end])
    }
}

/// Whether the end of a reply is the beginning of an escape: nothing in it speaks against one.
fn is_begun(rest: &[u8], escape: Escape) -> bool {
    let digits = match (escape, rest) {
        (Escape::Percent, [_, digits @ ..]) => digits,
        (Escape::Json, [_]) => return true,
        (Escape::Json, [_, b'u', digits @ ..]) => digits,
        (Escape::Json, _) | (Escape::Percent, []) => return false,
    };
    // Of a pair of surrogates, everything in between is one of these.
    digits.iter().all(|byte| byte.is_ascii_hexdigit() || (escape == Escape::Json && matches!(byte, b'\\' | b'u')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undone(reply: &str, escape: Escape) -> String {
        Undone::of(reply.as_bytes(), escape)
            .map_or_else(|| "nothing".to_owned(), |undone| String::from_utf8_lossy(&undone.bytes).into_owned())
    }

    #[test]
    fn every_escape_is_undone_and_what_is_none_stays() {
        let table = [
            (Escape::Json, r"a\u003cb\u003Cc", "a<b<c"),
            (Escape::Json, r#"\"\\\/\n\u00fc\ud83d\uDE00"#, "\"\\/\nü😀"),
            (Escape::Json, r"\x \u00zz \ud83d end of it", r"\x \u00zz \ud83d end of it"),
            (Escape::Json, r"half a pair \ud83d\u0041", r"half a pair \ud83dA"),
            (Escape::Json, r"cut \u00", "cut "),
            (Escape::Json, r"cut \ud83d\u", "cut "),
            (Escape::Json, "cut \\", "cut "),
            (Escape::Json, "plain", "nothing"),
            (Escape::Percent, "a%2Fb%2fc%C3%BC", "a/b/cü"),
            (Escape::Percent, "100 % of %zz", "100 % of %zz"),
            (Escape::Percent, "cut %2", "cut "),
        ];
        for (escape, reply, expected) in table {
            assert_eq!(undone(reply, escape), expected, "{reply}");
        }
    }

    #[test]
    fn a_place_is_where_it_stands_in_the_reply() {
        let undone = Undone::of(br"ab\u003cd\u00fce", Escape::Json).expect("there is something to undo");
        assert_eq!(undone.bytes, "ab<düe".as_bytes());
        assert_eq!((undone.place(1, 4), undone.place(4, 6), undone.place(6, 7)), ((1, 9), (9, 15), (15, 16)));
    }
}
