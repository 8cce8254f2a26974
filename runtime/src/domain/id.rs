//! Identities. One key of 16 bytes each; what is printed carries a prefix, so that an id says what it names.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::Timestamp;

/// Identifies one notification. A UUIDv7 that only grows within a process, so ids sort by acceptance.
///
/// Text: `ntf_` and 32 hex digits. Stored: 16 bytes.
///
/// ```
/// use campanile::domain::NotificationId;
///
/// let id: NotificationId = "ntf_01890a5d0b0170008000000000000001".parse()?;
/// assert_eq!(id.to_string(), "ntf_01890a5d0b0170008000000000000001");
/// assert!("dlv_01890a5d0b0170008000000000000001".parse::<NotificationId>().is_err());
/// # Ok::<(), campanile::domain::ParseIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotificationId(Uuid);

impl NotificationId {
    const PREFIX: &'static str = "ntf_";

    /// Sorts before every other.
    pub const FIRST: Self = Self(Uuid::nil());

    /// Sorts behind every other.
    pub const LAST: Self = Self(Uuid::max());

    /// The id with these 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// What sorts before every id that was given at `at` or later, and behind every earlier one.
    #[must_use]
    pub fn first_at(at: Timestamp) -> Self {
        // RFC 9562: 48 bits of milliseconds stand in front. Later than 10,889 is as late as can be.
        let millis = at.as_millis().min((1 << 48) - 1);
        Self(Uuid::from_u128(u128::from(millis) << 80))
    }

    /// When it was given: at acceptance, and never earlier than any id before it.
    #[must_use]
    pub fn created_at(self) -> Timestamp {
        Timestamp::from_millis((self.0.as_u128() >> 80) as u64)
    }

    /// Its 16 bytes, in the order they sort.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The delivery of this notification with the given index.
    #[must_use]
    pub const fn delivery(self, index: u32) -> DeliveryId {
        DeliveryId { notification: self, index }
    }
}

/// Identifies one delivery: its notification and its place among that notification's deliveries, from 0.
///
/// Text: `dlv_`, 32 hex digits, `_` and the index.
///
/// ```
/// use campanile::domain::DeliveryId;
///
/// let id: DeliveryId = "dlv_01890a5d0b0170008000000000000001_7".parse()?;
/// assert_eq!(id.index(), 7);
/// # Ok::<(), campanile::domain::ParseIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    notification: NotificationId,
    index: u32,
}

impl DeliveryId {
    const PREFIX: &'static str = "dlv_";

    /// The notification it belongs to.
    #[must_use]
    pub const fn notification(self) -> NotificationId {
        self.notification
    }

    /// Its place among the notification's deliveries, from 0.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }
}

impl fmt::Display for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.0.as_simple())
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}_{}", Self::PREFIX, self.notification.0.as_simple(), self.index)
    }
}

impl fmt::Debug for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseIdError {
    /// Another kind of id, or none.
    #[error("it does not start with `{0}`")]
    WrongPrefix(&'static str),
    /// The prefix is right, the rest is not.
    #[error("`{0}` is not followed by 32 hex digits{1}")]
    Malformed(&'static str, &'static str),
}

fn parse_hex(text: &str) -> Option<NotificationId> {
    // `Uuid` would also take hyphens and braces: one id has one spelling.
    let plain = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| Uuid::try_parse(text).ok()).flatten().map(NotificationId)
}

impl FromStr for NotificationId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let hex = text.strip_prefix(Self::PREFIX).ok_or(ParseIdError::WrongPrefix(Self::PREFIX))?;
        parse_hex(hex).ok_or(ParseIdError::Malformed(Self::PREFIX, ""))
    }
}

impl FromStr for DeliveryId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let malformed = || ParseIdError::Malformed(Self::PREFIX, ", `_` and an index");
        let rest = text.strip_prefix(Self::PREFIX).ok_or(ParseIdError::WrongPrefix(Self::PREFIX))?;
        let (hex, index) = rest.split_once('_').ok_or_else(malformed)?;
        let notification = parse_hex(hex).ok_or_else(malformed)?;
        let index: u32 = index.parse().map_err(|_| malformed())?;
        let id = notification.delivery(index);
        // Refuses `+7` and `07`, for the same reason.
        if id.to_string() == text { Ok(id) } else { Err(malformed()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_survives_its_text(bytes: [u8; 16], index: u32) {
            let id = NotificationId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(id.delivery(index).to_string().parse(), Ok(id.delivery(index)));
        }

        #[test]
        fn any_text_is_an_id_or_an_error_and_never_two_spellings(text in "(ntf_|dlv_)?[0-9a-fA-F_+-]{0,40}") {
            if let Ok(id) = text.parse::<NotificationId>() {
                prop_assert_eq!(id.to_string(), text.clone());
            }
            if let Ok(id) = text.parse::<DeliveryId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
