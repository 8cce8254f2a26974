//! Published shape `rows`: how values of the domain lie in columns of type BLOB.
//!
//! *Invariants:* each blob starts with the number of its format, so that a later program tells an old row from a
//! damaged one. Formats are added, never changed.
//!
//! *Not here:* events (`event`), and which table holds what (`schema`).

mod book;
mod channel;
mod target;

use std::sync::Arc;
use std::time::Duration;

pub(super) use book::{book, put_book};
pub(super) use channel::{channel_book, put_channel_book};
pub(super) use target::{Target, put_targets, targets};

use super::wire::{Damaged, Reader, put_option, put_pairs, put_text, put_u64};
use crate::domain::{
    Action, ActionStyle, Attempt, Awaited, Blame, Content, DeliveryState, DeliveryStatus, FailReason, Fault,
    Notification, NotificationId, Part, Priority, Receipt, Recipient, TemplateName, TemplateUse, Timestamp, Waiting,
};
use crate::store::TemplateSource;

/// The first format, and the only one of most rows.
const FORMAT: u8 = 1;

/// Of a recipient: with other addresses at its end. Without them its row is as it always was.
const FORMAT_OTHERS: u8 = 2;

fn open<'a>(what: &'static str, bytes: &'a [u8]) -> Result<Reader<'a>, Damaged> {
    let mut reader = Reader::new(what, bytes);
    if reader.u8()? == FORMAT { Ok(reader) } else { Err(reader.damaged()) }
}

fn put_timestamp(out: &mut Vec<u8>, at: Timestamp) {
    put_u64(out, at.as_millis());
}

fn timestamp(reader: &mut Reader<'_>) -> Result<Timestamp, Damaged> {
    reader.u64().map(Timestamp::from_millis)
}

/// The number of a priority in `lanes`.
pub(super) const fn priority_number(priority: Priority) -> u8 {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
        Priority::Critical => 3,
    }
}

pub(super) fn priority_of(number: u8) -> Result<Priority, Damaged> {
    match number {
        0 => Ok(Priority::Low),
        1 => Ok(Priority::Normal),
        2 => Ok(Priority::High),
        3 => Ok(Priority::Critical),
        _ => Err(Damaged("priority")),
    }
}

/// The number of a status in `deliveries`. Pending and retrying are one: both are open.
pub(super) const fn status_number(status: DeliveryStatus) -> u8 {
    match status {
        DeliveryStatus::Pending | DeliveryStatus::Retrying => STATUS_OPEN,
        DeliveryStatus::Sent => 1,
        DeliveryStatus::Failed => 2,
        DeliveryStatus::Cancelled => 3,
    }
}

/// A status with this number; of an open delivery one that is open.
pub(super) fn status_of(number: u8) -> Result<DeliveryStatus, Damaged> {
    match number {
        STATUS_OPEN => Ok(DeliveryStatus::Pending),
        1 => Ok(DeliveryStatus::Sent),
        2 => Ok(DeliveryStatus::Failed),
        3 => Ok(DeliveryStatus::Cancelled),
        _ => Err(Damaged("status")),
    }
}

/// What `deliveries.status` says of a delivery that is not final.
pub(super) const STATUS_OPEN: u8 = 0;

pub(super) fn put_notification(out: &mut Vec<u8>, notification: &Notification) {
    // The id is the row's key.
    let Notification {
        id: _,
        kind,
        priority,
        content,
        actions,
        template,
        data,
        metadata,
        correlation_id,
        group_key,
        created_at,
        scheduled_at,
        expires_at,
    } = notification;
    let Content { title, text, html, markdown, parts } = &**content;
    out.push(FORMAT);
    put_text(out, kind);
    out.push(priority_number(*priority));
    put_option(out, title.as_deref(), put_text);
    put_text(out, text);
    put_option(out, html.as_deref(), put_text);
    put_option(out, markdown.as_deref(), put_text);
    put_u64(out, parts.len() as u64);
    for Part { name, value } in parts {
        put_text(out, name);
        put_text(out, value);
    }
    put_u64(out, actions.len() as u64);
    for action in actions {
        put_action(out, action);
    }
    put_option(out, template.as_ref(), |out, TemplateUse { name, version }| {
        put_text(out, name.as_str());
        out.extend_from_slice(version);
    });
    put_option(out, data.as_deref(), put_text);
    put_pairs(out, metadata);
    put_option(out, correlation_id.as_deref(), put_text);
    put_option(out, group_key.as_deref(), put_text);
    put_timestamp(out, *created_at);
    put_option(out, *scheduled_at, put_timestamp);
    put_option(out, *expires_at, put_timestamp);
}

