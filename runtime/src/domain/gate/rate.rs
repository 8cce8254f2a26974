//! So many per second, minute, hour or day, and no faster: the generic cell rate algorithm (ITU-T I.371).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Timestamp, nanos};

/// How many a time allows, spread evenly over it.
///
/// Its text is `50/s`, `5/m`, `100/h`, `1000/d`; a time of several units has their number in front: `5/10s`, `1/500ms`.
/// The text does not tell the burst.
///
/// ```
/// use campanile::domain::Rate;
///
/// let rate: Rate = "50/s".parse()?;
/// assert_eq!((rate.count(), rate.burst()), (50, 5));
/// assert_eq!(rate.to_string(), "50/s");
/// assert!("0/s".parse::<Rate>().is_err());
/// # Ok::<(), campanile::domain::RateError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    burst: u32,
    per: Duration,
    /// From one to the next, rounded up: no time holds more than it allows.
    interval_ns: u64,
}

/// Why something is not a rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RateError {
    /// It allows nothing.
    #[error("a rate of 0 allows nothing; write at least 1, as in `1/s`")]
    Zero,
    /// The time is none that can be kept.
    #[error("a rate over {per:?}; its time is a whole number of milliseconds, from 1 ms to {:?}", Rate::PER_MAX)]
    Per {
        /// The time that was asked for.
        per: Duration,
    },
    /// The text is not one of a rate.
    #[error("`{text}` is not a rate; write a number and a time, as in `50/s`, `5/m`, `100/h` or `1000/d`")]
    Text {
        /// What was to be read.
        text: String,
    },
}

/// Units of a rate's time and their milliseconds, the longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// What may go at once, unless it is said otherwise: as many as fit into this.
const BURST_OVER: Duration = Duration::from_millis(100);

impl Rate {
    /// The longest time over which a rate is kept.
    pub const PER_MAX: Duration = Duration::from_hours(366 * 24);

    /// `count` in each `per`. At once go as many as fit into 100 ms, and at least one.
    ///
    /// # Errors
    /// Where `count` is zero, or `per` is no whole number of milliseconds from 1 to [`PER_MAX`](Self::PER_MAX).
    pub fn new(count: u32, per: Duration) -> Result<Self, RateError> {
        if count == 0 {
            return Err(RateError::Zero);
        }
        if per.is_zero() || per > Self::PER_MAX || !per.subsec_nanos().is_multiple_of(1_000_000) {
            return Err(RateError::Per { per });
        }
        let per_ns = per.as_nanos();
        let interval_ns = per_ns.div_ceil(u128::from(count)) as u64;
        let burst = u128::from(count) * BURST_OVER.as_nanos() / per_ns;
        Ok(Self { count, burst: burst.clamp(1, u128::from(u32::MAX)) as u32, per, interval_ns })
    }

    /// `count`, at least one, in each second.
    pub(super) const fn per_second(count: u32) -> Self {
        let count = if count == 0 { 1 } else { count };
        let burst = if count < 10 { 1 } else { count / 10 };
        Self { count, burst, per: Duration::from_secs(1), interval_ns: 1_000_000_000_u64.div_ceil(count as u64) }
    }

    /// The same with another number that may go at once, at least one.
    #[must_use]
    pub fn with_burst(self, burst: u32) -> Self {
        Self { burst: burst.max(1), ..self }
    }

    /// How many.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// In which time.
    #[must_use]
    pub const fn per(self) -> Duration {
        self.per
    }

    /// How many of them may go at once, after a silence.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// From one to the next where they are spread evenly, rounded up to a nanosecond.
    #[must_use]
    pub const fn interval(self) -> Duration {
        Duration::from_nanos(self.interval_ns)
    }

