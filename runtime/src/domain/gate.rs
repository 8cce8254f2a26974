//! What stands between a queue and a channel, as pure values: when may one more call begin?
//!
//! *Flow:* the caller asks with the moment in its hand, and is told "now" or when to ask again; what a call came to is
//! told back.
//!
//! *Invariants:* nothing waits and nothing is refused for good, except by a breaker that is disabled. A clock that steps
//! back counts as the latest moment seen, so no gate opens wider because of it.
//!
//! *Not here:* whose gate it is, and who is waiting at it.

mod adaptive;
mod breaker;
mod budget;
mod rate;
mod window;

pub use adaptive::{AdaptiveLimit, AdaptiveMark, AdaptiveSignal};
pub use breaker::{
    Admission, BreakerBook, BreakerChange, BreakerCounts, BreakerPolicy, BreakerReason, BreakerState, CircuitBreaker,
    Pass, Verdict,
};
pub use budget::RetryBudget;
pub use rate::{Gcra, Rate, RateError};

use super::Timestamp;

/// A moment with room for finer arithmetic: nanoseconds since 1970, up to the year 2554 and then standing still.
const fn nanos(at: Timestamp) -> u64 {
    at.as_millis().saturating_mul(1_000_000)
}