pub(super) fn notification(id: NotificationId, bytes: &[u8]) -> Result<Notification, Damaged> {
    let mut reader = open("notification", bytes)?;
    let row = &mut reader;
    let notification = Notification {
        id,
        kind: row.text()?,
        priority: priority_of(row.u8()?)?,
        content: Arc::new(Content {
            title: row.option(Reader::text)?,
            text: row.text()?,
            html: row.option(Reader::text)?,
            markdown: row.option(Reader::text)?,
            parts: row.list(|row| Ok(Part { name: row.text()?, value: row.text()? }))?,
        }),
        actions: row.list(action)?,
        template: row.option(template_use)?,
        data: row.option(Reader::text)?,
        metadata: row.pairs()?,
        correlation_id: row.option(Reader::text)?,
        group_key: row.option(Reader::text)?,
        created_at: timestamp(row)?,
        scheduled_at: row.option(timestamp)?,
        expires_at: row.option(timestamp)?,
    };
    reader.end(notification)
}

/// The first field of a notification.
pub(super) fn kind(notification: &[u8]) -> Result<String, Damaged> {
    open("notification", notification)?.text()
}

fn put_action(out: &mut Vec<u8>, action: &Action) {
    let Action { id, label, url, style } = action;
    put_text(out, id);
    put_text(out, label);
    put_option(out, url.as_deref(), put_text);
    out.push(match style {
        ActionStyle::Plain => 0,
        ActionStyle::Primary => 1,
        ActionStyle::Danger => 2,
    });
}

fn action(row: &mut Reader<'_>) -> Result<Action, Damaged> {
    Ok(Action {
        id: row.text()?,
        label: row.text()?,
        url: row.option(Reader::text)?,
        style: match row.u8()? {
            0 => ActionStyle::Plain,
            1 => ActionStyle::Primary,
            2 => ActionStyle::Danger,
            _ => return Err(row.damaged()),
        },
    })
}

fn template_use(row: &mut Reader<'_>) -> Result<TemplateUse, Damaged> {
    let name = TemplateName::new(&row.text()?).map_err(|_| row.damaged())?;
    Ok(TemplateUse { name, version: row.array()? })
}

pub(super) fn put_recipient(out: &mut Vec<u8>, recipient: &Recipient) {
    let Recipient { address, others, id, name, locale, time_zone, attributes } = recipient;
    out.push(if others.is_empty() { FORMAT } else { FORMAT_OTHERS });
    put_text(out, address);
    put_option(out, id.as_deref(), put_text);
    put_option(out, name.as_deref(), put_text);
    put_option(out, locale.as_deref(), put_text);
    put_option(out, time_zone.as_deref(), put_text);
    put_pairs(out, attributes);
    if !others.is_empty() {
        put_pairs(out, others);
    }
}

pub(super) fn recipient(bytes: &[u8]) -> Result<Recipient, Damaged> {
    let mut row = Reader::new("recipient", bytes);
    let format = row.u8()?;
    if !(FORMAT..=FORMAT_OTHERS).contains(&format) {
        return Err(row.damaged());
    }
    let mut recipient = Recipient {
        address: row.text()?,
        others: Vec::new(),
        id: row.option(Reader::text)?,
        name: row.option(Reader::text)?,
        locale: row.option(Reader::text)?,
        time_zone: row.option(Reader::text)?,
        attributes: row.pairs()?,
    };
    if format == FORMAT_OTHERS {
        recipient.others = row.pairs()?;
    }
    row.end(recipient)
}