    /// How far ahead of an even spread one may go.
    const fn tolerance_ns(self) -> u64 {
        self.interval_ns.saturating_mul(self.burst as u64 - 1)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.per.as_millis() as u64;
        // Every whole number of milliseconds is divided by the last of them.
        let (unit, length) = UNITS.into_iter().find(|(_, length)| millis.is_multiple_of(*length)).unwrap_or(UNITS[4]);
        match millis / length {
            1 => write!(f, "{}/{unit}", self.count),
            units => write!(f, "{}/{units}{unit}", self.count),
        }
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let unreadable = || RateError::Text { text: text.to_owned() };
        let (count, per) = text.split_once('/').ok_or_else(unreadable)?;
        let unit = per.trim_start_matches(|c: char| c.is_ascii_digit());
        let units = &per[..per.len() - unit.len()];
        let (_, length) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(unreadable)?;
        let units: u64 = if units.is_empty() { 1 } else { units.parse().map_err(|_| unreadable())? };
        if !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(unreadable());
        }
        Self::new(count.parse().map_err(|_| unreadable())?, Duration::from_millis(units.saturating_mul(length)))
    }
}

/// What is remembered of those that went: one cell for each thing whose rate is held, empty at first.
///
/// In no stretch of time `w` go more than `burst + w / interval`. The rate is brought along each time, so that it can
/// change.
///
/// ```
/// use campanile::domain::{Gcra, Rate, Timestamp};
///
/// let rate: Rate = "5/s".parse()?;
/// let (mut cell, now) = (Gcra::default(), Timestamp::from_millis(1_000));
/// assert_eq!(cell.next(rate, now), now);
/// cell.take(rate, now);
/// assert_eq!(cell.next(rate, now).as_millis(), 1_200);
/// # Ok::<(), campanile::domain::RateError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gcra {
    /// When the next one would come if they came evenly: the "theoretical arrival time".
    due_ns: u64,
    seen_ns: u64,
}

impl Gcra {
    /// The earliest instant at which one more conforms, rounded up to a millisecond; `now` where one does already.
    #[must_use]
    pub fn next(self, rate: Rate, now: Timestamp) -> Timestamp {
        let earliest_ns = self.due_ns.saturating_sub(rate.tolerance_ns());
        if earliest_ns <= nanos(now).max(self.seen_ns) {
            return now;
        }
        Timestamp::from_millis(earliest_ns.div_ceil(1_000_000))
    }

    /// How many conform at `now`, its burst at most.
    #[must_use]
    pub fn room(self, rate: Rate, now: Timestamp) -> u32 {
        let now_ns = nanos(now).max(self.seen_ns);
        let latest_ns = now_ns.saturating_add(rate.tolerance_ns());
        let ahead = latest_ns.checked_sub(self.due_ns.max(now_ns));
        ahead.map_or(0, |ahead_ns| u32::try_from(ahead_ns / rate.interval_ns + 1).unwrap_or(u32::MAX))
    }

    /// One goes at `now`. It may be early, where [`next`](Self::next) was not asked: those after it wait the longer.
    pub fn take(&mut self, rate: Rate, now: Timestamp) {
        self.seen_ns = self.seen_ns.max(nanos(now));
        self.due_ns = self.due_ns.max(self.seen_ns).saturating_add(rate.interval_ns);
    }

    /// One that went at the last [`take`](Self::take) did not go after all.
    pub fn give_back(&mut self, rate: Rate) {
        self.due_ns = self.due_ns.saturating_sub(rate.interval_ns);
    }

    /// Another rate holds from here on: nobody waits for longer than it has them wait.
    pub fn change_to(&mut self, rate: Rate, now: Timestamp) {
        let full_ns = rate.interval_ns.saturating_mul(u64::from(rate.burst));
        self.due_ns = self.due_ns.min(nanos(now).max(self.seen_ns).saturating_add(full_ns));
    }

    /// The next instant at which one conforms, and its place in line taken: who asks after it is told a later one.
    pub fn reserve(&mut self, rate: Rate, now: Timestamp) -> Timestamp {
        let at = self.next(rate, now);
        // What is to come was not seen yet: only `now` was.
        self.seen_ns = self.seen_ns.max(nanos(now));
        self.due_ns = self.due_ns.max(self.seen_ns).max(nanos(at)).saturating_add(rate.interval_ns);
        at
    }
}

#[cfg(test)]
mod tests;
