//! Where a list goes on, as a text that a client hands back and need not understand.
//!
//! *Invariants:* a cursor holds for the list and the filters that it was given for, and for no others. It says itself
//! all that is needed, so it outlives a restart. Its checksum is there against mistakes: who makes one up reaches
//! nothing that the list does not show anyway.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::domain::{AuditId, DeliveryId, NotificationId, Timestamp};

/// How cursors are laid out: this byte, the list's, the filters' mark, the place, and a checksum of all before it.
const LAYOUT: u8 = 1;

/// Of the mark of the filters, and of the checksum, in bytes.
const SUM: usize = 8;

/// The longest cursor has 52 characters. A longer text is none, and is not decoded.
const TEXT_MAX: usize = 64;

/// A place in a list.
pub(super) trait Place: Sized {
    /// The list's byte.
    const LIST: u8;
    /// What it is a list of.
    const OF: &'static str;

    fn to_bytes(&self) -> Vec<u8>;

    fn of_bytes(bytes: &[u8]) -> Option<Self>;
}

impl Place for NotificationId {
    const LIST: u8 = b'n';
    const OF: &'static str = "notifications";

    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_bytes)
    }
}

impl Place for DeliveryId {
    const LIST: u8 = b'd';
    const OF: &'static str = "dead letters";

    fn to_bytes(&self) -> Vec<u8> {
        [&self.notification().as_bytes()[..], &self.index().to_be_bytes()].concat()
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (notification, index) = bytes.split_at_checked(16)?;
        let index = u32::from_be_bytes(index.try_into().ok()?);
        Some(NotificationId::of_bytes(notification)?.delivery(index))
    }
}

impl Place for AuditId {
    const LIST: u8 = b'a';
    const OF: &'static str = "the audit log";

    fn to_bytes(&self) -> Vec<u8> {
        let Self { at, frame, index } = self;
        [&at.as_millis().to_be_bytes()[..], &frame.to_be_bytes(), &index.to_be_bytes()].concat()
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (at, rest) = bytes.split_first_chunk()?;
        let (frame, index) = rest.split_first_chunk()?;
        let at = Timestamp::from_millis(u64::from_be_bytes(*at));
        Some(Self { at, frame: u32::from_be_bytes(*frame), index: u32::from_be_bytes(index.try_into().ok()?) })
    }
}

/// The id of a call of a callback that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DeadCallbackId(pub(super) u64);

impl Place for DeadCallbackId {
    const LIST: u8 = b'c';
    const OF: &'static str = "dead letters of callbacks";

    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(u64::from_be_bytes(bytes)))
    }
}

/// What stands for the filters of a list: the same for the same filters, however they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark([u8; SUM]);

impl Mark {
    /// Of filters by name; one that is not there says nothing.
    pub(super) fn of<const N: usize>(filters: [(&str, Option<String>); N]) -> Self {
        let mut text = Vec::new();
        for (name, value) in filters {
            for word in value.iter().flat_map(|value| [name, value]) {
                // With their lengths, so that no two sets of filters are one text.
                text.extend_from_slice(&(word.len() as u64).to_be_bytes());
                text.extend_from_slice(word.as_bytes());
            }
        }
        Self(sum(&text))
    }
}

/// Why a text is not the cursor of this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CursorError {
    #[error("is not a cursor of this server: hand back the whole `next_cursor` of the page before, unchanged")]
    Changed,
    #[error("is a cursor of another version of this program: leave it out to begin again")]
    OtherLayout,
    #[error("is a cursor of another list, and this one is of {0}: leave it out to begin")]
    OtherList(&'static str),
    #[error(
        "was given for other filters: give those of the page before again, with the same times, or leave the cursor \
         out to begin again"
    )]
    OtherFilters,
}

