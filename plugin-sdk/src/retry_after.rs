//! `Retry-After` in both forms: RFC 9110 §10.2.3.

use std::time::Duration;

/// How long the header's value asks to wait, seen from `now_ms` (milliseconds since 1970).
///
/// Understands delta-seconds and the three spellings of an HTTP date (RFC 9110 §5.6.7). A fraction of a second, which
/// some providers send against the rule, is rounded up. A date that has passed is no wait. Anything else: none.
///
/// ```
/// # use std::time::Duration;
/// # use campanile_plugin_sdk::retry_after::parse;
/// assert_eq!(parse("120", 0), Some(Duration::from_secs(120)));
/// // 784111777 s after 1970 is the date that RFC 9110 takes as its example.
/// assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_700_000), Some(Duration::from_secs(77)));
/// assert_eq!(parse("soon", 0), None);
/// ```
pub fn parse(value: &str, now_ms: u64) -> Option<Duration> {
    let value = value.trim();
    if value.starts_with(|c: char| c.is_ascii_digit()) {
        return parse_seconds(value);
    }
    let due_ms = parse_date(value, now_ms)?.checked_mul(1000)?;
    Some(Duration::from_millis(due_ms.saturating_sub(now_ms)))
}

fn parse_seconds(value: &str) -> Option<Duration> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let is_more = fraction.bytes().any(|digit| digit != b'0');
    Some(Duration::from_secs(whole.saturating_add(u64::from(is_more))))
}

/// Seconds since 1970 of an HTTP date in any of its three spellings. The day's name is not checked.
fn parse_date(value: &str, now_ms: u64) -> Option<u64> {
    let (first, rest) = value.split_once(' ')?;
    let rest = rest.trim_start();
    if let Some(rest) = rest.strip_suffix(" GMT").filter(|_| first.ends_with(',')) {
        let (date, time) = rest.rsplit_once(' ')?;
        let mut parts = date.split([' ', '-']);
        let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        // `Sunday, 06-Nov-94 08:49:37 GMT`: two digits mean the year that is no more than 50 years ahead.
        let year = if year.len() == 2 { full_year(number(year)?, now_ms) } else { number(year)? };
        return seconds(year, month, day, time);
    }
    // `Sun Nov  6 08:49:37 1994`, of C's asctime.
    let mut parts = rest.split_ascii_whitespace();
    let (month, day, time, year) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    seconds(number(year)?, month, day, time)
}

fn number(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 4 || !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn full_year(two_digits: u64, now_ms: u64) -> u64 {
    // The mean Gregorian year is 31,556,952 s: near enough to tell which century is meant.
    let this_year = 1970 + now_ms / 1000 / 31_556_952;
    let year = this_year - this_year % 100 + two_digits;
    if year > this_year + 50 { year - 100 } else { year }
}

fn seconds(year: u64, month: &str, day: &str, time: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = 1 + MONTHS.iter().zip(0_u64..).find(|(name, _)| **name == month)?.1;
    let day = number(day)?;
    let mut clock = time.split(':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let is_in_range =
        (1970..=9999).contains(&year) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !is_in_range || clock.next().is_some() {
        return None;
    }
    Some(days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`, for years from 1970.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests;
