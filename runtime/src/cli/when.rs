//! Instants as people write them: `2030-01-31T09:30:00Z`, `10m`, `tomorrow 9am`.
//!
//! *Not here:* which instants are allowed. The server says that.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::{Span, Timestamp, ToSpan as _, Zoned};

use crate::config::parse_duration;

const EXPECTED_BACK: &str = "expected an instant such as `2030-01-31T09:30:00Z`, `2030-01-31 09:30`, `2h`, `2 days ago`, \
                             `9am` or `yesterday 17:30`";

const EXPECTED: &str = "expected an instant such as `2030-01-31T09:30:00Z`, `2030-01-31 09:30`, `10m`, `in 2 days`, \
                        `17:30`, `tomorrow 9am` or `monday noon`";

/// The instant that `text` names, seen from `now` and in its time zone.
pub(super) fn parse(text: &str, now: &Zoned) -> Result<Timestamp, String> {
    let text = text.trim();
    let wrong = || format!("`{}` is no time: {EXPECTED}", text.chars().take(64).collect::<String>());
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let lower = text.to_ascii_lowercase();
    let words: Vec<&str> = lower.split_whitespace().filter(|word| *word != "at").collect();
    let at = match &words[..] {
        ["now"] => Some(now.clone()),
        ["in", span @ ..] => after(now, span),
        [_] | [_, _] if after(now, &words).is_some() => after(now, &words),
        _ => moment(&words, now),
    };
    at.map(|at| at.timestamp()).ok_or_else(wrong)
}

/// The instant that `text` names where what has been is meant: `2h` and `2 hours ago` are two hours back, `9am` is the
/// last one. Whatever names its day or its date is what it is for [`parse`].
pub(super) fn parse_back(text: &str, now: &Zoned) -> Result<Timestamp, String> {
    let lower = text.trim().to_ascii_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let ago = words.strip_suffix(&["ago"]).unwrap_or(&words);
    if let Some(back) = span(ago).and_then(|span| now.checked_sub(span).ok()) {
        return Ok(back.timestamp());
    }
    let yesterday = || now.checked_sub(1.day()).ok().map(|day| day.date());
    let at = match words.strip_prefix(&["yesterday"]) {
        Some([]) => now.checked_sub(1.day()).ok(),
        Some(rest) => time_of_words(rest.strip_prefix(&["at"]).unwrap_or(rest))
            .and_then(|time| yesterday()?.to_datetime(time).to_zoned(now.time_zone().clone()).ok()),
        None => time_of_words(&words).and_then(|time| {
            let on = |day: Date| day.to_datetime(time).to_zoned(now.time_zone().clone()).ok();
            on(now.date()).filter(|today| today <= now).or_else(|| on(yesterday()?))
        }),
    };
    let wrong = |_| format!("`{}` is no time: {EXPECTED_BACK}", text.trim().chars().take(64).collect::<String>());
    at.map_or_else(|| parse(text, now).map_err(wrong), |at| Ok(at.timestamp()))
}

/// `10m`, `1h30m`, `2 days`: so much later. Days and weeks are those of the calendar: tomorrow at the same time of day,
/// also where the clocks change in between.
fn after(now: &Zoned, words: &[&str]) -> Option<Zoned> {
    now.checked_add(span(words)?).ok()
}

/// A stretch of time that is not negative: back in time is what an instant is for.
fn span(words: &[&str]) -> Option<Span> {
    let span: Span = match words {
        [short] => match calendar(short) {
            Some((unit, count)) => match unit {
                'd' => Span::new().try_days(count).ok()?,
                'w' => Span::new().try_weeks(count).ok()?,
                _ => Span::new().try_years(count).ok()?,
            },
            None => Span::new().try_milliseconds(i64::try_from(parse_duration(short).ok()?.as_millis()).ok()?).ok()?,
        },
        [number, unit] => {
            let count: i64 = if matches!(*number, "a" | "an") { 1 } else { number.parse().ok()? };
            let span = Span::new();
            match unit.strip_suffix('s').unwrap_or(unit) {
                "second" | "sec" => span.try_seconds(count),
                "minute" | "min" => span.try_minutes(count),
                "hour" => span.try_hours(count),
                "day" => span.try_days(count),
                "week" => span.try_weeks(count),
                "month" => span.try_months(count),
                "year" => span.try_years(count),
                _ => return None,
            }
            .ok()?
        }
        _ => return None,
    };
    (!span.is_negative()).then_some(span)
}

