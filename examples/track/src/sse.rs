//! As much of server-sent events as a consumer of Campanile needs.

/// More than the longest event there is, in bytes: whoever sends more sends something else.
const EVENT_MAX: usize = 1 << 20;

/// An event with its id and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) kind: String,
}

/// Makes events of what comes in, in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// A line that has not ended.
    line: Vec<u8>,
    id: Option<String>,
    kind: Option<String>,
}

impl Parser {
    /// The events that end in `bytes`. What has no id is none: a comment that keeps the connection alive, a hint.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Event>> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            anyhow::ensure!(self.line.len() <= EVENT_MAX, "a line has more than {EVENT_MAX} bytes");
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                events.extend(self.read(std::str::from_utf8(&line)?.trim_end_matches(['\r', '\n'])));
            }
        }
        Ok(events)
    }

    fn read(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let (id, kind) = (self.id.take(), self.kind.take());
            return Some(Event { id: id?, kind: kind.unwrap_or_else(|| "message".to_owned()) });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "id" => self.id = Some(value),
            "event" => self.kind = Some(value),
            // `data` is not kept here; a comment has no name.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_from_pieces_of_any_size() {
        let text = ": here\n\nid: e-1\nevent: delivery.sent\ndata: {\"é\":1}\n\nretry: 500\n\nid:e-2\r\ndata:x\r\n\r\nid: e-3\n";
        let expected = [("e-1", "delivery.sent"), ("e-2", "message")]
            .map(|(id, kind)| Event { id: id.to_owned(), kind: kind.to_owned() });
        for size in 1..=text.len() {
            let mut parser = Parser::default();
            let events: Vec<_> =
                text.as_bytes().chunks(size).flat_map(|piece| parser.feed(piece).expect("it is UTF-8")).collect();
            assert_eq!(events, expected, "in pieces of {size}; the third has not ended");
        }
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut parser = Parser::default();
        assert!((0..3).any(|_| parser.feed(&[b'x'; EVENT_MAX / 2]).is_err()));
    }
}
