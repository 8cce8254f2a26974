//! The server's answers, as far as they are shown. What else there is, now or later, is passed over here and printed
//! by `--json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// RFC 9457, with every problem that was found.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Problem {
    pub(in crate::cli) title: Option<String>,
    pub(in crate::cli) detail: Option<String>,
    #[serde(default)]
    pub(in crate::cli) problems: Vec<Found>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(in crate::cli) struct Found {
    pub(in crate::cli) at: Option<String>,
    pub(in crate::cli) message: String,
    pub(in crate::cli) hint: Option<String>,
    /// Of a setting, its whole key.
    #[serde(default)]
    pub(in crate::cli) key: Option<String>,
    #[serde(default)]
    pub(in crate::cli) channel: Option<String>,
    #[serde(default)]
    pub(in crate::cli) line: Option<usize>,
}

/// What took effect of a configuration.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Reloaded {
    pub(in crate::cli) file: Option<String>,
    pub(in crate::cli) added: Vec<String>,
    pub(in crate::cli) changed: Vec<String>,
    pub(in crate::cli) removed: Vec<String>,
    pub(in crate::cli) disabled: Vec<String>,
    pub(in crate::cli) enabled: Vec<String>,
    pub(in crate::cli) settings: Vec<String>,
    pub(in crate::cli) restart_needed: Vec<String>,
    pub(in crate::cli) warnings: Vec<Found>,
}

/// What was accepted, and how it stands.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Accepted {
    pub(in crate::cli) id: String,
    pub(in crate::cli) delivery_count: u64,
    /// None of more than 1,000.
    pub(in crate::cli) deliveries: Vec<Delivery>,
    /// Those that were not made.
    #[serde(default)]
    pub(in crate::cli) deduplicated: Vec<Deduplicated>,
    /// This is the answer to the first use of its key.
    #[serde(default)]
    pub(in crate::cli) replayed: bool,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Deduplicated {
    pub(in crate::cli) channel: String,
    pub(in crate::cli) recipient: Option<String>,
    /// The one that was made.
    pub(in crate::cli) first: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Notification {
    pub(in crate::cli) id: String,
    pub(in crate::cli) status: String,
    pub(in crate::cli) kind: String,
    pub(in crate::cli) priority: String,
    pub(in crate::cli) created_at: String,
    pub(in crate::cli) title: Option<String>,
    pub(in crate::cli) scheduled_at: Option<String>,
    pub(in crate::cli) expires_at: Option<String>,
    pub(in crate::cli) correlation_id: Option<String>,
    pub(in crate::cli) callback_url: Option<String>,
    #[serde(default)]
    pub(in crate::cli) metadata: BTreeMap<String, String>,
    pub(in crate::cli) counts: Counts,
    /// Cancelled before they were made.
    #[serde(default)]
    pub(in crate::cli) never_made: u64,
    /// The first ones.
    pub(in crate::cli) deliveries: Vec<Delivery>,
}

/// Deliveries per status, made or not.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(in crate::cli) struct Counts {
    pub(in crate::cli) open: u64,
    pub(in crate::cli) sent: u64,
    pub(in crate::cli) failed: u64,
    pub(in crate::cli) cancelled: u64,
}

impl Counts {
    pub(in crate::cli) const fn total(self) -> u64 {
        self.open + self.sent + self.failed + self.cancelled
    }
}

