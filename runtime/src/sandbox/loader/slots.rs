//! Who may compile: a few at once, and of large files one, so that a small one never waits for a large one to be through.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Files that are compiled at once. Each takes a core, and may take the memory of a compiler's process.
const COMPILES_MAX: usize = 2;

/// From this size on, in bytes, a file is large and compiling it takes seconds. Plugins from Rust have some 100 KiB; from
/// JavaScript and Python they have over 10 MiB.
const LARGE_BYTES: u64 = 4 << 20;

/// The places to compile in. Whoever asks first is served first, among files of one kind.
#[derive(Debug)]
pub(super) struct Slots {
    all: Arc<Semaphore>,
    /// One fewer than all: the last place is for small files.
    large: Arc<Semaphore>,
}

/// A place to compile in, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    _one: OwnedSemaphorePermit,
    _large: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(COMPILES_MAX)), large: Arc::new(Semaphore::new(COMPILES_MAX - 1)) }
    }

    /// Waits for a place for a file of so many bytes. None would mean that there will be no more of them.
    pub(super) async fn take(&self, bytes: u64) -> Option<Slot> {
        // First, so that a large file that waits for another takes no place away from small ones.
        let large = match bytes {
            LARGE_BYTES.. => Some(Arc::clone(&self.large).acquire_owned().await.ok()?),
            _ => None,
        };
        let one = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Slot { _one: one, _large: large })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_large_file_waits_for_a_large_one_and_no_small_one_does() {
        let slots = Slots::new();
        let take = |bytes| slots.take(bytes).now_or_never().flatten();
        let first = take(LARGE_BYTES).expect("nobody is there");
        assert!(take(LARGE_BYTES).is_none(), "one large file at a time");
        let small = take(LARGE_BYTES - 1).expect("a place is kept for small ones");
        assert!(take(1).is_none(), "two files at once");
        drop(small);
        drop(take(1).expect("the place was given back"));
        drop(first);
        let _large = take(LARGE_BYTES).expect("and so was the other");
        assert!(take(1).is_some(), "beside it");
    }

    #[test]
    fn small_files_may_take_every_place() {
        let slots = Slots::new();
        let both: Vec<_> = (0..3).map(|_| slots.take(1).now_or_never().flatten()).collect();
        assert!(matches!(both.as_slice(), [Some(_), Some(_), None]), "{both:?}");
    }
}
