//! Addresses and hosts by their hashes: what is remembered of a million of them is small, and is no address.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::domain::ChannelName;
use crate::store::Claim;

/// One address or one host, as a channel calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The hash of the channel's name.
    pub(super) channel: u64,
    /// That of channel and destination.
    pub(super) destination: u64,
}

pub(super) fn recipient_of(claim: &Claim) -> Place {
    place_of(&claim.channel, &claim.recipient.address)
}

pub(super) fn place_of(channel: &ChannelName, destination: &str) -> Place {
    Place { channel: hash_of(&channel), destination: hash_of(&(channel, destination)) }
}

pub(super) fn hash_of(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Host and port of an address that is a URL, in lower case.
pub(super) fn host_of(address: &str) -> Option<String> {
    let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}
