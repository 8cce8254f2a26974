//! Server-sent events: the lines that events travel in, written and read.
//!
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>

use super::EventId;
use crate::domain::EventKind;

/// The longest line that a reader takes, in bytes. The longest event of ours is a hundredth of it.
pub const LINE_MAX: usize = 1 << 20;

/// Appends one event. `data` writes one line.
pub fn put(out: &mut Vec<u8>, id: Option<EventId>, kind: EventKind, data: impl FnOnce(&mut Vec<u8>)) {
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    out.extend_from_slice(format!("event: {kind}\ndata: ").as_bytes());
    data(out);
    out.extend_from_slice(b"\n\n");
}

/// Appends what says how far the stream has come, without an event: a client resumes from here.
pub fn put_position(out: &mut Vec<u8>, id: EventId) {
    out.extend_from_slice(format!("id: {id}\n\n").as_bytes());
}

/// What a stream says between two empty lines. None of the fields has to be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// From here a client resumes.
    pub id: Option<String>,
    /// The event's type. A block without data is no event.
    pub event: Option<String>,
    /// Its lines, joined.
    pub data: Option<String>,
    /// How long to wait before connecting again, in milliseconds.
    pub retry_ms: Option<u64>,
}

/// A line is longer than [`LINE_MAX`]: what comes is no stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line of the stream has over {LINE_MAX} bytes")]
pub struct LineTooLong;

/// Makes blocks of what arrives, in whatever pieces it does.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    /// The line before ended with a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    has_begun: bool,
    block: Block,
}

impl Reader {
    /// The blocks that are complete with `bytes`.
    ///
    /// # Errors
    ///
    /// [`LineTooLong`]; the stream cannot be read further.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Vec<Block>, LineTooLong> {
        let mut blocks = Vec::new();
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => blocks.extend(self.end_line()),
                _ if self.line.len() == LINE_MAX => return Err(LineTooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(blocks)
    }

    fn end_line(&mut self) -> Option<Block> {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        // A mark of the byte order may stand before everything.
        let text = if self.has_begun { &*text } else { text.strip_prefix('\u{feff}').unwrap_or(&text) };
        self.has_begun = true;
        if text.is_empty() {
            let block = std::mem::take(&mut self.block);
            return (block != Block::default()).then_some(block);
        }
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.block.id = Some(value.to_owned()),
            "event" => self.block.event = Some(value.to_owned()),
            "data" => match &mut self.block.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.block.data = Some(value.to_owned()),
            },
            "retry" => self.block.retry_ms = value.parse().ok().or(self.block.retry_ms),
            // A comment, or what others may know.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EventEpoch;

    #[test]
    fn what_is_written_is_read_back_in_whatever_pieces_it_comes() {
        let id = EventId { epoch: EventEpoch(7), number: 3 };
        let mut bytes = b"retry: 1000\n\n: heartbeat\n\n".to_vec();
        put(&mut bytes, Some(id), "delivery.sent", |out| out.extend_from_slice("{\"é\":1}".as_bytes()));
        put(&mut bytes, None, "end", |out| out.extend_from_slice(b"{}"));
        put_position(&mut bytes, EventId { number: 9, ..id });
        let expected = [
            Block { retry_ms: Some(1_000), ..Block::default() },
            Block {
                id: Some(id.to_string()),
                event: Some("delivery.sent".to_owned()),
                data: Some("{\"é\":1}".to_owned()),
                retry_ms: None,
            },
            Block { event: Some("end".to_owned()), data: Some("{}".to_owned()), ..Block::default() },
            Block { id: Some("0000000000000007-9".to_owned()), ..Block::default() },
        ];
        for piece in [1, 2, 3, 7, bytes.len()] {
            let mut reader = Reader::default();
            let read: Vec<_> = bytes.chunks(piece).flat_map(|piece| reader.read(piece).unwrap()).collect();
            assert_eq!(read, expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn lines_end_in_three_ways_and_data_may_have_several() {
        let read =
            Reader::default().read(b"\xef\xbb\xbfdata:a\r\ndata: b\rdata\nid\nretry: soon\nother: x\n\n").unwrap();
        let data = Some("a\nb\n".to_owned());
        assert_eq!(read, [Block { id: Some(String::new()), data, ..Block::default() }]);
        assert_eq!(Reader::default().read(b"data: cut off").unwrap(), [], "what is not complete is no event");
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut reader = Reader::default();
        assert_eq!(reader.read(&vec![b'x'; LINE_MAX]), Ok(Vec::new()));
        assert_eq!(reader.read(b"x"), Err(LineTooLong));
    }
}
