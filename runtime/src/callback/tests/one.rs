//! Callbacks of one notification.

use super::*;
use crate::domain::NotificationId;

/// What ended before the callback was registered and what ends after is told once each, of this notification and of no
/// other; then it is gone.
#[tokio::test]
async fn a_callback_of_one_notification_misses_nothing_and_hears_nothing_twice() {
    let mut rig = Rig::start(CallbackSettings::default()).await;
    let (id, other) = (rig.accept(4).await, rig.accept(1).await);
    rig.send(id.delivery(0)).await;
    rig.fail(id.delivery(1)).await;
    let (sent, failed) = (rig.teller(), rig.teller());
    let sent = Registration::completion(move |receipt| sent(format!("sent {}", receipt.delivery.index())));
    let failed = Registration::error(move |_, error| failed(format!("failed {}", error.delivery.index())));
    let callback = rig.callbacks.register_for(id, sent).await.unwrap();
    assert_eq!(rig.heard().await, "sent 0");
    rig.callbacks.register_for(id, failed).await.unwrap();
    assert_eq!(rig.heard().await, "failed 1");
    rig.send(other.delivery(0)).await;
    rig.fail(id.delivery(2)).await;
    assert_eq!(rig.heard().await, "failed 2");
    rig.send(id.delivery(3)).await;
    assert_eq!(rig.heard().await, "sent 3");
    rig.until(|| rig.callbacks.list().is_empty()).await;
    assert!(matches!(rig.callbacks.change(callback, |_| ()), Err(CallbackError::Unknown { .. })));
    assert!(rig.is_silent());
    rig.stop().await;
}

/// Registered again and again while deliveries end: whatever comes first, each is told exactly once to each.
#[tokio::test]
async fn nothing_is_told_twice_where_registration_and_outcome_meet() {
    let mut rig = Rig::start(CallbackSettings { queue: 1_000, ..CallbackSettings::default() }).await;
    for _ in 0..50 {
        let id = rig.accept(2).await;
        let tell = rig.teller();
        let both = Registration::completion(move |receipt| tell(receipt.delivery.to_string()));
        let ends = async {
            rig.send(id.delivery(0)).await;
            rig.send(id.delivery(1)).await;
        };
        let (registered, ()) = tokio::join!(rig.callbacks.register_for(id, both), ends);
        registered.unwrap();
        let mut heard = [rig.heard().await, rig.heard().await];
        heard.sort();
        assert_eq!(heard, [id.delivery(0).to_string(), id.delivery(1).to_string()]);
    }
    rig.until(|| rig.callbacks.list().is_empty()).await;
    assert!(rig.is_silent());
    rig.stop().await;
}

/// A notification that has completed is told of at once, and leaves nothing registered.
#[tokio::test]
async fn one_that_has_completed_is_told_at_once() {
    let mut rig = Rig::start(CallbackSettings::default()).await;
    let delivery = rig.sent().await;
    let tell = rig.teller();
    let late = Registration::completion(move |receipt| tell(receipt.delivery.to_string()));
    rig.callbacks.register_for(delivery.notification(), late).await.unwrap();
    assert_eq!(rig.heard().await, delivery.to_string());
    assert!(rig.callbacks.list().is_empty());

    let unknown = NotificationId::from_bytes([9; 16]);
    let error = rig.callbacks.register_for(unknown, Registration::completion(|_| ())).await.unwrap_err();
    assert_eq!(error.to_string(), format!("notification {unknown} is no longer kept"));
    let named = Registration::completion(|_| ()).named(CallbackName::new("books").unwrap());
    let error = rig.callbacks.register_for(delivery.notification(), named).await.unwrap_err();
    assert!(matches!(error, CallbackError::NameOfOne { .. }), "{error}");
    assert!(rig.callbacks.list().is_empty());
    rig.stop().await;
}

/// Progress that was made before is told when the callback is registered.
#[tokio::test]
async fn progress_made_before_is_told() {
    let mut rig = Rig::start(CallbackSettings::default()).await;
    let id = rig.accept(3).await;
    rig.send(id.delivery(0)).await;
    let tell = rig.teller();
    let progress =
        Registration::progress(move |progress| tell(format!("{} of {}", progress.completed, progress.total)));
    rig.callbacks.register_for(id, progress).await.unwrap();
    assert_eq!(rig.heard().await, "1 of 3");
    // Whoever is told: once a second.
    rig.clock.advance(SECOND);
    rig.send(id.delivery(1)).await;
    assert_eq!(rig.heard().await, "2 of 3");
    rig.send(id.delivery(2)).await;
    assert_eq!(rig.heard().await, "3 of 3");
    rig.until(|| rig.callbacks.list().is_empty()).await;
    rig.stop().await;
}