/// The cursor of this place in the list with these filters.
pub(super) fn write<P: Place>(place: &P, mark: Mark) -> String {
    let mut bytes = vec![LAYOUT, P::LIST];
    bytes.extend_from_slice(&mark.0);
    bytes.extend_from_slice(&place.to_bytes());
    let checksum = sum(&bytes);
    bytes.extend_from_slice(&checksum);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that a cursor names in the list with these filters.
pub(super) fn read<P: Place>(text: &str, mark: Mark) -> Result<P, CursorError> {
    if text.len() > TEXT_MAX {
        return Err(CursorError::Changed);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Changed)?;
    let (body, checksum) = bytes.split_last_chunk::<SUM>().ok_or(CursorError::Changed)?;
    if sum(body) != *checksum {
        return Err(CursorError::Changed);
    }
    let [layout, list, rest @ ..] = body else { return Err(CursorError::Changed) };
    if *layout != LAYOUT {
        return Err(CursorError::OtherLayout);
    }
    if *list != P::LIST {
        return Err(CursorError::OtherList(P::OF));
    }
    let (filters, place) = rest.split_first_chunk::<SUM>().ok_or(CursorError::Changed)?;
    if *filters != mark.0 {
        return Err(CursorError::OtherFilters);
    }
    P::of_bytes(place).ok_or(CursorError::Changed)
}

fn sum(bytes: &[u8]) -> [u8; SUM] {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    std::array::from_fn(|place| digest[place])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mark(value: &str) -> Mark {
        Mark::of([("status", Some(value.to_owned())), ("kind", None)])
    }

    fn read_notification(text: &str, mark: Mark) -> Result<NotificationId, CursorError> {
        read(text, mark)
    }

    #[test]
    fn a_cursor_is_the_same_text_in_every_process() {
        let id = NotificationId::from_bytes([7; 16]);
        insta::assert_snapshot!(write(&id, mark("failed")), @"AW4Jw-brBZCVpAcHBwcHBwcHBwcHBwcHBwf2M6BonogpTw");
    }

    #[test]
    fn a_cursor_of_other_filters_or_of_another_list_is_told_as_that() {
        let id = NotificationId::from_bytes([7; 16]);
        let cursor = write(&id, mark("failed"));
        assert_eq!(read_notification(&cursor, mark("sent")), Err(CursorError::OtherFilters));
        assert_eq!(read::<DeliveryId>(&cursor, mark("failed")), Err(CursorError::OtherList("dead letters")));
        let cursor = write(&id.delivery(3), mark("failed"));
        assert_eq!(read_notification(&cursor, mark("failed")), Err(CursorError::OtherList("notifications")));
    }

    #[test]
    fn what_two_filters_say_is_not_what_one_says() {
        let of = |kind: Option<&str>, channel: Option<&str>| {
            Mark::of([("kind", kind.map(str::to_owned)), ("channel", channel.map(str::to_owned))])
        };
        let all =
            [of(None, None), of(Some("a"), None), of(None, Some("a")), of(Some("a"), Some("")), of(Some(""), None)];
        for (place, one) in all.iter().enumerate() {
            assert!(!all[..place].contains(one), "{place}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_brings_its_place_back(bytes: [u8; 16], index: u32, filter in ".{0,20}") {
            let id = NotificationId::from_bytes(bytes);
            let mark = mark(&filter);
            prop_assert_eq!(read(&write(&id, mark), mark), Ok(id));
            let cursor = write(&id.delivery(index), mark);
            prop_assert!(cursor.len() <= TEXT_MAX);
            prop_assert_eq!(read(&cursor, mark), Ok(id.delivery(index)));
            let place = AuditId { at: id.created_at(), frame: index, index: index / 2 };
            prop_assert_eq!(read(&write(&place, mark), mark), Ok(place));
        }

        #[test]
        fn a_cursor_with_another_character_is_none(
            bytes: [u8; 16], at: prop::sample::Index, other in "[A-Za-z0-9_=. -]",
        ) {
            let mark = mark("failed");
            let cursor = write(&NotificationId::from_bytes(bytes), mark);
            let at = at.index(cursor.len());
            let changed = format!("{}{other}{}", &cursor[..at], &cursor[at + 1..]);
            prop_assume!(changed != cursor);
            prop_assert_eq!(read_notification(&changed, mark), Err(CursorError::Changed));
            prop_assert_eq!(read_notification(&cursor[..at], mark), Err(CursorError::Changed));
            prop_assert_eq!(read_notification(&format!("{cursor}{other}"), mark), Err(CursorError::Changed));
        }

        #[test]
        fn any_text_is_a_cursor_or_an_error(text in ".{0,80}") {
            prop_assert_eq!(read_notification(&text, mark("failed")), Err(CursorError::Changed));
        }
    }
}
