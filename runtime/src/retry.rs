//! A retry policy around any asynchronous operation: the same waits as a delivery's, in memory.
//!
//! *Flow:* call, judge the error, wait on the injected clock, call again, until it succeeds, is not worth another
//! attempt, or the policy gives up. Every attempt is remembered and handed back, whatever the end.
//!
//! *Not here:* what makes a wait long (`domain::RetryPolicy`), and anything durable: what waits here is gone with the
//! process. A delivery is retried by `dispatch`, from the store.

use std::time::Duration;

use crate::clock::{Clock, Entropy};
use crate::domain::{RetryPolicy, Timestamp};

/// What an error is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt, after the policy's wait, and not before `after` from now where the other side asked for that.
    /// `after` only ever delays, and by [`RetryPolicy::HINT_MAX`] at most.
    Again {
        /// The other side's wish.
        after: Option<Duration>,
    },
    /// None: the next attempt would end the same way.
    Final,
}

/// One attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed<E> {
    /// From 1.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// How it ended.
    pub error: E,
}

/// An operation that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succeeded<T, E> {
    /// What it gave.
    pub value: T,
    /// The attempts before, the first one first.
    pub failed: Vec<Failed<E>>,
}

/// Why there was no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The last error was judged [`Verdict::Final`].
    Final,
    /// The policy's `max_retries` are used up.
    Exhausted,
    /// The next attempt would come later than the policy's `max_age` after the first one.
    TooOld,
}

/// An operation that was given up. There is at least one attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("given up after {} attempts{}", failed.len(), match reason {
    Reason::Final => ": the last error is final",
    Reason::Exhausted => ", all that its retry policy allows",
    Reason::TooOld => ": another one would come later than `max_age` of its retry policy",
})]
pub struct GaveUp<E> {
    /// Why.
    pub reason: Reason,
    /// Every attempt, the first one first.
    pub failed: Vec<Failed<E>>,
}

impl<E> GaveUp<E> {
    /// How the last attempt ended.
    #[must_use]
    pub fn last(&self) -> Option<&E> {
        self.failed.last().map(|failed| &failed.error)
    }
}

/// Runs operations by a retry policy.
///
/// ```
/// use campanile::clock::{Entropy, SystemClock};
/// use campanile::domain::RetryPolicy;
/// use campanile::retry::{Retry, Verdict};
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let policy = RetryPolicy::scheduled([Duration::from_millis(1); 3]);
/// let (clock, entropy) = (SystemClock::default(), Entropy::from_system());
/// let retry = Retry::new(&policy, &clock, &entropy);
///
/// let done = retry
///     .run(
///         async |attempt| if attempt < 3 { Err("busy") } else { Ok("done") },
///         |error| if *error == "busy" { Verdict::Again { after: None } } else { Verdict::Final },
///     )
///     .await?;
/// assert_eq!((done.value, done.failed.len()), ("done", 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Retry<'a> {
    policy: &'a RetryPolicy,
    clock: &'a dyn Clock,
    entropy: &'a Entropy,
}

impl<'a> Retry<'a> {
    /// Waits as `policy` says, on `clock`, with jitter from `entropy`.
    #[must_use]
    pub const fn new(policy: &'a RetryPolicy, clock: &'a dyn Clock, entropy: &'a Entropy) -> Self {
        Self { policy, clock, entropy }
    }

    /// Calls `operation` with the attempt's number (from 1) until it succeeds, `judge` calls an error final, or the
    /// policy gives up. Dropping the future ends it: an attempt under way is dropped, none follows.
    ///
    /// # Errors
    ///
    /// [`GaveUp`] with the reason and every attempt.
    pub async fn run<T, E>(
        &self,
        mut operation: impl AsyncFnMut(u32) -> Result<T, E>,
        judge: impl Fn(&E) -> Verdict,
    ) -> Result<Succeeded<T, E>, GaveUp<E>> {
        let began = self.clock.now();
        let mut failed = Vec::new();
        for number in 1.. {
            let started_at = self.clock.now();
            let error = match operation(number).await {
                Ok(value) => return Ok(Succeeded { value, failed }),
                Err(error) => error,
            };
            let now = self.clock.now();
            let verdict = judge(&error);
            failed.push(Failed { number, started_at, duration: now.since(started_at), error });
            match self.next(number, verdict, began, now) {
                Ok(due) => self.clock.wait_until(due).await,
                Err(reason) => return Err(GaveUp { reason, failed }),
            }
        }
        // More attempts than a `u32` counts: a policy with that many retries has used them up.
        Err(GaveUp { reason: Reason::Exhausted, failed })
    }