/// Some deliveries of a notification.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct DeliveryPage {
    pub(in crate::cli) deliveries: Vec<Delivery>,
    /// Where the next page begins; none where no more are made.
    pub(in crate::cli) next: Option<u32>,
    /// More are to be made while it is false.
    pub(in crate::cli) complete: bool,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Delivery {
    pub(in crate::cli) id: String,
    pub(in crate::cli) channel: String,
    /// Empty where the channel needs no address.
    pub(in crate::cli) recipient: Option<String>,
    pub(in crate::cli) status: String,
    /// A sentence.
    pub(in crate::cli) detail: Option<String>,
    /// A word, where it failed.
    pub(in crate::cli) reason: Option<String>,
    /// An attempt is under way.
    #[serde(default)]
    pub(in crate::cli) in_flight: bool,
    /// It is cancelled unless that attempt sends it.
    #[serde(default)]
    pub(in crate::cli) cancelling: bool,
    /// When it is tried next.
    pub(in crate::cli) due: Option<String>,
    /// A sentence, while it waits for somebody to do something.
    pub(in crate::cli) held: Option<String>,
    /// How often the server died while it was in flight.
    #[serde(default)]
    pub(in crate::cli) crashes: u32,
    #[serde(default)]
    pub(in crate::cli) rerouted: Vec<Rerouted>,
    #[serde(default)]
    pub(in crate::cli) attempts: Vec<Attempt>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Rerouted {
    pub(in crate::cli) from: String,
    pub(in crate::cli) to: String,
    pub(in crate::cli) at: String,
    pub(in crate::cli) reason: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Attempt {
    pub(in crate::cli) number: u32,
    pub(in crate::cli) started_at: String,
    pub(in crate::cli) duration_ms: f64,
    pub(in crate::cli) outcome: String,
    pub(in crate::cli) code: Option<String>,
    pub(in crate::cli) reason: Option<String>,
    pub(in crate::cli) provider_id: Option<String>,
    /// `name@version`; empty where none was reached.
    pub(in crate::cli) plugin: String,
    pub(in crate::cli) fuel: u64,
    pub(in crate::cli) memory_bytes: u64,
}

/// A page of notifications.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Notifications {
    pub(in crate::cli) notifications: Vec<Notification>,
    pub(in crate::cli) next_cursor: Option<String>,
}

/// A page of the audit log.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct AuditEntries {
    pub(in crate::cli) entries: Vec<AuditEntry>,
    pub(in crate::cli) next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct AuditEntry {
    pub(in crate::cli) at: String,
    pub(in crate::cli) actor: String,
    pub(in crate::cli) action: String,
    /// None where it is about the whole installation.
    pub(in crate::cli) target: Option<String>,
    pub(in crate::cli) outcome: String,
    #[serde(default)]
    pub(in crate::cli) details: AuditDetails,
}

#[derive(Debug, Default, Deserialize)]
pub(in crate::cli) struct AuditDetails {
    pub(in crate::cli) deliveries: Option<u64>,
    pub(in crate::cli) in_flight: Option<u64>,
    pub(in crate::cli) calls: Option<u64>,
    pub(in crate::cli) due: Option<String>,
    pub(in crate::cli) version: Option<String>,
    pub(in crate::cli) sha256: Option<String>,
    pub(in crate::cli) workers: Option<String>,
    /// A sentence.
    pub(in crate::cli) reason: Option<String>,
}

/// A page of dead letters.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct DeadLetters {
    pub(in crate::cli) dead_letters: Vec<DeadLetter>,
    pub(in crate::cli) next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct DeadLetter {
    pub(in crate::cli) priority: String,
    pub(in crate::cli) failed_at: Option<String>,
    #[serde(flatten)]
    pub(in crate::cli) delivery: Delivery,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Cancelled {
    pub(in crate::cli) cancelled: u64,
    /// An attempt is under way that may still send them.
    pub(in crate::cli) in_flight: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Replayed {
    pub(in crate::cli) replayed: u64,
    /// They stay dead letters.
    pub(in crate::cli) expired: u64,
    /// Until the last of them is due.
    pub(in crate::cli) takes_ms: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Purged {
    pub(in crate::cli) purged: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Plugins {
    pub(in crate::cli) plugins: Vec<Plugin>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Plugin {
    /// Like the version and the kind missing where it could not be asked.
    pub(in crate::cli) name: Option<String>,
    pub(in crate::cli) version: Option<String>,
    pub(in crate::cli) kind: Option<String>,
    pub(in crate::cli) source: String,
    pub(in crate::cli) file: String,
    pub(in crate::cli) size: u64,
    pub(in crate::cli) state: String,
    pub(in crate::cli) reason: Option<String>,
    #[serde(default)]
    pub(in crate::cli) warnings: Vec<String>,
    #[serde(default)]
    pub(in crate::cli) channels: Vec<String>,
    /// In a hundred, by channel.
    #[serde(default)]
    pub(in crate::cli) shares: BTreeMap<String, u8>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Channels {
    pub(in crate::cli) channels: Vec<Channel>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct ChannelChanged {
    /// Not where it was so before.
    pub(in crate::cli) changed: bool,
    pub(in crate::cli) channel: Channel,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Channel {
    pub(in crate::cli) name: String,
    pub(in crate::cli) plugin: String,
    pub(in crate::cli) version: Option<String>,
    pub(in crate::cli) state: String,
    pub(in crate::cli) reason: Option<String>,
    pub(in crate::cli) breaker: Option<Breaker>,
    pub(in crate::cli) rate: Option<Rate>,
    pub(in crate::cli) not_before: Option<String>,
    pub(in crate::cli) in_flight: u32,
    pub(in crate::cli) limit: Option<u32>,
    pub(in crate::cli) waiting: u64,
    /// Of these, those that wait for the turn of their recipient or host.
    #[serde(default)]
    pub(in crate::cli) deferred: u64,
    pub(in crate::cli) health: Option<Health>,
    #[serde(default)]
    pub(in crate::cli) limits: ChannelLimits,
    pub(in crate::cli) last_success: Option<String>,
    pub(in crate::cli) last_error: Option<FailedCall>,
    /// Hosts whose breakers are not closed.
    #[serde(default)]
    pub(in crate::cli) hosts_not_closed: u64,
    /// The first of them.
    #[serde(default)]
    pub(in crate::cli) hosts: Vec<Host>,
}

/// As it is configured.
#[derive(Debug, Default, Deserialize)]
pub(in crate::cli) struct ChannelLimits {
    pub(in crate::cli) rate: Option<String>,
    pub(in crate::cli) per_recipient_rate: Option<String>,
    pub(in crate::cli) per_host_rate: Option<String>,
    pub(in crate::cli) concurrency: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct FailedCall {
    pub(in crate::cli) at: String,
    pub(in crate::cli) outcome: String,
    pub(in crate::cli) code: Option<String>,
    pub(in crate::cli) reason: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Host {
    pub(in crate::cli) host: String,
    pub(in crate::cli) tag: String,
    pub(in crate::cli) state: String,
    pub(in crate::cli) until: Option<String>,
    pub(in crate::cli) reason: String,
}

/// How fast a channel may be called.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Rate {
    /// As in a configuration.
    pub(in crate::cli) rate: String,
    pub(in crate::cli) scope: String,
    pub(in crate::cli) source: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Breaker {
    pub(in crate::cli) state: String,
    pub(in crate::cli) since: Option<String>,
    pub(in crate::cli) until: Option<String>,
    pub(in crate::cli) reason: Option<String>,
    pub(in crate::cli) calls: u32,
    pub(in crate::cli) failures: u32,
    pub(in crate::cli) slow: u32,
    pub(in crate::cli) consecutive: u32,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Health {
    pub(in crate::cli) state: String,
    pub(in crate::cli) message: String,
    pub(in crate::cli) at: String,
    pub(in crate::cli) failures: u32,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct ChannelTested {
    pub(in crate::cli) channel: String,
    pub(in crate::cli) outcome: String,
    pub(in crate::cli) duration_ms: f64,
    pub(in crate::cli) code: Option<String>,
    pub(in crate::cli) reason: Option<String>,
    pub(in crate::cli) provider_id: Option<String>,
    pub(in crate::cli) plugin: Option<String>,
}
