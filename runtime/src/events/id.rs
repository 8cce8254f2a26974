//! The id of an event, as clients keep it.

use std::fmt;
use std::str::FromStr;

use crate::store::{EventEpoch, EventNumber};

/// Digits of an epoch.
const EPOCH_DIGITS: usize = 16;

/// The longest text that is shown of what is no id, in characters.
const SHOWN_CHARS_MAX: usize = 64;

/// Which event, in which life of the database. Opaque to clients: whoever resumes gives back the last one it has seen.
///
/// ```
/// use campanile::events::EventId;
///
/// let id: EventId = "00c0ffee00c0ffee-42".parse()?;
/// assert_eq!((id.number, id.to_string().as_str()), (42, "00c0ffee00c0ffee-42"));
/// # Ok::<(), campanile::events::EventIdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId {
    /// Another one after a backup was put in place.
    pub epoch: EventEpoch,
    /// Grows in the order of the stream; 0 is before the first event.
    pub number: EventNumber,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.number)
    }
}

/// A text that is not the id of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not the id of an event, such as `00c0ffee00c0ffee-42`: give back the last `id` of the stream as it came"
)]
pub struct EventIdError {
    /// Its first 64 characters.
    pub text: String,
}

impl FromStr for EventId {
    type Err = EventIdError;

    /// Takes what [`Display`](fmt::Display) writes and nothing else: an id has one spelling.
    fn from_str(text: &str) -> Result<Self, EventIdError> {
        let read = || {
            let (epoch, number) = text.split_once('-')?;
            let is_epoch = epoch.len() == EPOCH_DIGITS && epoch.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            let is_number = number.bytes().all(|b| b.is_ascii_digit()) && (number == "0" || !number.starts_with('0'));
            if !is_epoch || !is_number {
                return None;
            }
            // What is kept is a signed number of 64 bits.
            let number = number.parse::<i64>().ok()? as EventNumber;
            Some(Self { epoch: EventEpoch(u64::from_str_radix(epoch, 16).ok()?), number })
        };
        read().ok_or_else(|| EventIdError { text: text.chars().take(SHOWN_CHARS_MAX).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_as_it_was_written() {
        for (epoch, number) in [(0, 0), (1, 1), (u64::MAX, i64::MAX as u64), (0x0123_4567_89ab_cdef, 65_537)] {
            let id = EventId { epoch: EventEpoch(epoch), number };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn what_is_spelled_in_any_other_way_is_refused_and_shown() {
        let wrong = [
            "",
            "-",
            "42",
            "00c0ffee00c0ffee",
            "00c0ffee00c0ffee-",
            "-42",
            "00c0ffee00c0ffe-42",
            "000c0ffee00c0ffee-42",
            "00C0FFEE00C0FFEE-42",
            "00c0ffee00c0ffee-042",
            "00c0ffee00c0ffee-+42",
            "00c0ffee00c0ffee--42",
            "00c0ffee00c0ffee-42 ",
            "00c0ffee00c0ffee-9223372036854775808",
            "é0c0ffee00c0ffee-42",
        ];
        for text in wrong {
            assert_eq!(text.parse::<EventId>(), Err(EventIdError { text: text.to_owned() }));
        }
        let long = "x".repeat(1_000).parse::<EventId>().unwrap_err();
        assert_eq!(long.text.len(), SHOWN_CHARS_MAX);
    }
}
