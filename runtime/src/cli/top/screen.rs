//! A terminal as a picture that is drawn over: plain ANSI, on the alternate screen.

use std::io::{self, Write};

use super::keys::Key;

/// The alternate screen, without a cursor, and without wrapping: what is wider than it was counted must not push a line.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l";
const LEAVE: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";
const HOME: &str = "\u{1b}[H";
const CLEAR_LINE: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";
const PLAIN: &str = "\u{1b}[0m";
/// Of a terminal that does not say: the smallest that is usual.
const SIZE_UNKNOWN: (usize, usize) = (80, 24);

/// Columns and rows of the terminal at standard output, as they are now.
pub(super) fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        Ok(_) | Err(_) => SIZE_UNKNOWN,
    }
}

/// The alternate screen of a terminal. It is left when this is dropped, however a command ends.
pub(super) struct Screen<W: Write> {
    out: W,
}

impl<W: Write> Screen<W> {
    pub(super) fn enter(out: W) -> io::Result<Self> {
        let mut screen = Self { out };
        screen.out.write_all(ENTER.as_bytes())?;
        screen.out.flush()?;
        Ok(screen)
    }

    /// Draws `text` over what is there, cut to so many columns and rows.
    pub(super) fn draw(&mut self, text: &str, size: (usize, usize), scroll: &mut Scroll) -> io::Result<()> {
        let mut drawn = HOME.to_owned();
        // A newline after the last row would scroll the first one away.
        let lines: Vec<_> = fit(text, size, scroll).into_iter().map(|line| line + CLEAR_LINE).collect();
        drawn.push_str(&lines.join("\r\n"));
        drawn.push_str(CLEAR_BELOW);
        self.out.write_all(drawn.as_bytes())?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing put back.
        let _ = self.out.write_all(LEAVE.as_bytes()).and_then(|()| self.out.flush());
    }
}

/// How far a view has been moved down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scroll {
    /// Lines that are above the screen.
    above: usize,
    /// Lines that there is room for, when it was drawn last.
    page: usize,
}

impl Scroll {
    /// How far it can go is known when it is drawn.
    pub(super) fn go(&mut self, key: Key) {
        self.above = match key {
            Key::Lines(lines) => self.above.saturating_add_signed(lines),
            Key::Pages(pages) => self.above.saturating_add_signed(pages.saturating_mul(self.page.cast_signed())),
            Key::Start => 0,
            Key::End => usize::MAX,
            Key::Quit => self.above,
        };
    }
}

/// The lines of `text` that fit, from where the view has been moved to; what comes before the first empty line stays. The
/// last row says how many do not.
fn fit(text: &str, (columns, rows): (usize, usize), scroll: &mut Scroll) -> Vec<String> {
    let all: Vec<&str> = text.lines().collect();
    let cut = |line: &&str| cut(line, columns);
    if all.len() <= rows {
        scroll.above = 0;
        return all.iter().map(cut).collect();
    }
    let fixed = all.iter().position(|line| line.is_empty()).unwrap_or(0).min(rows.saturating_sub(1));
    let (head, body) = all.split_at(fixed);
    scroll.page = rows.saturating_sub(fixed + 1);
    scroll.above = scroll.above.min(body.len().saturating_sub(scroll.page));
    let shown = &body[scroll.above..][..scroll.page];
    let below = body.len() - scroll.above - scroll.page;
    let note = match (scroll.above, below) {
        (0, _) => format!("… {below} more lines: ↓ PgDn"),
        (above, 0) => format!("… {above} above: ↑ PgUp"),
        (above, _) => format!("… {above} above, {below} below: ↑ ↓ PgUp PgDn"),
    };
    let lines = head.iter().chain(shown).copied().chain([note.as_str()]);
    lines.take(rows).map(|line| cut(&line)).collect()
}

