//! What a consumer of a stream sees: each event once, a slow callback waited for, a panic survived.

use std::sync::atomic::AtomicBool;

use tokio::sync::{Semaphore, mpsc as channel};
use tokio::time::Instant;

use super::*;

type Heard = Arc<Mutex<Vec<(String, u32)>>>;

/// A tracker whose callback writes down what it is called with.
fn listening() -> (EventTracker<u32>, Heard) {
    let heard = Heard::default();
    let ear = Arc::clone(&heard);
    (EventTracker::new(move |id: &str, event: &u32| ear.lock().unwrap().push((id.to_owned(), *event))), heard)
}

/// A tracker whose callback says which event it has and ends once it is let. Events come back through the receiver.
fn gated(queue: usize) -> (EventTracker<u32>, Arc<Semaphore>, channel::Receiver<u32>) {
    let (gate, (told, begun)) = (Arc::new(Semaphore::new(0)), channel::channel(64));
    let within = Arc::clone(&gate);
    let tracker = EventTracker::asynchronous(queue, move |_, event| {
        let (gate, told) = (Arc::clone(&within), told.clone());
        async move {
            told.try_send(event).unwrap();
            gate.acquire().await.unwrap().forget();
        }
    });
    (tracker, gate, begun)
}

#[tokio::test]
async fn each_event_is_told_once_and_the_last_id_is_remembered() {
    let (mut tracker, heard) = listening();
    assert_eq!((tracker.last_id(), tracker.done_id()), (None, None));
    for (id, event) in [("a-1", 1), ("a-2", 2), ("a-1", 1), ("a-2", 2), ("a-3", 3)] {
        let _ = tracker.record(id, event).await;
    }
    assert_eq!(*heard.lock().unwrap(), [("a-1".to_owned(), 1), ("a-2".to_owned(), 2), ("a-3".to_owned(), 3)]);
    assert_eq!((tracker.last_id(), tracker.done_id().as_deref()), (Some("a-3"), Some("a-3")));
    assert_eq!(tracker.counts(), TrackerCounts { delivered: 3, duplicate: 2, ..TrackerCounts::default() });
}

#[test]
fn the_window_of_ids_is_bounded_and_forgets_the_oldest_first() {
    let (tracker, heard) = listening();
    let mut tracker = tracker.with_window(2);
    for id in ["a", "b", "c"] {
        assert_eq!(tracker.try_record(id, 0), Recorded::Delivered);
    }
    assert_eq!((tracker.try_record("b", 0), tracker.try_record("c", 0)), (Recorded::Duplicate, Recorded::Duplicate));
    assert_eq!(tracker.try_record("a", 0), Recorded::Delivered, "two others were seen since");
    assert_eq!(tracker.try_record("c", 0), Recorded::Duplicate);
    assert_eq!(heard.lock().unwrap().len(), 4);
}

#[test]
fn what_an_earlier_process_saw_is_not_told_again() {
    let (tracker, heard) = listening();
    let mut tracker = tracker.resuming_after("a-7");
    assert_eq!((tracker.last_id(), tracker.done_id()), (Some("a-7"), None));
    assert_eq!(tracker.try_record("a-7", 7), Recorded::Duplicate);
    assert_eq!(tracker.try_record("a-8", 8), Recorded::Delivered);
    assert_eq!(*heard.lock().unwrap(), [("a-8".to_owned(), 8)]);
}