    /// When the next attempt is due after the one of this number failed.
    fn next(&self, number: u32, verdict: Verdict, began: Timestamp, now: Timestamp) -> Result<Timestamp, Reason> {
        let Verdict::Again { after } = verdict else { return Err(Reason::Final) };
        let wait = self.policy.wait(number, after, self.entropy.roll()).ok_or(Reason::Exhausted)?;
        let due = now.after(wait);
        if due.since(began) > self.policy.max_age { Err(Reason::TooOld) } else { Ok(due) }
    }
}

impl std::fmt::Debug for Retry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retry").field("policy", self.policy).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use std::cell::RefCell;

    const fn again(_: &&str) -> Verdict {
        Verdict::Again { after: None }
    }

    /// Runs `future` and moves `clock` to whatever is waited for, so that no real time passes.
    async fn with_moved_clock<T>(clock: &ManualClock, future: impl Future<Output = T>) -> T {
        tokio::pin!(future);
        loop {
            if let std::task::Poll::Ready(value) = futures_util::poll!(&mut future) {
                return value;
            }
            let due = clock.next_wait().expect("it waits for the clock or is done");
            clock.advance(due.since(clock.now()));
        }
    }

    #[tokio::test]
    async fn every_attempt_comes_when_the_policy_says_and_is_told() {
        let clock = ManualClock::at(Timestamp::from_millis(1_000));
        let (policy, entropy) = (RetryPolicy::default(), Entropy::fixed(1));
        let calls = RefCell::new(Vec::new());
        let retry = Retry::new(&policy, &clock, &entropy);
        let run = retry.run(
            async |number| {
                calls.borrow_mut().push((number, clock.now().as_millis()));
                clock.advance(Duration::from_millis(5));
                Err::<(), _>("busy")
            },
            again,
        );
        let gave_up = with_moved_clock(&clock, run).await.expect_err("it always fails");
        assert_eq!(gave_up.reason, Reason::Exhausted);
        assert_eq!(gave_up.last(), Some(&"busy"));
        let told: Vec<_> = gave_up.failed.iter().map(|one| (one.number, one.started_at.as_millis())).collect();
        assert_eq!(told, *calls.borrow());
        assert_eq!(told, [(1, 1_000), (2, 2_005), (3, 4_010), (4, 8_015), (5, 16_020), (6, 32_025)]);
        assert!(gave_up.failed.iter().all(|one| one.duration == Duration::from_millis(5)));
        assert_eq!(gave_up.to_string(), "given up after 6 attempts, all that its retry policy allows");
    }

    #[tokio::test]
    async fn a_final_error_ends_it_at_once() {
        let clock = ManualClock::at(Timestamp::from_millis(0));
        let (policy, entropy) = (RetryPolicy::default(), Entropy::fixed(1));
        let gave_up = Retry::new(&policy, &clock, &entropy)
            .run(async |_| Err::<(), _>("no such user"), |_| Verdict::Final)
            .await
            .expect_err("final");
        assert_eq!((gave_up.reason, gave_up.failed.len()), (Reason::Final, 1));
    }

    #[tokio::test]
    async fn the_other_sides_wish_delays_and_what_would_be_too_old_is_not_tried() {
        let clock = ManualClock::at(Timestamp::from_millis(0));
        let policy = RetryPolicy { max_age: Duration::from_mins(10), ..RetryPolicy::default() };
        let entropy = Entropy::fixed(1);
        let wish = Duration::from_mins(4);
        let retry = Retry::new(&policy, &clock, &entropy);
        let run = retry.run(async |_| Err::<(), _>("slow down"), |_| Verdict::Again { after: Some(wish) });
        let gave_up = with_moved_clock(&clock, run).await.expect_err("it always fails");
        let starts: Vec<_> = gave_up.failed.iter().map(|one| one.started_at.as_millis() / 60_000).collect();
        assert_eq!((gave_up.reason, starts), (Reason::TooOld, vec![0, 4, 8]));
    }
}
