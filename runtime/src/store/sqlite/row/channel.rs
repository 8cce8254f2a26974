//! The row of what is remembered of a channel.

use super::{put_timestamp, timestamp};
use crate::domain::{
    Actor, BreakerBook, BreakerCounts, BreakerNote, BreakerReason, BreakerState, ChannelBook, ChannelName, FailedCall,
    HostBook, Paused, Timestamp,
};
use crate::store::sqlite::wire::{Damaged, Reader, put_option, put_text, put_u64};

/// Without what opened the breaker, and without hosts.
const FORMAT_BARE: u8 = 1;

/// What is written.
const FORMAT: u8 = 2;

pub(in crate::store::sqlite) fn put_channel_book(out: &mut Vec<u8>, book: &ChannelBook) {
    // The name is the row's key.
    let ChannelBook { channel: _, paused, breaker, note, hosts } = book;
    out.push(FORMAT);
    put_option(out, *paused, |out, Paused { at, by }| {
        put_timestamp(out, at);
        put_text(out, by.as_str());
    });
    put_breaker(out, breaker);
    put_counts(out, breaker.opening);
    put_option(out, note.as_ref(), |out, BreakerNote { at, reason, error }| {
        put_timestamp(out, *at);
        put_text(out, reason.as_str());
        put_option(out, error.as_ref(), put_failed);
    });
    put_u64(out, hosts.len() as u64);
    for HostBook { host, breaker, reason } in hosts {
        put_text(out, host);
        put_breaker(out, breaker);
        put_counts(out, breaker.opening);
        put_text(out, reason.as_str());
    }
}

/// As it has been from the first format on; what it held as it opened is told apart.
fn put_breaker(out: &mut Vec<u8>, book: &BreakerBook) {
    let BreakerBook { state, trips, first_opened, opening: _ } = book;
    match *state {
        BreakerState::Closed => out.push(0),
        BreakerState::Open { since, until } => {
            out.push(1);
            put_timestamp(out, since);
            put_timestamp(out, until);
        }
        BreakerState::HalfOpen { since } => {
            out.push(2);
            put_timestamp(out, since);
        }
        BreakerState::Disabled { since } => {
            out.push(3);
            put_timestamp(out, since);
        }
    }
    put_u64(out, u64::from(*trips));
    put_option(out, *first_opened, put_timestamp);
}

fn put_counts(out: &mut Vec<u8>, counts: BreakerCounts) {
    let BreakerCounts { calls, failures, slow, consecutive } = counts;
    [calls, failures, slow, consecutive].into_iter().for_each(|count| put_u64(out, u64::from(count)));
}

fn put_failed(out: &mut Vec<u8>, failed: &FailedCall) {
    let FailedCall { at, outcome, code, reason } = failed;
    put_timestamp(out, *at);
    put_text(out, outcome);
    put_option(out, code.as_deref(), put_text);
    put_text(out, reason);
}

pub(in crate::store::sqlite) fn channel_book(channel: ChannelName, bytes: &[u8]) -> Result<ChannelBook, Damaged> {
    let mut row = Reader::new("channel", bytes);
    let format = row.u8()?;
    if !(FORMAT_BARE..=FORMAT).contains(&format) {
        return Err(row.damaged());
    }
    let paused = row.option(|row| Ok(Paused { at: timestamp(row)?, by: actor(row)? }))?;
    let mut book = ChannelBook { paused, breaker: breaker(&mut row)?, ..ChannelBook::new(channel) };
    if format == FORMAT_BARE {
        return row.end(book);
    }
    book.breaker.opening = counts(&mut row)?;
    book.note = row.option(|row| {
        let (at, reason) = (timestamp(row)?, breaker_reason(row)?);
        Ok(BreakerNote { at, reason, error: row.option(failed)? })
    })?;
    book.hosts = row.list(|row| {
        let (host, breaker) = (row.text()?, breaker(row)?);
        let breaker = BreakerBook { opening: counts(row)?, ..breaker };
        Ok(HostBook { host, breaker, reason: breaker_reason(row)? })
    })?;
    row.end(book)
}

fn breaker(row: &mut Reader<'_>) -> Result<BreakerBook, Damaged> {
    let (state, trips, first_opened): (_, _, Option<Timestamp>) = (state(row)?, row.u32()?, row.option(timestamp)?);
    Ok(BreakerBook { state, trips, first_opened, ..BreakerBook::default() })
}

fn counts(row: &mut Reader<'_>) -> Result<BreakerCounts, Damaged> {
    Ok(BreakerCounts { calls: row.u32()?, failures: row.u32()?, slow: row.u32()?, consecutive: row.u32()? })
}

fn failed(row: &mut Reader<'_>) -> Result<FailedCall, Damaged> {
    let (at, outcome) = (timestamp(row)?, row.text()?);
    Ok(FailedCall { at, outcome, code: row.option(Reader::text)?, reason: row.text()? })
}

fn breaker_reason(row: &mut Reader<'_>) -> Result<BreakerReason, Damaged> {
    let word = row.text()?;
    BreakerReason::ALL.into_iter().find(|reason| reason.as_str() == word).ok_or_else(|| row.damaged())
}

fn actor(row: &mut Reader<'_>) -> Result<Actor, Damaged> {
    let word = row.text()?;
    Actor::ALL.into_iter().find(|actor| actor.as_str() == word).ok_or_else(|| row.damaged())
}

fn state(row: &mut Reader<'_>) -> Result<BreakerState, Damaged> {
    match row.u8()? {
        0 => Ok(BreakerState::Closed),
        1 => Ok(BreakerState::Open { since: timestamp(row)?, until: timestamp(row)? }),
        2 => Ok(BreakerState::HalfOpen { since: timestamp(row)? }),
        3 => Ok(BreakerState::Disabled { since: timestamp(row)? }),
        _ => Err(row.damaged()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::channel_book as example;

    #[test]
    fn a_book_survives_its_row_and_a_cut_one_is_an_error() {
        for number in 0..8 {
            let given = example("mail", number);
            let mut bytes = Vec::new();
            put_channel_book(&mut bytes, &given);
            assert_eq!(channel_book(given.channel.clone(), &bytes).as_ref(), Ok(&given));
            for length in 0..bytes.len() {
                assert!(channel_book(given.channel.clone(), &bytes[..length]).is_err(), "cut at {length}");
            }
        }
    }
    #[test]
    fn a_book_of_the_first_format_is_read_and_another_is_an_error() {
        let given = ChannelBook { hosts: Vec::new(), note: None, ..example("mail", 7) };
        let given =
            ChannelBook { breaker: BreakerBook { opening: BreakerCounts::default(), ..given.breaker }, ..given };
        let mut bytes = Vec::new();
        put_channel_book(&mut bytes, &given);
        // Four counts, no note and no hosts, a byte each.
        bytes.truncate(bytes.len() - 6);
        bytes[0] = FORMAT_BARE;
        assert_eq!(channel_book(given.channel.clone(), &bytes).as_ref(), Ok(&given));
        bytes[0] = FORMAT + 1;
        assert!(channel_book(given.channel.clone(), &bytes).is_err());
    }
}
