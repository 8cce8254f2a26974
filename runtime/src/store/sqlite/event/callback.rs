//! What became of a call of a callback.

use crate::domain::{CallbackEvent, CallbackFate, CallbackKind, CallbackName, DeliveryId, NotificationId};
use crate::store::sqlite::wire::{Damaged, Reader, put_option, put_text, put_u64};

pub(super) fn put(out: &mut Vec<u8>, event: &CallbackEvent) {
    let CallbackEvent { callback, fate, kind, event, notification, delivery } = event;
    out.push(super::CALLBACK);
    put_text(out, callback.as_str());
    match fate {
        CallbackFate::Dead => out.push(0),
        CallbackFate::Failed { attempt } => {
            out.push(1);
            put_u64(out, u64::from(*attempt));
        }
    }
    put_text(out, kind.as_str());
    put_u64(out, *event);
    let about = delivery.map(DeliveryId::notification).or(*notification);
    put_option(out, about, |out, id| out.extend_from_slice(id.as_bytes()));
    // Of the same notification.
    put_option(out, *delivery, |out, id| put_u64(out, u64::from(id.index())));
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<CallbackEvent, Damaged> {
    let callback = CallbackName::new(&reader.text()?).map_err(|_| reader.damaged())?;
    let fate = match reader.u8()? {
        0 => CallbackFate::Dead,
        1 => CallbackFate::Failed { attempt: reader.u32()? },
        _ => return Err(reader.damaged()),
    };
    let word = reader.text()?;
    let kind = CallbackKind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| reader.damaged())?;
    let event = reader.u64()?;
    let notification = reader.option(Reader::array)?.map(NotificationId::from_bytes);
    let index = reader.option(Reader::u32)?;
    let delivery = notification.zip(index).map(|(id, index)| id.delivery(index));
    Ok(CallbackEvent { callback, fate, kind, event, notification, delivery })
}

#[cfg(test)]
pub(super) fn one_of_each() -> Vec<CallbackEvent> {
    let id = NotificationId::from_bytes([7; 16]);
    let event = |kind| CallbackEvent {
        callback: CallbackName::new("billing.sent").unwrap(),
        fate: CallbackFate::Dead,
        kind,
        event: u64::MAX,
        notification: Some(id),
        delivery: Some(id.delivery(3)),
    };
    let mut all: Vec<_> = CallbackKind::ALL.into_iter().map(event).collect();
    let failed = CallbackFate::Failed { attempt: u32::MAX };
    all.push(CallbackEvent { fate: failed, delivery: None, ..event(CallbackKind::Progress) });
    all.push(CallbackEvent { notification: None, delivery: None, ..event(CallbackKind::Webhook) });
    all
}
