//! What a guest prints: kept up to a limit, the rest counted and dropped. A guest never fails by printing too much.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::domain::ChannelName;

use super::limits::{OFFERED_BYTES_MAX, OFFERED_LINES_MAX, Refusal};

/// Bytes of standard error that are kept whatever `log_max` says: a panic's message is at its end.
const STDERR_TAIL: usize = 2 << 10;

/// The longest message taken out of a panic, in bytes.
const PANIC_MAX: usize = 512;

/// Takes what guests print to their standard output.
///
/// Called after each call that printed something, on a thread of the executor: it must not block for long.
pub trait ConsoleSink: Send + Sync + 'static {
    /// One line, without its end. `channel` is missing where a plugin was called without one.
    fn line(&self, channel: Option<&ChannelName>, line: &str);
}

/// Prints each line to the standard output of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stdout;

impl ConsoleSink for Stdout {
    fn line(&self, _channel: Option<&ChannelName>, line: &str) {
        // One write per line, so that lines of several calls do not mix. A closed pipe is no reason to fail a delivery.
        let _ = io::Write::write_all(&mut io::stdout().lock(), format!("{line}\n").as_bytes());
    }
}

/// Shared by the store's data and the streams the guest holds.
pub(super) type Output = Arc<Mutex<Captured>>;

/// What a guest has printed and logged so far.
#[derive(Debug, Default)]
pub(super) struct Captured {
    /// What may still be kept, over log, standard output and standard error together.
    left: u64,
    dropped: u64,
    offered_bytes: u64,
    offered_lines: u32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Captured {
    pub(super) fn new(limit: u64) -> Self {
        Self { left: limit, ..Self::default() }
    }

    /// Takes note of one line of log: whether there is room for it.
    pub(super) fn admit_line(&mut self, bytes: u64) -> Result<bool, Refusal> {
        self.offer(bytes)?;
        self.offered_lines += 1;
        if self.offered_lines > OFFERED_LINES_MAX {
            return Err(Refusal::OutputLines { limit: OFFERED_LINES_MAX });
        }
        let room = bytes <= self.left;
        if room {
            self.left -= bytes;
        } else {
            self.dropped = self.dropped.saturating_add(bytes);
        }
        Ok(room)
    }

    fn offer(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.offered_bytes = self.offered_bytes.saturating_add(bytes);
        if self.offered_bytes > OFFERED_BYTES_MAX {
            return Err(Refusal::OutputBytes { limit: OFFERED_BYTES_MAX });
        }
        Ok(())
    }

    fn write(&mut self, pipe: Pipe, bytes: &[u8]) -> Result<(), Refusal> {
        self.offer(bytes.len() as u64)?;
        match pipe {
            Pipe::Out => {
                let kept = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.stdout.extend_from_slice(&bytes[..kept]);
                self.left -= kept as u64;
                self.dropped = self.dropped.saturating_add((bytes.len() - kept) as u64);
            }
            Pipe::Err => self.keep_tail(bytes),
        }
        Ok(())
    }

    /// Keeps a line of log as if it had come over standard error, which a guest without WASI has not: its panics are
    /// told there. Counted and bounded as a line already.
    pub(super) fn keep_panic(&mut self, line: &str) {
        self.keep_tail(line.as_bytes());
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        // Only the tail is of use, so the head makes room for it.
        let tail = &bytes[bytes.len().saturating_sub(STDERR_TAIL)..];
        self.stderr.extend_from_slice(tail);
        let surplus = self.stderr.len().saturating_sub(STDERR_TAIL);
        self.stderr.drain(..surplus);
    }

    /// Bytes that were not kept.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Standard output, taken away.
    pub(super) fn take_stdout(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.stdout)
    }

    /// The tail of standard error.
    pub(super) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The message of the last panic, as Rust's own hook prints it: `panicked at FILE:LINE:COLUMN: MESSAGE`.
    pub(super) fn panic_message(&self) -> Option<String> {
        let stderr = self.stderr();
        let (_, after) = stderr.rsplit_once("panicked at ")?;
        let lines: Vec<&str> = after
            .lines()
            .map(str::trim)
            .take_while(|line| !line.starts_with("note: "))
            .filter(|l| !l.is_empty())
            .collect();
        let message = format!("panicked at {}", lines.join(" "));
        Some(super::convert::bounded(&message, PANIC_MAX))
    }
}

#[derive(Clone, Copy, Debug)]
enum Pipe {
    Out,
    Err,
}

/// Standard output or standard error of one call.
#[derive(Clone, Debug)]
pub(super) struct Stdio {
    pipe: Pipe,
    output: Output,
}

impl Stdio {
    pub(super) fn out(output: &Output) -> Self {
        Self { pipe: Pipe::Out, output: Arc::clone(output) }
    }

    pub(super) fn err(output: &Output) -> Self {
        Self { pipe: Pipe::Err, output: Arc::clone(output) }
    }

    fn lock(&self) -> MutexGuard<'_, Captured> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IsTerminal for Stdio {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stdio {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Stdio {
    async fn ready(&mut self) {}
}

impl OutputStream for Stdio {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lock().write(self.pipe, &bytes).map_err(|refusal| StreamError::Trap(refusal.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

impl AsyncWrite for Stdio {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.lock().write(self.pipe, bytes);
        Poll::Ready(written.map(|()| bytes.len()).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Captured, PANIC_MAX};

    #[test]
    fn a_panic_told_in_the_log_is_found_like_one_on_standard_error() {
        let mut captured = Captured::new(1 << 10);
        captured.keep_panic("thread '<unnamed>' (1) panicked at src/lib.rs:19:9:\nthe ink is frozen");
        let message = captured.panic_message();
        assert_eq!(message.as_deref(), Some("panicked at src/lib.rs:19:9: the ink is frozen"));
    }

    #[test]
    fn a_long_panic_keeps_its_end() {
        let mut captured = Captured::new(1 << 10);
        captured.keep_panic(&format!("{}panicked at src/lib.rs:1:1:\nshort", "x".repeat(10_000)));
        assert!(captured.panic_message().is_some_and(|message| message.len() <= PANIC_MAX));
    }
}
