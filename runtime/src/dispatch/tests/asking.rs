//! What a provider took: asked for when it is due, and never sent again.

use std::sync::Arc;
use std::time::Duration;

use super::refusing::Refusing;
use super::rig::{Reply, Rig, START, Setup, retry, sent};
use crate::clock::{Clock, ManualClock};
use crate::domain::{
    AttemptEnd, DeliveryId, DeliveryState, EventBody, Fault, Outcome, Receipt, Timestamp, Trouble, Waiting,
};
use crate::store::Store;

const SECOND: Duration = Duration::from_secs(1);

/// The provider took it; `polled` by a plugin that can be asked.
fn accepted(polled: bool) -> AttemptEnd {
    let receipt = Receipt { provider_id: Some("m-1".to_owned()), ..Receipt::default() };
    AttemptEnd::Outcome(Outcome::Accepted { receipt, check_after: None, polled })
}

fn delivered() -> AttemptEnd {
    AttemptEnd::Outcome(Outcome::Sent(Receipt::default()))
}

fn busy() -> AttemptEnd {
    let reason = "the provider is down".to_owned();
    AttemptEnd::Outcome(Outcome::Retry { after: None, trouble: Trouble::Server, code: None, reason })
}

async fn waits(rig: &Rig, delivery: DeliveryId) -> Waiting {
    match rig.state(delivery).await {
        DeliveryState::Waiting(waiting) => waiting,
        other => panic!("expected a delivery that waits, found {other:?}"),
    }
}

/// Moves the clock to the next question, once all before it are settled; answers when that was.
async fn until_due(rig: &Rig, delivery: DeliveryId) -> Timestamp {
    let due = loop {
        if rig.dispatcher.in_flight() == 0 {
            let due = waits(rig, delivery).await.due;
            // What is due by now has not been taken yet.
            if due > rig.clock.now() {
                break due;
            }
        }
        tokio::task::yield_now().await;
    };
    rig.waits_for(due).await;
    rig.clock.advance(due.since(rig.clock.now()));
    due
}

async fn is_accepted(rig: &mut Rig) {
    rig.event(|event| matches!(event, EventBody::DeliveryAccepted { .. }).then_some(())).await;
}

#[tokio::test]
async fn what_a_provider_took_is_asked_for_until_its_final_word_and_sent_once() {
    let mut rig = Rig::start(|_| Reply::Ends(accepted(true))).await;
    let fault = AttemptEnd::Fault { fault: Fault::Trap, message: "boom".to_owned() };
    rig.answer_questions([accepted(true), busy(), fault, accepted(true), delivered()]);
    // That it expires is no reason not to know what became of it.
    let delivery = rig.accept(|notification| notification.expires_at = Some(START.after(SECOND))).await;
    is_accepted(&mut rig).await;
    let mut due = Vec::new();
    for _ in 0..5 {
        due.push(until_due(&rig, delivery).await);
    }
    rig.all_sent(&[delivery]).await;

    assert_eq!(rig.calls().len(), 1, "it is sent once");
    let questions = rig.questions();
    assert_eq!(questions.iter().map(|question| question.now).collect::<Vec<_>>(), due);
    assert!(questions.iter().all(|question| question.awaited.receipt.provider_id.as_deref() == Some("m-1")));
    let gaps: Vec<u64> = due.windows(2).map(|pair| pair[1].since(pair[0]).as_secs()).collect();
    for (gap, planned) in gaps.iter().zip([60, 120, 240, 480]) {
        assert!((planned..=planned * 11 / 10).contains(gap), "{gaps:?}");
    }
    let record = rig.record(delivery).await;
    let history: Vec<_> = record.attempts.iter().map(|attempt| (attempt.number, attempt.end.as_str())).collect();
    assert_eq!(history, [(1, "accepted"), (2, "retry"), (3, "trap"), (4, "sent")]);
    let DeliveryState::Sent { receipt, unconfirmed: false, attempts: 4, .. } = record.state else {
        panic!("{:?}", record.state);
    };
    assert_eq!(receipt.provider_id.as_deref(), Some("m-1"));
}