/// `3d`, `2w` or `1y`, as its unit and its number.
fn calendar(short: &str) -> Option<(char, i64)> {
    let unit = short.chars().next_back().filter(|unit| matches!(unit, 'd' | 'w' | 'y'))?;
    Some((unit, short.strip_suffix(unit)?.parse().ok()?))
}

/// A day, a time of day, or both.
fn moment(words: &[&str], now: &Zoned) -> Option<Zoned> {
    if let Ok(at) = words.join("t").parse::<DateTime>() {
        return at.to_zoned(now.time_zone().clone()).ok();
    }
    let (day, rest) = match words {
        ["next", day, rest @ ..] => (Some(weekday(day, now)?), rest),
        [word, rest @ ..] => match day(word, now) {
            Some(day) => (Some(day), rest),
            None => (None, words),
        },
        [] => return None,
    };
    let time = match rest {
        [] => None,
        words => Some(time_of_words(words)?),
    };
    let at = |day: Date, time: Time| day.to_datetime(time).to_zoned(now.time_zone().clone()).ok();
    match (day, time) {
        (None, None) => None,
        (Some(day), time) => at(day, time.unwrap_or_else(|| now.time())),
        // A time that has passed today is tomorrow's.
        (None, Some(time)) => match at(now.date(), time)? {
            today if today > *now => Some(today),
            _ => at(now.date().checked_add(1.day()).ok()?, time),
        },
    }
}

fn day(word: &str, now: &Zoned) -> Option<Date> {
    match word {
        "today" => Some(now.date()),
        "tomorrow" => now.date().checked_add(1.day()).ok(),
        _ => word.parse().ok().or_else(|| weekday(word, now)),
    }
}

/// The next day of that name; where it is today, a week from now.
fn weekday(word: &str, now: &Zoned) -> Option<Date> {
    const DAYS: [(&str, Weekday); 7] = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let (_, weekday) = DAYS.into_iter().find(|(name, _)| word.len() >= 3 && name.starts_with(word))?;
    now.date().nth_weekday(1, weekday).ok()
}

/// `9 am` as well as `9am`.
fn time_of_words(words: &[&str]) -> Option<Time> {
    match words {
        [time] => time_of_day(time),
        [time, half @ ("am" | "pm")] => time_of_day(&format!("{time}{half}")),
        _ => None,
    }
}