#[tokio::test(start_paused = true)]
async fn a_full_channel_is_waited_for_100_ms_and_then_the_event_comes_back() {
    let (mut tracker, gate, mut begun) = gated(1);
    assert_eq!(tracker.record("1", 1).await, Recorded::Delivered);
    assert_eq!(begun.recv().await, Some(1), "the callback is busy with the first");
    assert_eq!(tracker.record("2", 2).await, Recorded::Delivered, "the second fills the channel");
    let before = Instant::now();
    assert_eq!(tracker.record("3", 3).await, Recorded::TimedOut(3));
    assert_eq!(before.elapsed(), Duration::from_millis(100));
    assert_eq!(tracker.try_record("3", 3), Recorded::TimedOut(3));
    assert_eq!(before.elapsed(), Duration::from_millis(100), "this one does not wait");
    assert_eq!((tracker.last_id(), tracker.done_id()), (Some("2"), None), "not past what was not handed on");
    assert_eq!(tracker.counts(), TrackerCounts { delivered: 2, timed_out: 2, ..TrackerCounts::default() });

    gate.add_permits(3);
    assert_eq!(tracker.record("3", 3).await, Recorded::Delivered, "it was not taken as seen");
    tracker.close().await;
    assert_eq!((begun.recv().await, begun.recv().await, begun.recv().await), (Some(2), Some(3), None));
    assert_eq!(tracker.done_id().as_deref(), Some("3"));
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_is_a_little_late_makes_the_source_wait_and_loses_nothing() {
    let (mut tracker, gate, mut begun) = gated(1);
    assert_eq!(tracker.record("1", 1).await, Recorded::Delivered);
    assert_eq!(begun.recv().await, Some(1));
    assert_eq!(tracker.record("2", 2).await, Recorded::Delivered);
    let before = Instant::now();
    let late = async {
        tokio::time::advance(Duration::from_millis(99)).await;
        gate.add_permits(1);
    };
    let (recorded, ()) = tokio::join!(tracker.record("3", 3), late);
    assert_eq!(recorded, Recorded::Delivered);
    assert_eq!(before.elapsed(), Duration::from_millis(99), "as long as it took and no longer");
    assert_eq!(tracker.counts().timed_out, 0);
}

#[tokio::test]
async fn one_who_gives_up_waiting_may_record_the_event_again() {
    let (mut tracker, gate, mut begun) = gated(1);
    assert_eq!(tracker.record("1", 1).await, Recorded::Delivered);
    assert_eq!(begun.recv().await, Some(1));
    assert_eq!(tracker.record("2", 2).await, Recorded::Delivered);
    {
        let waits = tracker.record("3", 3);
        tokio::pin!(waits);
        assert!(futures_util::poll!(&mut waits).is_pending());
    }
    assert_eq!(tracker.last_id(), Some("2"));
    gate.add_permits(3);
    assert_eq!(tracker.record("3", 3).await, Recorded::Delivered);
    tracker.close().await;
    assert_eq!((begun.recv().await, begun.recv().await, begun.recv().await), (Some(2), Some(3), None), "once each");
}

#[tokio::test]
async fn a_closed_tracker_has_told_what_it_took_and_gives_back_the_rest() {
    let (mut tracker, gate, mut begun) = gated(8);
    for event in 1..=3 {
        assert_eq!(tracker.record(&event.to_string(), event).await, Recorded::Delivered);
    }
    gate.add_permits(3);
    tracker.close().await;
    assert_eq!((begun.recv().await, begun.recv().await, begun.recv().await), (Some(1), Some(2), Some(3)));
    assert_eq!(tracker.record("4", 4).await, Recorded::Closed(4));
    assert_eq!(tracker.record("3", 3).await, Recorded::Duplicate);
    assert_eq!((tracker.last_id(), tracker.done_id().as_deref()), (Some("3"), Some("3")));
    let counts = TrackerCounts { delivered: 3, duplicate: 1, closed: 1, ..TrackerCounts::default() };
    assert_eq!(tracker.counts(), counts);

    let (mut sync, heard) = listening();
    let _ = sync.record("1", 1).await;
    sync.close().await;
    assert_eq!((sync.record("2", 2).await, heard.lock().unwrap().len()), (Recorded::Closed(2), 1));
}

#[test]
fn the_end_of_the_runtime_closes_an_asynchronous_tracker() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut tracker, _gate, _begun) = runtime.block_on(async { gated(8) });
    assert_eq!(tracker.try_record("1", 1), Recorded::Delivered);
    drop(runtime);
    assert_eq!(tracker.try_record("2", 2), Recorded::Closed(2));
    assert_eq!((tracker.last_id(), tracker.done_id()), (Some("1"), None), "the first was never told");
}

#[test]
fn a_panic_in_a_synchronous_callback_is_counted_and_does_not_stop_the_stream() {
    let heard = Heard::default();
    let ear = Arc::clone(&heard);
    let mut tracker = EventTracker::new(move |id: &str, event: &u32| {
        assert!(*event != 2, "the callback does not like 2");
        ear.lock().unwrap().push((id.to_owned(), *event));
    });
    for event in 1..=3 {
        assert_eq!(tracker.try_record(&event.to_string(), event), Recorded::Delivered);
    }
    assert_eq!(*heard.lock().unwrap(), [("1".to_owned(), 1), ("3".to_owned(), 3)]);
    assert_eq!(tracker.try_record("2", 2), Recorded::Duplicate, "it is not told again");
    let counts = TrackerCounts { delivered: 3, duplicate: 1, panicked: 1, ..TrackerCounts::default() };
    assert_eq!(tracker.counts(), counts);
}

#[tokio::test]
async fn a_panic_in_an_asynchronous_callback_is_counted_whether_before_or_within_its_future() {
    let heard = Heard::default();
    let ear = Arc::clone(&heard);
    let mut tracker = EventTracker::asynchronous(8, move |id: Arc<str>, event: u32| {
        assert!(event != 1, "no future for 1");
        let ear = Arc::clone(&ear);
        async move {
            tokio::task::yield_now().await;
            assert!(event != 2, "no end for 2");
            ear.lock().unwrap().push((id.to_string(), event));
        }
    });
    for event in 1..=3 {
        assert_eq!(tracker.record(&event.to_string(), event).await, Recorded::Delivered);
    }
    tracker.close().await;
    assert_eq!(*heard.lock().unwrap(), [("3".to_owned(), 3)]);
    assert_eq!(tracker.done_id().as_deref(), Some("3"));
    assert_eq!(tracker.counts(), TrackerCounts { delivered: 3, panicked: 2, ..TrackerCounts::default() });
}

/// There is no runtime here, so there can be no task and no timer.
#[test]
fn a_synchronous_callback_is_called_within_the_first_poll_and_needs_no_runtime() {
    let called = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&called);
    let mut tracker = EventTracker::new(move |_: &str, (): &()| told.store(true, Ordering::Relaxed));
    assert_eq!(tracker.record("1", ()).now_or_never(), Some(Recorded::Delivered));
    assert!(called.load(Ordering::Relaxed));
}

#[test]
fn a_tracker_may_be_moved_to_another_thread_while_it_records() {
    fn may_move<T: Send>(_: &T) {}
    let (mut tracker, _heard) = listening();
    may_move(&tracker);
    may_move(&tracker.record("1", 1));
}
