//! What is accepted once: keys of callers, hashed, and a digest of what they stand for.
//!
//! *Invariants:* a digest depends on what was asked for and not on how it was written: two JSON texts with the same
//! fields have the same. A field that is left out adds nothing, so a field that a later version brings changes no
//! digest of an older one.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::limits::{IDEMPOTENCY_HOLDS, IDEMPOTENCY_KEY_BYTES_MAX};
use super::submission::{Submission, SubmittedAction};
use crate::domain::{ActionStyle, ChannelName, Part, Timestamp};
use crate::route::{Contact, To};
use crate::store::{IdempotencyKey, OnceKey};

/// The key of `submission`, if it has one.
pub(super) fn idempotency(submission: &Submission, now: Timestamp) -> Option<IdempotencyKey> {
    let text = submission.idempotency_key.as_deref()?;
    let hash = hashed(&["notification", text]);
    Some(IdempotencyKey { key: OnceKey { hash, since: now.before(IDEMPOTENCY_HOLDS) }, digest: digest(submission) })
}

/// Whether `text` can be a key.
pub(super) fn is_key(text: &str) -> bool {
    (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What makes two deliveries the same news: the caller's key, the channel and the address.
pub(super) fn dedupe(key: &str, channel: &ChannelName, address: &str, now: Timestamp, window: Duration) -> OnceKey {
    OnceKey { hash: hashed(&[key, channel.as_str(), address]), since: now.before(window) }
}

fn hashed(texts: &[&str]) -> [u8; 16] {
    let mut hash = Fields::default();
    texts.iter().for_each(|text| hash.text(0, text));
    let mut short = [0; 16];
    // 128 bits: nobody finds two keys that meet, and nobody gains by it.
    short.copy_from_slice(&hash.end()[..16]);
    short
}

/// SHA-256 of everything that is asked for, the key itself aside.
fn digest(submission: &Submission) -> [u8; 32] {
    let Submission {
        to,
        channels,
        kind,
        priority,
        title,
        body,
        html,
        markdown,
        parts,
        template,
        data,
        actions,
        scheduled_at,
        expires_at,
        correlation_id,
        group_key,
        metadata,
        dedupe_key,
        idempotency_key: _,
        callback_url,
        // The same content is the same, whoever sends it again.
        by: _,
    } = submission;
    let mut fields = Fields::default();
    to.iter().for_each(|to| fields.recipient(to));
    channels.iter().for_each(|channel| fields.text(2, channel));
    let texts = [
        (3, kind),
        (4, title),
        (5, body),
        (6, html),
        (7, markdown),
        (8, template),
        (9, data),
        (10, correlation_id),
        (11, group_key),
        (12, dedupe_key),
        (18, callback_url),
    ];
    for (tag, text) in texts {
        if let Some(text) = text {
            fields.text(tag, text);
        }
    }
    if let Some(priority) = priority {
        fields.text(13, priority.as_str());
    }
    for (tag, at) in [(14, scheduled_at), (15, expires_at)] {
        if let Some(at) = at {
            fields.text(tag, &at.as_millis().to_string());
        }
    }
    parts.iter().for_each(|Part { name, value }| fields.pair(16, name, value));
    metadata.iter().for_each(|(name, value)| fields.pair(17, name, value));
    actions.iter().for_each(|action| fields.action(action));
    fields.end()
}

/// Fields one after the other, each with its tag and its length, so that none runs into the next.
#[derive(Default)]
struct Fields(Sha256);

impl Fields {
    fn text(&mut self, tag: u8, text: &str) {
        self.0.update([tag]);
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
    }

    fn pair(&mut self, tag: u8, name: &str, value: &str) {
        self.text(tag, name);
        self.text(tag, value);
    }

    fn recipient(&mut self, to: &To) {
        match to {
            To::Address(address) => self.text(1, address),
            To::Contact(Contact { addresses, name, locale, time_zone }) => {
                self.text(20, "");
                for (tag, text) in [(21, name), (22, locale), (23, time_zone)] {
                    if let Some(text) = text {
                        self.text(tag, text);
                    }
                }
                addresses.iter().for_each(|(kind, address)| self.pair(24, kind, address));
            }
        }
    }

    fn action(&mut self, SubmittedAction { id, label, url, style }: &SubmittedAction) {
        self.text(30, label);
        for (tag, text) in [(31, id), (32, url)] {
            if let Some(text) = text {
                self.text(tag, text);
            }
        }
        match style {
            ActionStyle::Plain => {}
            ActionStyle::Primary => self.text(33, "primary"),
            ActionStyle::Danger => self.text(33, "danger"),
        }
    }

    fn end(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
