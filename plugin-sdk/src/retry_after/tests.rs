//! Both forms, all spellings, and what is none.

use std::time::Duration;

use super::parse;

/// 1994-11-06T08:49:37Z, the example of RFC 9110 §5.6.7.
const EXAMPLE_MS: u64 = 784_111_777_000;

#[expect(clippy::unnecessary_wraps, reason = "what `parse` answers")]
fn seconds(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(count))
}

#[test]
fn delta_seconds_are_a_wait_from_now_on() {
    assert_eq!(parse("0", EXAMPLE_MS), seconds(0));
    assert_eq!(parse(" 120 ", EXAMPLE_MS), seconds(120));
}

#[test]
fn a_fraction_of_a_second_is_rounded_up() {
    assert_eq!(parse("1.2", 0), seconds(2));
    assert_eq!(parse("2.0", 0), seconds(2));
}

#[test]
fn each_spelling_of_a_date_is_the_same_instant() {
    let a_minute_before = EXAMPLE_MS - 60_000;
    for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
        assert_eq!(parse(date, a_minute_before), seconds(60), "{date}");
    }
}

#[test]
fn a_date_that_has_passed_is_no_wait() {
    assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE_MS + 1), seconds(0));
}

#[test]
fn a_year_of_two_digits_is_the_one_at_most_fifty_years_ahead() {
    // Seen from 2026, `30` is 2030 and `94` is 1994.
    let in_2026 = 1_769_860_800_000;
    assert_eq!(parse("Tuesday, 01-Jan-30 00:00:00 GMT", in_2026), parse("Tue, 01 Jan 2030 00:00:00 GMT", in_2026));
    assert_eq!(parse("Sunday, 06-Nov-94 08:49:37 GMT", in_2026), seconds(0));
}

#[test]
fn leap_days_count() {
    let before = 951_696_000_000; // 2000-02-28T00:00:00Z
    assert_eq!(parse("Wed, 01 Mar 2000 00:00:00 GMT", before), seconds(2 * 86_400));
}

#[test]
fn anything_else_is_no_hint() {
    for value in [
        "",
        "-1",
        "soon",
        "1e3",
        "12 s",
        "99999999999999999999",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nox 1994 08:49:37 GMT",
        "Sun, 06 Nov 1969 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
    ] {
        assert_eq!(parse(value, 0), None, "{value}");
    }
}