pub(super) fn put_state(out: &mut Vec<u8>, state: &DeliveryState) {
    out.push(FORMAT);
    match state {
        DeliveryState::Waiting(waiting) => put_waiting(out, waiting),
        DeliveryState::Sent { at, attempts, receipt, unconfirmed } => {
            out.push(1);
            put_timestamp(out, *at);
            put_u64(out, u64::from(*attempts));
            put_receipt(out, receipt);
            out.push(u8::from(*unconfirmed));
        }
        DeliveryState::Failed { at, attempts, reason } => {
            out.push(2);
            put_timestamp(out, *at);
            put_u64(out, u64::from(*attempts));
            put_fail_reason(out, reason);
        }
        DeliveryState::Cancelled { at, attempts } => {
            out.push(3);
            put_timestamp(out, *at);
            put_u64(out, u64::from(*attempts));
        }
    }
}

fn put_waiting(out: &mut Vec<u8>, waiting: &Waiting) {
    let Waiting { due, attempts, retries_used, faults, interrupted, run_began, accepted } = waiting;
    match (accepted, run_began) {
        (Some(_), began) => {
            out.push(5);
            put_option(out, *began, put_timestamp);
        }
        (None, None) => out.push(0),
        (None, Some(began)) => {
            out.push(4);
            put_timestamp(out, *began);
        }
    }
    put_timestamp(out, *due);
    for count in [attempts, retries_used, faults, interrupted] {
        put_u64(out, u64::from(*count));
    }
    if let Some(awaited) = accepted {
        let Awaited { receipt, since, polls } = &**awaited;
        put_timestamp(out, *since);
        put_u64(out, u64::from(*polls));
        put_receipt(out, receipt);
    }
}

fn put_receipt(out: &mut Vec<u8>, Receipt { provider_id, facts }: &Receipt) {
    put_option(out, provider_id.as_deref(), put_text);
    put_pairs(out, facts);
}

fn receipt(row: &mut Reader<'_>) -> Result<Receipt, Damaged> {
    Ok(Receipt { provider_id: row.option(Reader::text)?, facts: row.pairs()? })
}

pub(super) fn state(bytes: &[u8]) -> Result<DeliveryState, Damaged> {
    let mut reader = open("delivery", bytes)?;
    let row = &mut reader;
    let state = match row.u8()? {
        0 => DeliveryState::Waiting(waiting(row, None)?),
        4 => {
            let began = timestamp(row)?;
            DeliveryState::Waiting(waiting(row, Some(began))?)
        }
        5 => {
            let began = row.option(timestamp)?;
            let waiting = waiting(row, began)?;
            let (since, polls) = (timestamp(row)?, row.u32()?);
            let awaited = Awaited { receipt: receipt(row)?, since, polls };
            DeliveryState::Waiting(Waiting { accepted: Some(Arc::new(awaited)), ..waiting })
        }
        1 => DeliveryState::Sent {
            at: timestamp(row)?,
            attempts: row.u32()?,
            receipt: receipt(row)?,
            unconfirmed: row.bool()?,
        },
        2 => DeliveryState::Failed { at: timestamp(row)?, attempts: row.u32()?, reason: fail_reason(row)? },
        3 => DeliveryState::Cancelled { at: timestamp(row)?, attempts: row.u32()? },
        _ => return Err(row.damaged()),
    };
    reader.end(state)
}

fn waiting(row: &mut Reader<'_>, run_began: Option<Timestamp>) -> Result<Waiting, Damaged> {
    Ok(Waiting {
        due: timestamp(row)?,
        attempts: row.u32()?,
        retries_used: row.u32()?,
        faults: row.u32()?,
        interrupted: row.u32()?,
        run_began,
        accepted: None,
    })
}

