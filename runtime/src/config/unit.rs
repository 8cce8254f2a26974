//! Durations and sizes as people write them.

use std::time::Duration;

/// Why a text is not a duration or a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseUnitError {
    /// Not a duration.
    #[error("`{0}` is not a duration: write numbers with units, the largest first, such as `200ms`, `10s` or `1h30m`")]
    Duration(String),
    /// Not a size.
    #[error("`{0}` is not a size: write a number with a unit, such as `512B`, `16KiB` or `4MiB`")]
    Size(String),
    /// More than can be held.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// Units of time, the largest first, in microseconds.
const TIMES: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Units of size, the largest first, in bytes. The decimal ones are read and never written.
const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// A text that is quoted in a message, cut to what a line can hold.
fn quoted(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Splits `10s rest` into 10 and `s`, and the rest from the next digit on.
fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    Some((number.parse().ok()?, unit, rest))
}

/// Reads a duration: whole numbers with the units `d`, `h`, `m`, `s`, `ms`, `us`, the largest first, each at most once.
///
/// ```
/// use campanile::config::parse_duration;
/// use std::time::Duration;
///
/// assert_eq!(parse_duration("1h30m")?, Duration::from_mins(90));
/// assert!(parse_duration("10").is_err());
/// # Ok::<(), campanile::config::ParseUnitError>(())
/// ```
///
/// # Errors
///
/// [`ParseUnitError`] where it is something else, or over 584,942 years.
pub fn parse_duration(text: &str) -> Result<Duration, ParseUnitError> {
    let wrong = || ParseUnitError::Duration(quoted(text));
    let too_large = || ParseUnitError::TooLarge(quoted(text));
    let (mut rest, mut units, mut micros) = (text, &TIMES[..], 0_u64);
    loop {
        let (number, unit, tail) = number_and_unit(rest).ok_or_else(wrong)?;
        let index = units.iter().position(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let part = number.checked_mul(units[index].1).ok_or_else(too_large)?;
        micros = micros.checked_add(part).ok_or_else(too_large)?;
        (rest, units) = (tail, &units[index + 1..]);
        if rest.is_empty() {
            return Ok(Duration::from_micros(micros));
        }
    }
}

/// Writes a duration so that [`parse_duration`] reads it back; what is below a microsecond is left out.
///
/// ```
/// use campanile::config::format_duration;
/// use std::time::Duration;
///
/// assert_eq!(format_duration(Duration::from_millis(90_500)), "1m30s500ms");
/// assert_eq!(format_duration(Duration::ZERO), "0s");
/// ```
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, size) in TIMES {
        if micros >= size {
            text.push_str(&format!("{}{unit}", micros / size));
            micros %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads a size in bytes: a whole number with one of the units `B`, `KiB`, `MiB`, `GiB`, `KB`, `MB`, `GB`.
///
/// ```
/// use campanile::config::parse_size;
///
/// assert_eq!(parse_size("4MiB")?, 4_194_304);
/// assert!(parse_size("4 MiB").is_err());
/// # Ok::<(), campanile::config::ParseUnitError>(())
/// ```
///
/// # Errors
///
/// [`ParseUnitError`] where it is something else, or over 2^64 - 1 bytes.
pub fn parse_size(text: &str) -> Result<u64, ParseUnitError> {
    let wrong = || ParseUnitError::Size(quoted(text));
    let (number, unit, rest) = number_and_unit(text).ok_or_else(wrong)?;
    let (_, size) = SIZES.iter().find(|(name, _)| *name == unit && rest.is_empty()).ok_or_else(wrong)?;
    number.checked_mul(*size).ok_or_else(|| ParseUnitError::TooLarge(quoted(text)))
}

/// Writes a size, in the largest binary unit that divides it, so that [`parse_size`] reads it back.
///
/// ```
/// use campanile::config::format_size;
///
/// assert_eq!(format_size(64 << 20), "64MiB");
/// assert_eq!(format_size(1_500), "1500B");
/// ```
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let exact = |size: u64| size.is_power_of_two() && bytes >= size && bytes.is_multiple_of(size);
    match SIZES.iter().find(|(_, size)| exact(*size)) {
        Some((unit, size)) => format!("{}{unit}", bytes / size),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "10", "s", "10 s", "-1s", "1.5s", "1s1s", "1s1m", "10sec", "1h ", "٣s", "1m1"] {
            assert_eq!(parse_duration(text), Err(ParseUnitError::Duration(text.to_owned())), "{text:?}");
        }
        assert_eq!(parse_duration("99999999999999d"), Err(ParseUnitError::TooLarge("99999999999999d".to_owned())));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "10", "MiB", "4 MiB", "4mib", "-4MiB", "4MiB1B", "1.5MiB"] {
            assert_eq!(parse_size(text), Err(ParseUnitError::Size(text.to_owned())), "{text:?}");
        }
        assert!(matches!(parse_size("99999999999999GiB"), Err(ParseUnitError::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn a_duration_survives_writing_and_reading(micros in any::<u64>()) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn a_size_survives_writing_and_reading(bytes in any::<u64>(), shift in 0_u32..40) {
            let bytes = bytes >> 40 << shift;
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in "[0-9a-zA-Zµé .-]{0,24}") {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
