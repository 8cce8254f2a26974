//! What one call may use of `cache` or of `kv`: so many questions, so many bytes, and no longer than it lives.

use std::time::Duration;

use tokio::time::Instant;

/// Questions of one call. A token and a handful of counters need some ten; a hundred leaves room for a page of keys read
/// one by one, and a loop gone wrong cannot keep the store's writer busy.
pub(super) const OPERATIONS_MAX: u32 = 100;
/// Bytes of keys and values that one call may hand over and be handed, together: as much as a channel's whole cache.
pub(super) const BYTES_MAX: usize = 1 << 20;
/// How long before the end of its call a wait is given up, so that the guest still has time to say what follows.
const ANSWER_TIME: Duration = Duration::from_millis(50);

/// What is left of it.
#[derive(Debug)]
pub(super) struct Allowance {
    /// For messages: `cache` or `kv`.
    ability: &'static str,
    operations: u32,
    bytes: usize,
    deadline: Instant,
}

impl Allowance {
    /// All of it, for a call that ends at `deadline`.
    pub(super) const fn new(ability: &'static str, deadline: Instant) -> Self {
        Self { ability, operations: 0, bytes: 0, deadline }
    }

    /// Counts one more question.
    ///
    /// # Errors
    ///
    /// The sentence for the guest.
    pub(super) fn ask(&mut self) -> Result<(), String> {
        if self.operations >= OPERATIONS_MAX {
            let ability = self.ability;
            return Err(format!("a call may use `{ability}` {OPERATIONS_MAX} times; no setting changes that"));
        }
        self.operations += 1;
        Ok(())
    }

    /// Counts bytes, before they are kept or handed over.
    ///
    /// # Errors
    ///
    /// The sentence for the guest.
    pub(super) fn carry(&mut self, bytes: usize) -> Result<(), String> {
        let total = self.bytes.saturating_add(bytes);
        if total > BYTES_MAX {
            return Err(format!(
                "this would make {total} bytes through `{}` in one call, the limit is {BYTES_MAX}; no setting changes that",
                self.ability
            ));
        }
        self.bytes = total;
        Ok(())
    }

    /// When a wait has to end: shortly before the call does, and never in the last tenth of what it has left.
    pub(super) fn wait_end(&self) -> Instant {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.deadline - ANSWER_TIME.min(left / 10)
    }
}
