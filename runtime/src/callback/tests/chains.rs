//! Several callbacks of one event.

use super::*;
use crate::domain::{EventBody, RetryPolicy};

fn again_after_a_second() -> RetryPolicy {
    RetryPolicy::scheduled([SECOND])
}

/// They are called in the order of their priority, those of equal priority in the order of their registration; a change
/// counts from the next event on.
#[tokio::test]
async fn a_chain_goes_by_priority() {
    let mut rig = Rig::start(CallbackSettings::default()).await;
    let mut ids = Vec::new();
    for (word, priority) in [("low", -5), ("first", 0), ("second", 0), ("high", 7)] {
        let tell = rig.teller();
        let registration = Registration::completion(move |_| tell(word.to_owned())).priority(priority);
        ids.push(rig.callbacks.register(registration).await.unwrap());
    }
    rig.sent().await;
    for word in ["high", "first", "second", "low"] {
        assert_eq!(rig.heard().await, word);
    }
    rig.callbacks.change(ids[0], |options| options.priority = 100).unwrap();
    rig.sent().await;
    for word in ["low", "high", "first", "second"] {
        assert_eq!(rig.heard().await, word);
    }
    rig.stop().await;
}

/// A link whose condition is not met is passed over, and the chain goes on; one whose condition panics is given up.
#[tokio::test]
async fn a_link_is_called_only_where_its_condition_is_met() {
    let mut rig = Rig::start(CallbackSettings::default()).await;
    let (never, panics, always) = (rig.teller(), rig.teller(), rig.teller());
    let never = Registration::completion(move |_| never("never".to_owned())).condition(|_| false);
    let panics =
        Registration::completion(move |_| panics("panics".to_owned())).condition(|_| panic!("a bad condition"));
    let always = Registration::completion(move |_| always("always".to_owned()))
        .condition(|event| matches!(event.body, EventBody::DeliverySent { attempts: 1, .. }));
    for registration in [never.priority(2), panics.priority(1), always] {
        rig.callbacks.register(registration).await.unwrap();
    }
    rig.sent().await;
    assert_eq!(rig.heard().await, "always");
    assert_eq!(rig.dead(1).await[0].reason, "its condition panicked");
    let words: Vec<_> = rig.callbacks.executions(10).iter().rev().map(|one| one.status.as_str()).collect();
    assert_eq!(words[..2], ["skipped", "dead"]);
    rig.stop().await;
}

/// Where a link that fails stops the chain, those behind it wait for its retries, and are not called once it is given up.
#[tokio::test]
async fn a_link_that_stops_holds_up_those_behind_it() {
    let mut rig = Rig::start(CallbackSettings::default()).await;
    let (fails, behind) = (rig.teller(), rig.teller());
    let fails = Registration::completion(move |_| {
        fails("failed".to_owned());
        Err::<(), _>("no luck")
    });
    let fails = fails.priority(1).retry(again_after_a_second()).on_failure(OnFailure::Stop);
    let id = rig.callbacks.register(fails).await.unwrap();
    rig.callbacks.register(Registration::completion(move |_| behind("behind".to_owned()))).await.unwrap();
    rig.sent().await;
    assert_eq!(rig.heard().await, "failed");
    rig.pass(rig::START.after(SECOND)).await;
    assert_eq!(rig.heard().await, "failed");
    let dead = rig.dead(1).await;
    assert_eq!((dead[0].reason.as_str(), dead[0].attempts), ("no luck", 2));
    rig.until(|| rig.callbacks.statistics().executor.busy == 0).await;
    assert!(rig.is_silent(), "the one behind it is not called");

    rig.callbacks.change(id, |options| options.retry = Some(RetryPolicy::scheduled([SECOND, SECOND]))).unwrap();
    rig.callbacks.change(id, |options| options.on_failure = OnFailure::Continue).unwrap();
    rig.sent().await;
    assert_eq!(rig.heard().await, "failed");
    assert_eq!(rig.heard().await, "behind", "it does not wait for retries now");
    for more in [2, 3] {
        rig.pass(rig::START.after(more * SECOND)).await;
        assert_eq!(rig.heard().await, "failed");
    }
    assert_eq!(rig.dead(2).await[1].attempts, 3);
    rig.stop().await;
}