/// `line` up to so many characters that are seen. Colors are not, and end with the line.
fn cut(line: &str, columns: usize) -> String {
    let mut seen = 0;
    let mut in_escape = false;
    let mut is_colored = false;
    for (at, c) in line.char_indices() {
        if in_escape {
            in_escape = c != 'm';
        } else if c == '\u{1b}' {
            (in_escape, is_colored) = (true, true);
        } else if seen == columns {
            return format!("{}{}", &line[..at], if is_colored { PLAIN } else { "" });
        } else {
            seen += 1;
        }
    }
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_by_what_is_seen_and_leaves_no_color_behind() {
        assert_eq!(cut("bücher", 3), "büc");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("a \u{1b}[31mfailed\u{1b}[0m b", 4), "a \u{1b}[31mfa\u{1b}[0m");
        assert_eq!(cut("a \u{1b}[31mfailed\u{1b}[0m", 8), "a \u{1b}[31mfailed\u{1b}[0m");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn what_does_not_fit_below_is_counted() {
        let fit = |text: &str, columns, rows| fit(text, (columns, rows), &mut Scroll::default());
        assert_eq!(fit("a\nb\nc\n", 80, 3), ["a", "b", "c"]);
        assert_eq!(fit("a\nb\nc\nd\n", 80, 3), ["a", "b", "… 2 more lines: ↓ PgDn"]);
        assert_eq!(fit("a\nb\n", 4, 1), ["… 2 "]);
        assert!(fit("a\n", 80, 0).is_empty());
    }

    #[test]
    fn keys_reach_every_line_and_the_head_stays() {
        let text = "head\n\n1\n2\n3\n4\n5\n6\n";
        let mut scroll = Scroll::default();
        let mut after = |keys: &[Key]| {
            fit(text, (80, 5), &mut scroll);
            keys.iter().for_each(|key| scroll.go(*key));
            fit(text, (80, 5), &mut scroll)
        };
        assert_eq!(after(&[]), ["head", "", "1", "2", "… 4 more lines: ↓ PgDn"]);
        assert_eq!(after(&[Key::Lines(1)]), ["head", "1", "2", "3", "… 1 above, 3 below: ↑ ↓ PgUp PgDn"]);
        assert_eq!(after(&[Key::Pages(1), Key::Pages(9)]), ["head", "4", "5", "6", "… 4 above: ↑ PgUp"]);
        assert_eq!(after(&[Key::Lines(-2)])[1..4], ["2", "3", "4"]);
        assert_eq!(after(&[Key::Pages(-1)])[1..4], ["", "1", "2"]);
        assert_eq!(after(&[Key::End])[1..4], ["4", "5", "6"]);
        assert_eq!(after(&[Key::Start])[1..4], ["", "1", "2"]);
        scroll.go(Key::End);
        assert_eq!(fit(text, (80, 8), &mut scroll).len(), 8, "all of it is there");
        assert_eq!(scroll.above, 0);
    }

    #[test]
    fn a_frame_is_drawn_over_the_last_one_and_the_screen_is_left_in_the_end() {
        let mut written = Vec::new();
        let mut screen = Screen::enter(&mut written).expect("memory can be written");
        screen.draw("first\nsecond\n", (5, 2), &mut Scroll::default()).expect("memory can be written");
        drop(screen);
        let expected = format!("{ENTER}\u{1b}[Hfirst\u{1b}[K\r\nsecon\u{1b}[K\u{1b}[J{LEAVE}");
        assert_eq!(String::from_utf8(written).expect("text"), expected);
    }

    #[test]
    fn a_screen_that_cannot_be_drawn_is_left_too() {
        /// Takes the first write and the last.
        struct Failing<'a>(&'a mut Vec<u8>);
        impl Write for Failing<'_> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if bytes.starts_with(HOME.as_bytes()) {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut written = Vec::new();
        let mut screen = Screen::enter(Failing(&mut written)).expect("the first write is taken");
        assert!(screen.draw("x", (80, 24), &mut Scroll::default()).is_err());
        drop(screen);
        assert_eq!(String::from_utf8(written).expect("text"), format!("{ENTER}{LEAVE}"));
    }
}