/// `9am`, `9:30pm`, `09:30`, `noon`.
fn time_of_day(word: &str) -> Option<Time> {
    match word {
        "noon" => return Some(Time::constant(12, 0, 0, 0)),
        "midnight" => return Some(Time::midnight()),
        _ => {}
    }
    let (digits, half) = match (word.strip_suffix("am"), word.strip_suffix("pm")) {
        (Some(digits), _) => (digits, Some(0)),
        (_, Some(digits)) => (digits, Some(12)),
        (None, None) => (word, None),
    };
    let mut parts = digits.split(':').map(|part| {
        let is_number = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse::<i8>().ok()).flatten()
    });
    let hour = parts.next()??;
    let (minute, second) = (parts.next(), parts.next());
    let has_minutes = minute.is_some();
    let (minute, second) = (minute.unwrap_or(Some(0))?, second.unwrap_or(Some(0))?);
    if parts.next().is_some() {
        return None;
    }
    let hour = match half {
        Some(later) if (1..=12).contains(&hour) => hour % 12 + later,
        // A bare number is no time of day.
        None if has_minutes => hour,
        _ => return None,
    };
    Time::new(hour, minute, second, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    /// A Friday, in a zone whose clocks go back two days later, written as a rule so that no database is needed.
    fn now() -> Zoned {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a rule");
        "2026-10-23T14:05:00".parse::<DateTime>().expect("a time").to_zoned(zone).expect("it exists")
    }

    fn told(text: &str) -> String {
        let now = now();
        match parse(text, &now) {
            Ok(at) => at.to_zoned(now.time_zone().clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
            Err(message) => message,
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let expected = [
            ("2030-01-31T09:30:00Z", "2030-01-31 10:30:00 +01:00"),
            ("2030-01-31T09:30:00+05:00", "2030-01-31 05:30:00 +01:00"),
            ("2030-01-31 09:30", "2030-01-31 09:30:00 +01:00"),
            ("2030-01-31T09:30:15", "2030-01-31 09:30:15 +01:00"),
            ("2030-01-31 9am", "2030-01-31 09:00:00 +01:00"),
            ("now", "2026-10-23 14:05:00 +02:00"),
            ("10m", "2026-10-23 14:15:00 +02:00"),
            ("1h30m", "2026-10-23 15:35:00 +02:00"),
            ("in 90 seconds", "2026-10-23 14:06:30 +02:00"),
            ("in an hour", "2026-10-23 15:05:00 +02:00"),
            ("3d", "2026-10-26 14:05:00 +01:00"),
            ("2w", "2026-11-06 14:05:00 +01:00"),
            ("1y", "2027-10-23 14:05:00 +02:00"),
            ("72h", "2026-10-26 13:05:00 +01:00"),
            ("in 2 weeks", "2026-11-06 14:05:00 +01:00"),
            ("1 month", "2026-11-23 14:05:00 +01:00"),
            ("1 year", "2027-10-23 14:05:00 +02:00"),
            ("17:30", "2026-10-23 17:30:00 +02:00"),
            ("9am", "2026-10-24 09:00:00 +02:00"),
            ("at 9 am", "2026-10-24 09:00:00 +02:00"),
            ("12am", "2026-10-24 00:00:00 +02:00"),
            ("12:30pm", "2026-10-24 12:30:00 +02:00"),
            ("tomorrow", "2026-10-24 14:05:00 +02:00"),
            ("Tomorrow 9am", "2026-10-24 09:00:00 +02:00"),
            ("tomorrow at 17:30", "2026-10-24 17:30:00 +02:00"),
            ("today 23:00", "2026-10-23 23:00:00 +02:00"),
            ("monday noon", "2026-10-26 12:00:00 +01:00"),
            ("fri 8:00", "2026-10-30 08:00:00 +01:00"),
            ("next friday", "2026-10-30 14:05:00 +01:00"),
            // It comes twice that night; the first of the two is meant.
            ("2026-10-25 02:30", "2026-10-25 02:30:00 +02:00"),
        ];
        for (text, at) in expected {
            assert_eq!(told(text), at, "{text}");
        }
    }

    #[test]
    fn looking_back_a_stretch_of_time_is_that_long_ago_and_a_time_of_day_the_last_one() {
        let told = |text: &str| {
            let now = now();
            let at = parse_back(text, &now).expect("a time").to_zoned(now.time_zone().clone());
            at.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
        };
        let expected = [
            ("2h", "2026-10-23 12:05:00 +02:00"),
            ("1h30m", "2026-10-23 12:35:00 +02:00"),
            ("2 days", "2026-10-21 14:05:00 +02:00"),
            ("2 days ago", "2026-10-21 14:05:00 +02:00"),
            ("an hour ago", "2026-10-23 13:05:00 +02:00"),
            ("7d", "2026-10-16 14:05:00 +02:00"),
            ("1w", "2026-10-16 14:05:00 +02:00"),
            ("9am", "2026-10-23 09:00:00 +02:00"),
            ("17:30", "2026-10-22 17:30:00 +02:00"),
            ("yesterday", "2026-10-22 14:05:00 +02:00"),
            ("Yesterday at 9 am", "2026-10-22 09:00:00 +02:00"),
            ("today 23:00", "2026-10-23 23:00:00 +02:00"),
            ("2026-10-01", "2026-10-01 00:00:00 +02:00"),
            ("2026-10-01 09:30", "2026-10-01 09:30:00 +02:00"),
            ("2026-10-01T09:30:00Z", "2026-10-01 11:30:00 +02:00"),
            ("now", "2026-10-23 14:05:00 +02:00"),
        ];
        for (text, at) in expected {
            assert_eq!(told(text), at, "{text}");
        }
        for text in ["", "ago", "lately", "-2h", "yesterday evening"] {
            let message = format!("`{text}` is no time: {EXPECTED_BACK}");
            assert_eq!(parse_back(text, &now()), Err(message));
        }
    }

    #[test]
    fn what_is_no_time_is_told_with_what_is() {
        for text in [
            "",
            "soon",
            "10",
            "25:00",
            "13pm",
            "0am",
            "in -5 minutes",
            "-2w",
            "w",
            "tomorrow evening",
            "9:5:3:1",
            "mo",
            "1:2x",
        ] {
            assert_eq!(told(text), format!("`{text}` is no time: {EXPECTED}"));
        }
    }
}
