//! Closures that are called, and what becomes of them, on the real store.

mod chains;
mod durable;
mod failing;
mod full;
mod one;
mod rig;

use super::*;
use crate::domain::{CallbackName, DeliveryStatus};
use crate::store::Store as _;
use rig::{Rig, SECOND};

/// A closure may return when it is done, give a `Result`, or give a future of either. Each hears of the end of a
/// delivery once, with what is worth knowing.
#[tokio::test]
async fn every_kind_of_closure_hears_how_a_delivery_ended() {
    let mut rig = Rig::start(CallbackSettings::default()).await;
    let tell = rig.teller();
    let (first, second, third, fourth) = (tell.clone(), tell.clone(), tell.clone(), tell);
    let registrations = [
        Registration::completion(move |receipt| {
            let told = (receipt.recipient.to_string(), receipt.channel, receipt.attempts, receipt.provider_id);
            first(format!("{} {} {} {:?}", told.0, told.1, told.2, told.3));
        }),
        Registration::completion(move |receipt| -> Result<(), String> {
            second(receipt.recipient.address().to_owned());
            Ok(())
        }),
        Registration::completion(move |receipt| {
            let third = third.clone();
            async move { third(format!("{:?}", receipt.recipient)) }
        }),
        Registration::error(move |notification, error| {
            let fourth = fourth.clone();
            async move {
                fourth(format!("{} {}", notification.id() == error.delivery.notification(), error.reason.as_str()));
                Ok::<(), std::fmt::Error>(())
            }
        }),
    ];
    for registration in registrations {
        rig.callbacks.register(registration).await.unwrap();
    }
    rig.sent().await;
    assert_eq!(rig.heard().await, "Ada 0 ops 1 Some(\"p-1\")");
    assert_eq!(rig.heard().await, "0@example.com");
    let debug = rig.heard().await;
    assert!(debug.contains("Ada 0") && !debug.contains("example.com"), "{debug}");
    rig.fail(rig.accept(1).await.delivery(0)).await;
    assert_eq!(rig.heard().await, "true exhausted");
    let callbacks = rig.callbacks.clone();
    rig.stop().await;
    let ended: Vec<_> = callbacks.statistics().kinds.iter().map(|kind| (kind.kind.as_str(), kind.succeeded)).collect();
    assert_eq!(ended, [("completion", 3), ("error", 1)]);
}

/// A delivery that is replayed ends once more, and that is told once more.
#[tokio::test]
async fn a_replayed_delivery_is_told_again() {
    let mut rig = Rig::start(CallbackSettings::default()).await;
    let (failed, sent) = (rig.teller(), rig.teller());
    rig.callbacks.register(Registration::error(move |_, error| failed(error.to_string()))).await.unwrap();
    rig.callbacks.register(Registration::completion(move |receipt| sent(receipt.delivery.to_string()))).await.unwrap();
    let delivery = rig.accept(1).await.delivery(0);
    rig.fail(delivery).await;
    assert_eq!(rig.heard().await, format!("delivery {delivery} through `ops` failed after 1 attempts: exhausted"));
    let (now, by) = (crate::clock::Clock::now(&rig.clock), crate::domain::Actor::Embedder);
    rig.store.replay(vec![crate::store::Replay { delivery, due: now }], now, by).await.unwrap();
    rig.send(delivery).await;
    assert_eq!(rig.heard().await, delivery.to_string());
    let record = rig.store.notification(delivery.notification()).await.unwrap().unwrap();
    assert_eq!(record.deliveries[0].state.status(), DeliveryStatus::Sent);
    rig.stop().await;
}

/// What is registered is listed, can be changed while it runs, and is called no more once it is removed.
#[tokio::test]
async fn what_is_registered_can_be_changed_and_removed() {
    let mut rig = Rig::start(CallbackSettings::default()).await;
    let (tell, other) = (rig.teller(), rig.teller());
    let name = CallbackName::new("books").unwrap();
    let id = rig.callbacks.register(Registration::completion(move |_| tell("first".to_owned()))).await.unwrap();
    let second = Registration::completion(move |_| other("second".to_owned())).metadata("team", "ops");
    let second = rig.callbacks.register(second.named(name.clone())).await.unwrap();

    let taken = rig.callbacks.register(Registration::completion(|_| ()).named(name)).await.unwrap_err();
    assert_eq!(taken.to_string(), "a callback `books` is registered already: remove it first, or take another name");
    rig.callbacks.set_metadata(second, "since", "today").unwrap();
    rig.callbacks.remove_metadata(second, "team").unwrap();
    let listed = rig.callbacks.list();
    assert_eq!(listed.iter().map(|info| info.id).collect::<Vec<_>>(), [id, second]);
    assert!(listed[0].name.as_str().starts_with("unnamed.1.") && listed[0].lag.is_none());
    let words: Vec<_> = listed[1].options.metadata.iter().collect();
    assert_eq!(words, [(&"since".to_owned(), &"today".to_owned())]);

    for key in 1..CallbackOptions::METADATA_MAX {
        rig.callbacks.set_metadata(second, key.to_string(), "").unwrap();
    }
    let error = rig.callbacks.set_metadata(second, "one", "too many").unwrap_err();
    assert_eq!(error.to_string(), "a callback has 65 words of metadata, the limit is 64");
    let error = rig.callbacks.change(id, |options| options.timeout = Some(std::time::Duration::ZERO)).unwrap_err();
    assert_eq!(error.to_string(), "`timeout` is nothing: give a call some time, such as 10 s");
    let error = rig.callbacks.resize(2_000).unwrap_err();
    assert_eq!(error.to_string(), "`workers` is 2000: callbacks have 1 to 1024 workers");

    assert!(rig.callbacks.remove(id) && !rig.callbacks.remove(id));
    rig.sent().await;
    assert_eq!(rig.heard().await, "second");
    assert!(matches!(rig.callbacks.change(id, |_| ()), Err(CallbackError::Unknown { .. })));
    let callbacks = rig.callbacks.clone();
    rig.stop().await;
    assert!(matches!(
        callbacks.register(Registration::error(|_, _| ())).await,
        Err(CallbackError::Stopped | CallbackError::Store(_))
    ));
}

/// Progress is told at the first delivery that is final, then at most once a second, and at the last one; of a single
/// delivery there is none.
#[tokio::test]
async fn progress_of_a_batch_is_told_at_a_bounded_rate() {
    let mut rig = Rig::start(CallbackSettings::default()).await;
    let tell = rig.teller();
    rig.callbacks
        .register(Registration::progress(move |progress| tell(format!("{} of {}", progress.completed, progress.total))))
        .await
        .unwrap();
    rig.sent().await;
    let id = rig.accept(6).await;
    for index in 0..3 {
        rig.send(id.delivery(index)).await;
    }
    assert_eq!(rig.heard().await, "1 of 6");
    rig.clock.advance(SECOND);
    rig.fail(id.delivery(3)).await;
    assert_eq!(rig.heard().await, "4 of 6");
    rig.send(id.delivery(4)).await;
    rig.send(id.delivery(5)).await;
    assert_eq!(rig.heard().await, "6 of 6");
    assert!(rig.is_silent());
    rig.stop().await;
}
