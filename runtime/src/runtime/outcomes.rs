//! Who waits for which notification to end, or to come further.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::domain::{EventBody, NotificationId};
use crate::store::NumberedEvent;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// All of its deliveries are final.
    End,
    /// One more of its deliveries is final.
    Progress,
}

/// Wakes those who wait for a notification, once what they wait for is durable.
///
/// *Invariant:* a waiter registers before it reads the store, so a change is seen by the one or the other.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Nobody waits any more.
    stopped: bool,
    next: u64,
    ends: Waiting,
    /// Apart, so that events of deliveries are not looked at for those who wait for an end.
    progress: Waiting,
}

type Waiting = HashMap<NotificationId, Vec<(u64, oneshot::Sender<()>)>>;

impl State {
    fn of(&mut self, what: For) -> &mut Waiting {
        match what {
            For::End => &mut self.ends,
            For::Progress => &mut self.progress,
        }
    }
}

impl Outcomes {
    /// Registers for what happens to `notification` next. Dropping the waiter gives up.
    pub(super) fn register(self: &Arc<Self>, notification: NotificationId, what: For) -> Waiter {
        let (wake, woken) = oneshot::channel();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.next;
        state.next += 1;
        // Where nobody waits any more, `wake` goes here, which wakes as well.
        if !state.stopped {
            state.of(what).entry(notification).or_default().push((number, wake));
        }
        drop(state);
        Waiter { outcomes: Arc::clone(self), notification, what, number, woken }
    }

    /// Wakes whom these events concern. Called on the store's writer: quick, and never waits for anybody.
    pub(super) fn tell(&self, events: &[NumberedEvent]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.ends.is_empty() && state.progress.is_empty() {
            return;
        }
        for event in events {
            match &event.event.body {
                EventBody::NotificationCompleted { notification, .. } => {
                    wake(&mut state.ends, *notification);
                    wake(&mut state.progress, *notification);
                }
                EventBody::DeliverySent { delivery, .. }
                | EventBody::DeliveryFailed { delivery, .. }
                | EventBody::DeliveryCancelled { delivery, .. }
                    if !state.progress.is_empty() =>
                {
                    wake(&mut state.progress, delivery.notification());
                }
                _ => {}
            }
        }
    }

    /// Lets everybody go, now and from now on: the runtime stops, and completions may not come for a long time.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stopped = true;
        state.ends.clear();
        state.progress.clear();
    }

    fn forget(&self, notification: NotificationId, what: For, number: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = state.of(what);
        if let Some(here) = waiting.get_mut(&notification) {
            here.retain(|(other, _)| *other != number);
            if here.is_empty() {
                waiting.remove(&notification);
            }
        }
    }
}

fn wake(waiting: &mut Waiting, notification: NotificationId) {
    for (_, wake) in waiting.remove(&notification).unwrap_or_default() {
        // Whoever gave up has dropped the other end.
        let _ = wake.send(());
    }
}

/// Waits for one notification.
#[derive(Debug)]
pub(super) struct Waiter {
    outcomes: Arc<Outcomes>,
    notification: NotificationId,
    what: For,
    number: u64,
    woken: oneshot::Receiver<()>,
}

impl Waiter {
    /// Returns once what is waited for is durable, or nobody is to wait any more. Answers whether it is the former.
    pub(super) async fn woken(&mut self) -> bool {
        (&mut self.woken).await.is_ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.outcomes.forget(self.notification, self.what, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Event, NotificationStatus, Timestamp};

    fn told(body: EventBody) -> NumberedEvent {
        NumberedEvent { number: 1, event: Event { at: Timestamp::from_millis(0), body } }
    }

    fn completed(notification: NotificationId) -> NumberedEvent {
        told(EventBody::NotificationCompleted { notification, status: NotificationStatus::Sent })
    }

    fn id(n: u8) -> NotificationId {
        NotificationId::from_bytes([n; 16])
    }

    #[tokio::test]
    async fn everyone_who_waits_for_a_notification_is_woken_and_nobody_else() {
        let outcomes = Arc::new(Outcomes::default());
        let mut first = outcomes.register(id(1), For::End);
        let mut second = outcomes.register(id(1), For::Progress);
        let mut third = outcomes.register(id(2), For::End);
        outcomes.tell(&[completed(id(1))]);
        assert!(first.woken().await && second.woken().await);
        let waits = third.woken();
        tokio::pin!(waits);
        assert!(futures_util::poll!(&mut waits).is_pending());
    }

    #[tokio::test]
    async fn one_more_final_delivery_wakes_those_who_wait_for_progress() {
        let outcomes = Arc::new(Outcomes::default());
        let mut end = outcomes.register(id(1), For::End);
        let ends = end.woken();
        tokio::pin!(ends);
        let delivery = id(1).delivery(4);
        for body in [
            EventBody::DeliverySent { delivery, attempts: 1, provider_id: None, unconfirmed: false },
            EventBody::DeliveryFailed { delivery, attempts: 1, reason: "rejected".to_owned() },
            EventBody::DeliveryCancelled { delivery, attempts: 0 },
        ] {
            let mut progress = outcomes.register(id(1), For::Progress);
            let attempted =
                EventBody::DeliveryAttempted { delivery, attempt: 1, end: "sent".to_owned(), duration_us: 1 };
            outcomes.tell(&[told(attempted)]);
            {
                let waits = progress.woken();
                tokio::pin!(waits);
                assert!(futures_util::poll!(&mut waits).is_pending(), "an attempt is no end");
            }
            outcomes.tell(&[told(body)]);
            assert!(progress.woken().await);
            assert!(futures_util::poll!(&mut ends).is_pending(), "others may be open");
        }
    }

    #[tokio::test]
    async fn a_stop_lets_everybody_go() {
        let outcomes = Arc::new(Outcomes::default());
        let mut before = outcomes.register(id(1), For::End);
        outcomes.stop();
        assert!(!before.woken().await);
        assert!(!outcomes.register(id(2), For::Progress).woken().await);
    }

    #[test]
    fn one_who_gives_up_leaves_nothing_behind() {
        let outcomes = Arc::new(Outcomes::default());
        drop((outcomes.register(id(1), For::End), outcomes.register(id(1), For::Progress)));
        let state = outcomes.state.lock().unwrap();
        assert!(state.ends.is_empty() && state.progress.is_empty());
    }
}