fn put_fail_reason(out: &mut Vec<u8>, reason: &FailReason) {
    match reason {
        FailReason::Rejected { blame, code, reason } => {
            out.push(0);
            out.push(match blame {
                Blame::Message => 0,
                Blame::Channel => 1,
            });
            put_option(out, code.as_deref(), put_text);
            put_text(out, reason);
        }
        FailReason::RecipientGone { code, reason } => {
            out.push(1);
            put_option(out, code.as_deref(), put_text);
            put_text(out, reason);
        }
        FailReason::Exhausted { last } => {
            out.push(2);
            put_text(out, last);
        }
        FailReason::TooOld { last } => {
            out.push(3);
            put_text(out, last);
        }
        FailReason::Fault { fault, last } => {
            out.push(4);
            put_text(out, fault.as_str());
            put_text(out, last);
        }
        FailReason::Expired => out.push(5),
        FailReason::Poison { crashes } => {
            out.push(6);
            put_u64(out, u64::from(*crashes));
        }
    }
}

fn fail_reason(row: &mut Reader<'_>) -> Result<FailReason, Damaged> {
    Ok(match row.u8()? {
        0 => FailReason::Rejected {
            blame: match row.u8()? {
                0 => Blame::Message,
                1 => Blame::Channel,
                _ => return Err(row.damaged()),
            },
            code: row.option(Reader::text)?,
            reason: row.text()?,
        },
        1 => FailReason::RecipientGone { code: row.option(Reader::text)?, reason: row.text()? },
        2 => FailReason::Exhausted { last: row.text()? },
        3 => FailReason::TooOld { last: row.text()? },
        4 => FailReason::Fault { fault: fault(row)?, last: row.text()? },
        5 => FailReason::Expired,
        6 => FailReason::Poison { crashes: row.u32()? },
        _ => return Err(row.damaged()),
    })
}

fn fault(row: &mut Reader<'_>) -> Result<Fault, Damaged> {
    let word = row.text()?;
    Fault::ALL.into_iter().find(|fault| fault.as_str() == word).ok_or_else(|| row.damaged())
}

pub(super) fn put_attempt(out: &mut Vec<u8>, attempt: &Attempt) {
    // The number is part of the row's key.
    let Attempt { number: _, started_at, duration, end, code, reason, provider_id, plugin, fuel, memory_bytes } =
        attempt;
    out.push(FORMAT);
    put_timestamp(out, *started_at);
    put_u64(out, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    put_text(out, end);
    put_option(out, code.as_deref(), put_text);
    put_option(out, reason.as_deref(), put_text);
    put_option(out, provider_id.as_deref(), put_text);
    put_text(out, plugin);
    put_u64(out, *fuel);
    put_u64(out, *memory_bytes);
}

pub(super) fn attempt(number: u32, bytes: &[u8]) -> Result<Attempt, Damaged> {
    let mut row = open("attempt", bytes)?;
    let attempt = Attempt {
        number,
        started_at: timestamp(&mut row)?,
        duration: Duration::from_nanos(row.u64()?),
        end: row.text()?,
        code: row.option(Reader::text)?,
        reason: row.option(Reader::text)?,
        provider_id: row.option(Reader::text)?,
        plugin: row.text()?,
        fuel: row.u64()?,
        memory_bytes: row.u64()?,
    };
    row.end(attempt)
}

pub(super) fn put_template(out: &mut Vec<u8>, source: &TemplateSource) {
    // The version is the row's key.
    let TemplateSource { version: _, engine, parts } = source;
    out.push(FORMAT);
    put_text(out, engine);
    put_pairs(out, parts);
}

pub(super) fn template(version: [u8; 32], bytes: &[u8]) -> Result<TemplateSource, Damaged> {
    let mut row = open("template", bytes)?;
    let source = TemplateSource { version, engine: row.text()?, parts: row.pairs()? };
    row.end(source)
}

#[cfg(test)]
mod tests;
