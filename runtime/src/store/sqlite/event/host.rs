//! What happened to the breaker of a host, in a frame.

use super::{Damaged, Reader, channel_name, put_option, put_text, put_u64};
use crate::domain::{HostChange, HostEvent, HostTag};

/// The kind of these events.
pub(super) const HOST: u8 = 27;

pub(super) fn put(out: &mut Vec<u8>, event: &HostEvent) {
    out.push(HOST);
    let HostEvent { channel, host, change, reason } = event;
    put_text(out, change.kind());
    put_text(out, channel.as_str());
    put_u64(out, host.0);
    put_option(out, reason.as_deref(), put_text);
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<HostEvent, Damaged> {
    let word = reader.text()?;
    let change = HostChange::ALL.into_iter().find(|change| change.kind() == word).ok_or_else(|| reader.damaged())?;
    let (channel, host) = (channel_name(reader)?, HostTag(reader.u64()?));
    Ok(HostEvent { channel, host, change, reason: reader.option(Reader::text)? })
}

#[cfg(test)]
pub(super) fn one_of_each() -> Vec<HostEvent> {
    let channel = || crate::domain::ChannelName::new("ops").expect("a name");
    let with = |change, reason: Option<&str>| HostEvent {
        channel: channel(),
        host: HostTag(u64::MAX),
        change,
        reason: reason.map(str::to_owned),
    };
    HostChange::ALL.map(|change| with(change, None)).into_iter().chain([with(HostChange::Opened, Some("x"))]).collect()
}
