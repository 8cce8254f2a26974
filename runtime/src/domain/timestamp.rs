//! Instants as they are stored and sent: milliseconds since 1970-01-01T00:00Z.

use std::fmt;
use std::time::Duration;

/// An instant, in whole milliseconds since 1970-01-01T00:00Z.
///
/// Its `Display` is RFC 3339 in UTC with milliseconds.
///
/// ```
/// use campanile::domain::Timestamp;
/// use std::time::Duration;
///
/// let start = Timestamp::from_millis(1_000);
/// assert_eq!(start.after(Duration::from_secs(2)).as_millis(), 3_000);
/// assert_eq!(start.to_string(), "1970-01-01T00:00:01.000Z");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The last instant that can be printed in any time zone: the last day but one of the year 9999.
    pub const MAX: Self = Self(253_402_207_200_000);

    /// The instant `millis` milliseconds after the epoch, at most [`Timestamp::MAX`].
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        if millis > Self::MAX.0 { Self::MAX } else { Self(millis) }
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This instant moved on by `by`, rounded up to a whole millisecond: a wait is never shortened.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        let millis = by.as_nanos().div_ceil(1_000_000).min(u128::from(u64::MAX)) as u64;
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// This instant moved back by `by`, at most to the epoch.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bounded by `MAX`, so the conversion cannot fail; the epoch stands in for the impossible.
        let at = jiff::Timestamp::from_millisecond(self.0 as i64).unwrap_or_default();
        write!(f, "{at:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_and_never_shortened() {
        let start = Timestamp::from_millis(10);
        assert_eq!(start.after(Duration::from_micros(1)).as_millis(), 11);
        assert_eq!(start.after(Duration::from_millis(1)).as_millis(), 11);
    }

    #[test]
    fn the_far_future_is_the_end_of_9999() {
        assert_eq!(Timestamp::from_millis(5).after(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-30T22:00:00.000Z");
    }
}
