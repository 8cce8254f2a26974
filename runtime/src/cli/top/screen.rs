//! A terminal as a picture that is drawn over: plain ANSI, on the alternate screen.

use std::io::{self, Write};

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
    pub(super) fn draw(&mut self, text: &str, columns: usize, rows: usize) -> io::Result<()> {
        let mut drawn = HOME.to_owned();
        // A newline after the last row would scroll the first one away.
        let lines: Vec<_> = fit(text, columns, rows).into_iter().map(|line| line + CLEAR_LINE).collect();
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

/// The lines of `text` that fit; the last row says how many do not.
fn fit(text: &str, columns: usize, rows: usize) -> Vec<String> {
    let all = text.lines().count();
    let mut lines: Vec<_> = text.lines().take(rows).map(|line| cut(line, columns)).collect();
    if all > rows
        && let Some(last) = lines.last_mut()
    {
        *last = cut(&format!("… {} more lines", all - rows + 1), columns);
    }
    lines
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
        assert_eq!(fit("a\nb\nc\n", 80, 3), ["a", "b", "c"]);
        assert_eq!(fit("a\nb\nc\nd\n", 80, 3), ["a", "b", "… 2 more lines"]);
        assert_eq!(fit("a\nb\n", 4, 1), ["… 2 "]);
        assert!(fit("a\n", 80, 0).is_empty());
    }

    #[test]
    fn a_frame_is_drawn_over_the_last_one_and_the_screen_is_left_in_the_end() {
        let mut written = Vec::new();
        let mut screen = Screen::enter(&mut written).expect("memory can be written");
        screen.draw("first\nsecond\n", 5, 2).expect("memory can be written");
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
        assert!(screen.draw("x", 80, 24).is_err());
        drop(screen);
        assert_eq!(String::from_utf8(written).expect("text"), format!("{ENTER}{LEAVE}"));
    }
}
