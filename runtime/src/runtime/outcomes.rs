//! Who waits for which notification to end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::domain::{EventBody, NotificationId};
use crate::store::NumberedEvent;

/// Wakes those who wait for a notification, once its completion is durable.
///
/// *Invariant:* a waiter registers before it reads the store, so a completion is seen by the one or the other.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Nobody waits any more.
    stopped: bool,
    next: u64,
    waiting: HashMap<NotificationId, Vec<(u64, oneshot::Sender<()>)>>,
}

impl Outcomes {
    /// Registers for the end of `notification`. Dropping the waiter gives up.
    pub(super) fn register(self: &Arc<Self>, notification: NotificationId) -> Waiter {
        let (wake, woken) = oneshot::channel();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.next;
        state.next += 1;
        // Where nobody waits any more, `wake` goes here, which wakes as well.
        if !state.stopped {
            state.waiting.entry(notification).or_default().push((number, wake));
        }
        drop(state);
        Waiter { outcomes: Arc::clone(self), notification, number, woken }
    }

    /// Wakes whom these events concern. Called on the store's writer: quick, and never waits for anybody.
    pub(super) fn tell(&self, events: &[NumberedEvent]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.waiting.is_empty() {
            return;
        }
        for event in events {
            if let EventBody::NotificationCompleted { notification, .. } = &event.event.body {
                for (_, wake) in state.waiting.remove(notification).unwrap_or_default() {
                    // Whoever gave up has dropped the other end.
                    let _ = wake.send(());
                }
            }
        }
    }

    /// Lets everybody go, now and from now on: the runtime stops, and completions may not come for a long time.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stopped = true;
        state.waiting.clear();
    }

    fn forget(&self, notification: NotificationId, number: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = state.waiting.get_mut(&notification) {
            waiting.retain(|(other, _)| *other != number);
            if waiting.is_empty() {
                state.waiting.remove(&notification);
            }
        }
    }
}

/// Waits for one notification.
#[derive(Debug)]
pub(super) struct Waiter {
    outcomes: Arc<Outcomes>,
    notification: NotificationId,
    number: u64,
    woken: oneshot::Receiver<()>,
}

impl Waiter {
    /// Returns once the notification's completion is durable, or nobody is to wait any more.
    pub(super) async fn completed(&mut self) {
        // Told, or let go: both end the wait.
        let _ = (&mut self.woken).await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.outcomes.forget(self.notification, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Event, NotificationStatus, Timestamp};

    fn completed(notification: NotificationId) -> NumberedEvent {
        let body = EventBody::NotificationCompleted { notification, status: NotificationStatus::Sent };
        NumberedEvent { number: 1, event: Event { at: Timestamp::from_millis(0), body } }
    }

    #[tokio::test]
    async fn everyone_who_waits_for_a_notification_is_woken_and_nobody_else() {
        let outcomes = Arc::new(Outcomes::default());
        let (one, other) = (NotificationId::from_bytes([1; 16]), NotificationId::from_bytes([2; 16]));
        let mut first = outcomes.register(one);
        let mut second = outcomes.register(one);
        let mut third = outcomes.register(other);
        outcomes.tell(&[completed(one)]);
        first.completed().await;
        second.completed().await;
        let waits = third.completed();
        tokio::pin!(waits);
        assert!(futures_util::poll!(&mut waits).is_pending());
    }

    #[tokio::test]
    async fn a_stop_lets_everybody_go() {
        let outcomes = Arc::new(Outcomes::default());
        let mut before = outcomes.register(NotificationId::from_bytes([1; 16]));
        outcomes.stop();
        before.completed().await;
        outcomes.register(NotificationId::from_bytes([2; 16])).completed().await;
    }

    #[test]
    fn one_who_gives_up_leaves_nothing_behind() {
        let outcomes = Arc::new(Outcomes::default());
        drop(outcomes.register(NotificationId::from_bytes([1; 16])));
        assert!(outcomes.state.lock().unwrap().waiting.is_empty());
    }
}