#[tokio::test]
async fn what_a_provider_took_after_retries_is_not_tried_again_however_often_questions_fail() {
    let mut rig = Rig::start(|call| if call.attempt < 5 { retry() } else { Reply::Ends(accepted(true)) }).await;
    rig.answer_questions((0..6).map(|_| busy()).chain([delivered()]));
    let delivery = rig.accept(|_| {}).await;
    for _ in 0..4 {
        let retrying = |event: &EventBody| matches!(event, EventBody::DeliveryRetrying { .. }).then_some(());
        rig.event(retrying).await;
        until_due(&rig, delivery).await;
    }
    is_accepted(&mut rig).await;
    for _ in 0..7 {
        until_due(&rig, delivery).await;
    }
    rig.all_sent(&[delivery]).await;
    assert_eq!((rig.calls().len(), rig.questions().len()), (5, 7));
}

#[tokio::test]
async fn what_a_provider_took_is_asked_for_after_a_restart_and_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = Some(folder.path().join("campanile.db"));
    let clock = ManualClock::at(START);
    let setup = || Setup { path: path.clone(), ..Setup::default() };
    let mut first = Rig::start_with(setup(), clock.clone(), |_| Reply::Ends(accepted(true))).await;
    let delivery = first.accept(|_| {}).await;
    is_accepted(&mut first).await;
    // The process ends while it asks: nobody is there to answer.
    until_due(&first, delivery).await;
    while first.questions().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(first.dispatcher.shutdown(Duration::ZERO).await, 1);
    first.store.close().await;
    drop(first);

    let mut second = Rig::start_with(setup(), clock.clone(), |_| sent()).await;
    second.answer_questions([delivered()]);
    until_due(&second, delivery).await;
    second.all_sent(&[delivery]).await;
    assert_eq!((second.calls().len(), second.questions().len()), (0, 1));
    let ends: Vec<String> = second.record(delivery).await.attempts.into_iter().map(|attempt| attempt.end).collect();
    assert_eq!(ends, ["accepted", "shutdown", "sent"]);
}

#[tokio::test]
async fn what_nobody_can_be_asked_about_is_sent_unconfirmed() {
    for polled in [false, true] {
        let mut rig = Rig::start(move |_| Reply::Ends(accepted(polled))).await;
        // The version that took it could be asked; the one that serves now cannot.
        rig.answer_questions([accepted(false)]);
        let delivery = rig.accept(|_| {}).await;
        if polled {
            is_accepted(&mut rig).await;
            until_due(&rig, delivery).await;
        }
        rig.all_sent(&[delivery]).await;
        assert_eq!(rig.questions().len(), usize::from(polled));
        let state = rig.state(delivery).await;
        assert!(matches!(state, DeliveryState::Sent { unconfirmed: true, .. }), "{state:?}");
    }
}

#[tokio::test]
async fn what_a_provider_took_is_no_dead_letter_even_if_the_process_dies_of_asking() {
    let folder = tempfile::tempdir().unwrap();
    let path = Some(folder.path().join("campanile.db"));
    let clock = ManualClock::at(START);
    let setup = Setup { path: path.clone(), ..Setup::default() };
    let mut first = Rig::start_with(setup, clock.clone(), |_| Reply::Ends(accepted(true))).await;
    let delivery = first.accept(|_| {}).await;
    is_accepted(&mut first).await;
    first.dispatcher.shutdown(SECOND).await;
    first.store.close().await;
    drop(first);

    let setup = Setup { path, between: |store| Arc::new(Refusing::after_crashes(store, 3)), ..Setup::default() };
    let mut second = Rig::start_with(setup, clock, |_| sent()).await;
    until_due(&second, delivery).await;
    second.all_sent(&[delivery]).await;
    let state = second.state(delivery).await;
    assert!(matches!(state, DeliveryState::Sent { unconfirmed: true, attempts: 1, .. }), "{state:?}");
    assert_eq!((second.calls().len(), second.questions().len()), (0, 0));
}
