//! Whose plugins are loaded.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What happens to a plugin file in the operator's own folder that nobody trusted has signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// It is loaded; signatures are not looked at.
    #[default]
    Off,
    /// It is loaded, with a warning.
    Warn,
    /// It is refused.
    Require,
}

impl Trust {
    /// All, from the least to the most strict.
    pub const ALL: [Self; 3] = [Self::Off, Self::Warn, Self::Require];

    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Require => "require",
        }
    }
}

/// The public key of somebody whose plugins are trusted, written `ed25519:` and 32 bytes in base64.
///
/// ```
/// use campanile::config::TrustedKey;
///
/// let text = "ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
/// assert_eq!(text.parse::<TrustedKey>().unwrap().to_string(), text);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrustedKey(pub [u8; 32]);

/// The text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no public key: write `ed25519:` and its 32 bytes in base64, as `campanile plugins keygen` prints it")]
pub struct ParseTrustedKeyError;

impl FromStr for TrustedKey {
    type Err = ParseTrustedKeyError;

    fn from_str(text: &str) -> Result<Self, ParseTrustedKeyError> {
        let bytes = text.strip_prefix("ed25519:").and_then(|text| STANDARD.decode(text).ok());
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(ParseTrustedKeyError)
    }
}

impl fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
