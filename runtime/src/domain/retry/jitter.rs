//! How far a wait is moved at random, so that those who failed together do not come back together.

use std::time::Duration;

/// How far a wait is moved at random. Each is a function of the planned wait and one draw from `[0, 1)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Jitter {
    /// Not at all.
    None,
    /// Anywhere between nothing and the planned wait: spreads most, and may come back at once.
    Full,
    /// Anywhere between half the planned wait and all of it.
    Equal,
    /// Later by up to this share of it, never earlier: 0.1 is 0 to +10 %. Between 0 and 1.
    Plus(f64),
    /// Earlier or later by up to this share of it: 0.1 is −10 % to +10 %. Between 0 and 1.
    PlusMinus(f64),
}

impl Jitter {
    /// The wait after this jitter; `roll` is one draw from `[0, 1)`.
    ///
    /// ```
    /// use campanile::domain::Jitter;
    /// use std::time::Duration;
    ///
    /// let planned = Duration::from_secs(10);
    /// assert_eq!(Jitter::Full.applied(planned, 0.25), Duration::from_millis(2_500));
    /// assert_eq!(Jitter::Equal.applied(planned, 0.0), Duration::from_secs(5));
    /// assert_eq!(Jitter::PlusMinus(0.5).applied(planned, 0.0), Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn applied(self, planned: Duration, roll: f64) -> Duration {
        let (least, most) = self.shares();
        let share = (most - least).mul_add(roll.clamp(0.0, 1.0), least);
        // A wait near the end of time stays there.
        Duration::try_from_secs_f64(planned.as_secs_f64() * share).unwrap_or(planned)
    }

    /// The least and the most that comes of a planned wait.
    #[must_use]
    pub fn bounds(self, planned: Duration) -> (Duration, Duration) {
        (self.applied(planned, 0.0), self.applied(planned, 1.0))
    }

    fn shares(self) -> (f64, f64) {
        match self {
            Self::None => (1.0, 1.0),
            Self::Full => (0.0, 1.0),
            Self::Equal => (0.5, 1.0),
            Self::Plus(share) => (1.0, 1.0 + share.clamp(0.0, 1.0)),
            Self::PlusMinus(share) => (1.0 - share.clamp(0.0, 1.0), 1.0 + share.clamp(0.0, 1.0)),
        }
    }
}
