//! A slice of deliveries that are still to be made.

use std::sync::Arc;

use super::super::wire::{Damaged, Reader, put_option, put_text, put_u64};
use super::{FORMAT, open, put_recipient, put_timestamp, recipient, timestamp};
use crate::domain::{ChannelName, Recipient, Timestamp};
use crate::store::{OnceKey, PlannedDelivery};

/// One delivery to be, as it is written.
#[derive(Debug)]
pub(in crate::store::sqlite) struct Target {
    pub(in crate::store::sqlite) channel: ChannelName,
    pub(in crate::store::sqlite) recipient: Arc<Recipient>,
    pub(in crate::store::sqlite) recipient_row: Vec<u8>,
    pub(in crate::store::sqlite) due: Timestamp,
    pub(in crate::store::sqlite) dedupe: Option<OnceKey>,
}

impl From<PlannedDelivery> for Target {
    fn from(planned: PlannedDelivery) -> Self {
        let PlannedDelivery { channel, recipient, due, dedupe } = planned;
        let mut recipient_row = Vec::with_capacity(64);
        put_recipient(&mut recipient_row, &recipient);
        Self { channel, recipient: Arc::new(recipient), recipient_row, due, dedupe }
    }
}

pub(in crate::store::sqlite) fn put_targets(out: &mut Vec<u8>, targets: &[PlannedDelivery]) {
    out.push(FORMAT);
    put_u64(out, targets.len() as u64);
    let mut recipient_row = Vec::with_capacity(64);
    for PlannedDelivery { channel, recipient, due, dedupe } in targets {
        put_text(out, channel.as_str());
        recipient_row.clear();
        put_recipient(&mut recipient_row, recipient);
        put_u64(out, recipient_row.len() as u64);
        out.extend_from_slice(&recipient_row);
        put_timestamp(out, *due);
        put_option(out, dedupe.as_ref(), |out, key| {
            out.extend_from_slice(&key.hash);
            put_timestamp(out, key.since);
        });
    }
}

pub(in crate::store::sqlite) fn targets(bytes: &[u8]) -> Result<Vec<Target>, Damaged> {
    let mut reader = open("target", bytes)?;
    let targets = reader.list(target)?;
    reader.end(targets)
}

fn target(row: &mut Reader<'_>) -> Result<Target, Damaged> {
    let channel = ChannelName::new(&row.text()?).map_err(|_| row.damaged())?;
    let length = usize::try_from(row.u64()?).map_err(|_| row.damaged())?;
    let recipient_row = row.raw(length)?.to_vec();
    Ok(Target {
        channel,
        recipient: Arc::new(recipient(&recipient_row)?),
        recipient_row,
        due: timestamp(row)?,
        dedupe: row.option(|row| Ok(OnceKey { hash: row.array()?, since: timestamp(row)? }))?,
    })
}
