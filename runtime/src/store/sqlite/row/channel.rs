//! The row of what is remembered of a channel.

use super::{FORMAT, open, put_timestamp, timestamp};
use crate::domain::{Actor, BreakerBook, BreakerState, ChannelBook, ChannelName, Paused};
use crate::store::sqlite::wire::{Damaged, Reader, put_option, put_text, put_u64};

pub(in crate::store::sqlite) fn put_channel_book(out: &mut Vec<u8>, book: &ChannelBook) {
    // The name is the row's key.
    let ChannelBook { channel: _, paused, breaker: BreakerBook { state, trips, first_opened } } = book;
    out.push(FORMAT);
    put_option(out, *paused, |out, Paused { at, by }| {
        put_timestamp(out, at);
        put_text(out, by.as_str());
    });
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

pub(in crate::store::sqlite) fn channel_book(channel: ChannelName, bytes: &[u8]) -> Result<ChannelBook, Damaged> {
    let mut row = open("channel", bytes)?;
    let paused = row.option(|row| Ok(Paused { at: timestamp(row)?, by: actor(row)? }))?;
    let breaker = BreakerBook { state: state(&mut row)?, trips: row.u32()?, first_opened: row.option(timestamp)? };
    row.end(ChannelBook { channel, paused, breaker })
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
}
