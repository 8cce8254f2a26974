//! A slice of deliveries that are still to be made.

use std::sync::Arc;

use super::super::wire::{Damaged, Reader, put_option, put_text, put_u64};
use super::{FORMAT, open, put_recipient, put_timestamp, recipient, timestamp};
use crate::domain::{ChannelName, Flow, Recipient, Timestamp};
use crate::store::{OnceKey, PlannedDelivery};

/// One delivery to be, as it is written.
#[derive(Debug)]
pub(in crate::store::sqlite) struct Target {
    pub(in crate::store::sqlite) channel: ChannelName,
    pub(in crate::store::sqlite) recipient: Arc<Recipient>,
    pub(in crate::store::sqlite) recipient_row: Vec<u8>,
    pub(in crate::store::sqlite) due: Timestamp,
    pub(in crate::store::sqlite) flow: Flow,
    pub(in crate::store::sqlite) dedupe: Option<OnceKey>,
}

impl From<PlannedDelivery> for Target {
    fn from(planned: PlannedDelivery) -> Self {
        let PlannedDelivery { channel, recipient, due, flow, dedupe } = planned;
        let mut recipient_row = Vec::with_capacity(64);
        put_recipient(&mut recipient_row, &recipient);
        Self { channel, recipient: Arc::new(recipient), recipient_row, due, flow, dedupe }
    }
}

pub(in crate::store::sqlite) fn put_targets(out: &mut Vec<u8>, targets: &[PlannedDelivery]) {
    out.push(FORMAT);
    put_u64(out, targets.len() as u64);
    let mut recipient_row = Vec::with_capacity(64);
    // Those of one notification are one flow, which its id says.
    for PlannedDelivery { channel, recipient, due, flow: _, dedupe } in targets {
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

/// All of them are of this flow.
pub(in crate::store::sqlite) fn targets(bytes: &[u8], flow: Flow) -> Result<Vec<Target>, Damaged> {
    let mut reader = open("target", bytes)?;
    let targets = reader.list(|row| target(row, flow))?;
    reader.end(targets)
}

fn target(row: &mut Reader<'_>, flow: Flow) -> Result<Target, Damaged> {
    let channel = ChannelName::new(&row.text()?).map_err(|_| row.damaged())?;
    let length = usize::try_from(row.u64()?).map_err(|_| row.damaged())?;
    let recipient_row = row.raw(length)?.to_vec();
    Ok(Target {
        channel,
        recipient: Arc::new(recipient(&recipient_row)?),
        recipient_row,
        due: timestamp(row)?,
        flow,
        dedupe: row.option(|row| Ok(OnceKey { hash: row.array()?, since: timestamp(row)? }))?,
    })
}
