//! Which special and private addresses a channel may reach.

use std::net::IpAddr;

use super::address::{Network, special_use};
use crate::capability::section::{Section, list_line};

/// The ranges of one channel, and where they are written.
#[derive(Debug)]
pub(super) struct Networks {
    ranges: Vec<Network>,
    /// The same as the operator wrote them.
    written: Vec<String>,
    section: Section,
}

impl Networks {
    /// Ranges with their texts.
    pub(super) fn new(ranges: Vec<(Network, String)>, section: Section) -> Self {
        let (ranges, written) = ranges.into_iter().unzip();
        Self { ranges, written, section }
    }

    /// What it is for, where an address is neither public nor granted.
    pub(super) fn forbidden(&self, address: IpAddr) -> Option<&'static str> {
        // A range is granted as IPv4; a mapped spelling of one of its addresses is the same address.
        let address = address.to_canonical();
        special_use(address).filter(|_| !self.ranges.iter().any(|network| network.contains(address)))
    }

    /// The line that grants this range too, and where it stands.
    pub(super) fn with(&self, range: String) -> (String, Section) {
        (list_line("allow_networks", &self.written, &[range]), self.section.clone())
    }

    /// Whether an address is public or its range granted; the sentence says how to grant it.
    pub(super) fn permits(&self, address: IpAddr) -> Result<(), String> {
        let Some(what) = self.forbidden(address) else { return Ok(()) };
        let address = address.to_canonical();
        let (line, section) = self.with(format!("{address}/{}", longest(address)));
        Err(format!("the address `{address}` is not public ({what}); write `{line}` under {section} to allow it"))
    }
}

/// The prefix length of one address.
pub(super) const fn longest(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}
