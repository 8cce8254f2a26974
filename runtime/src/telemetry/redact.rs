//! Values that must not be printed.

use std::fmt;

/// A secret, an address or content: usable, but never printed. `Debug` says that something is there and no more, and
/// there is no `Display`.
///
/// ```
/// use campanile::telemetry::Redacted;
///
/// let token = Redacted::new("xoxb-12345");
/// assert_eq!(format!("{token:?}"), "[redacted]");
/// assert_eq!(*token.reveal(), "xoxb-12345");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Hides `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, to be used and not to be printed.
    pub const fn reveal(&self) -> &T {
        &self.0
    }

    /// Gives the value back.
    pub fn into_revealed(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T> From<T> for Redacted<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}
