//! Keys that move a view: read from the terminal at standard input, one by one and unseen. Ctrl-C stays a signal.

use std::io::{self, IsTerminal as _};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

/// Bytes that are read at once: some dozen keys, held down.
const READ_MAX: usize = 256;

/// Reads that wait to be looked at. Somebody who types faster than is drawn waits.
const WAITING_MAX: usize = 16;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// So many lines down; up where it is negative.
    Lines(isize),
    /// So many screens.
    Pages(isize),
    Start,
    End,
    Quit,
}

/// The keys in what a terminal sent; what is none of them is passed over.
fn keys(mut bytes: &[u8]) -> Vec<Key> {
    const KNOWN: [(&[u8], Key); 19] = [
        (b"\x1b[A", Key::Lines(-1)),
        (b"\x1b[B", Key::Lines(1)),
        (b"\x1bOA", Key::Lines(-1)),
        (b"\x1bOB", Key::Lines(1)),
        (b"k", Key::Lines(-1)),
        (b"j", Key::Lines(1)),
        (b"\x1b[5~", Key::Pages(-1)),
        (b"\x1b[6~", Key::Pages(1)),
        (b"b", Key::Pages(-1)),
        (b" ", Key::Pages(1)),
        (b"\x1b[H", Key::Start),
        (b"\x1b[F", Key::End),
        (b"\x1bOH", Key::Start),
        (b"\x1bOF", Key::End),
        (b"\x1b[1~", Key::Start),
        (b"\x1b[4~", Key::End),
        (b"g", Key::Start),
        (b"G", Key::End),
        (b"q", Key::Quit),
    ];
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let known = KNOWN.iter().find(|(sent, _)| bytes.starts_with(sent));
        found.extend(known.map(|(_, key)| *key));
        bytes = &bytes[known.map_or_else(|| unknown(bytes), |(sent, _)| sent.len())..];
    }
    found
}

/// How long a key is that means nothing here: of one that is sent as an escape, its letters are no keys of their own.
fn unknown(bytes: &[u8]) -> usize {
    let is_last = |byte: &u8| (b'@'..=b'~').contains(byte);
    match bytes {
        [0x1b, b'[', rest @ ..] => 2 + rest.iter().position(is_last).map_or(rest.len(), |place| place + 1),
        [0x1b, b'O', _, ..] => 3,
        _ => 1,
    }
}

/// The keyboard. The terminal is as it was when this is dropped.
pub(super) struct Keys {
    /// With what the terminal was like.
    terminal: Option<(mpsc::Receiver<Vec<Key>>, Termios)>,
}

impl Keys {
    /// No key is ever pressed.
    pub(super) const fn none() -> Self {
        Self { terminal: None }
    }

    /// Has keys told where standard input is a terminal; elsewhere none is ever pressed.
    pub(super) fn listen() -> Self {
        let terminal = io::stdin().is_terminal().then(Self::open);
        // A view that cannot be moved is still a view.
        Self { terminal: terminal.and_then(Result::ok) }
    }

    fn open() -> io::Result<(mpsc::Receiver<Vec<Key>>, Termios)> {
        let before = tcgetattr(io::stdin())?;
        let (tell, pressed) = mpsc::channel(WAITING_MAX);
        // A thread that nobody waits for: at the end of the program it is still reading.
        std::thread::Builder::new().name("keys".to_owned()).spawn(move || read(&tell))?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        unseen.special_codes[SpecialCodeIndex::VMIN] = 1;
        unseen.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &unseen)?;
        Ok((pressed, before))
    }

    /// What was pressed, once something is.
    pub(super) async fn pressed(&mut self) -> Vec<Key> {
        let Some((pressed, _)) = &mut self.terminal else { return std::future::pending().await };
        match pressed.recv().await {
            Some(keys) => keys,
            None => std::future::pending().await,
        }
    }
}

fn read(tell: &mpsc::Sender<Vec<Key>>) {
    let mut bytes = [0; READ_MAX];
    while let Ok(read @ 1..) = rustix::io::read(io::stdin(), &mut bytes) {
        if tell.blocking_send(keys(&bytes[..read])).is_err() {
            return;
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some((_, before)) = &self.terminal {
            // A terminal that is gone needs nothing put back.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_by_what_terminals_send_and_others_are_passed_over() {
        let sent = b"\x1b[A\x1bOBj\x1b[5~ \x1b[HG\x1b[1;5Ax\x1b[15~\x1bOPq";
        let expected = [
            Key::Lines(-1),
            Key::Lines(1),
            Key::Lines(1),
            Key::Pages(-1),
            Key::Pages(1),
            Key::Start,
            Key::End,
            Key::Quit,
        ];
        assert_eq!(keys(sent), expected);
        assert_eq!(keys(b"\x1b"), [], "Escape alone");
        assert_eq!(keys(b"\x1b["), []);
    }
}
