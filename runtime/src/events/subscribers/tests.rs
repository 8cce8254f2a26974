use futures_util::StreamExt as _;
use tempfile::TempDir;

use super::*;
use crate::clock::ManualClock;
use crate::domain::Timestamp;
use crate::events::sse::{Block, Reader};
use crate::events::tests::Life;

const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_000);

fn all(start: Start, follow: bool) -> Subscription {
    Subscription { start, filter: EventFilter::default(), follow }
}

struct Scene {
    life: Life,
    clock: ManualClock,
    metrics: Arc<Metrics>,
    subscribers: Subscribers,
    _folder: TempDir,
}

impl Scene {
    async fn open() -> Self {
        let folder = TempDir::new().unwrap();
        let life = Life::begin(&folder).await;
        let (clock, metrics) = (ManualClock::at(NOW), Metrics::new());
        let subscribers = Subscribers::new(Arc::clone(&life.log), Arc::new(clock.clone()), Arc::clone(&metrics));
        Self { life, clock, metrics, subscribers, _folder: folder }
    }

    fn id(&self, number: EventNumber) -> String {
        EventId { epoch: self.life.log.epoch(), number }.to_string()
    }

    /// Moves the clock to this instant, once somebody waits for it.
    async fn pass(&self, duration: Duration) {
        let until = self.clock.now().after(duration);
        while !self.clock.is_awaited(until) {
            tokio::task::yield_now().await;
        }
        self.clock.advance(duration);
    }
}

async fn next(subscriber: &mut Subscriber) -> String {
    let Ok(bytes) = subscriber.next().await.expect("there is more");
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// All that is left, as blocks.
async fn rest(subscriber: Subscriber) -> Vec<Block> {
    let bytes: Vec<Bytes> = subscriber.map(|Ok(bytes)| bytes).collect().await;
    Reader::default().read(&bytes.concat()).unwrap()
}

fn ids(blocks: &[Block]) -> Vec<String> {
    blocks.iter().filter(|block| block.data.is_some()).filter_map(|block| block.id.clone()).collect()
}

fn reason(block: &Block) -> String {
    assert_eq!((block.event.as_deref(), &block.id), (Some("end"), &None), "{block:?}");
    let data: serde_json::Value = serde_json::from_str(block.data.as_deref().unwrap()).unwrap();
    data["data"]["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_listing_gives_what_there_is_and_says_that_it_is_complete() {
    let scene = Scene::open().await;
    scene.life.tell(2_000).await;
    let blocks = rest(scene.subscribers.subscribe(all(Start::Oldest, false)).unwrap()).await;
    assert_eq!(ids(&blocks), (1..=2_000).map(|number| scene.id(number)).collect::<Vec<_>>());
    assert_eq!(reason(blocks.last().unwrap()), "newest");
    let none = rest(scene.subscribers.subscribe(all(Start::Newest, false)).unwrap()).await;
    assert_eq!((ids(&none), reason(none.last().unwrap())), (Vec::new(), "newest".to_owned()));
}

#[tokio::test]
async fn a_subscriber_knows_from_the_start_where_to_resume_and_is_told_at_heartbeats() {
    let scene = Scene::open().await;
    scene.life.tell(3).await;
    let filter = EventFilter { types: vec!["plugin.*".parse().unwrap()], notification: None };
    let subscription = Subscription { start: Start::Newest, filter, follow: true };
    let mut subscriber = scene.subscribers.subscribe(subscription).unwrap();
    assert_eq!(next(&mut subscriber).await, format!("retry: 1000\n\nid: {}\n\n", scene.id(3)));
    scene.pass(HEARTBEAT).await;
    assert_eq!(next(&mut subscriber).await, ": heartbeat\n\n", "nothing has happened");

    // Nothing of it is wanted, and the place in the stream moves on.
    scene.life.tell(4).await;
    let mut quick = scene.life.log.follow(Start::Newest);
    scene.life.tell(1).await;
    quick.next().await.unwrap();
    scene.pass(HEARTBEAT).await;
    assert_eq!(next(&mut subscriber).await, format!(": heartbeat\n\nid: {}\n\n", scene.id(8)));
}

#[tokio::test]
async fn heartbeats_come_in_time_although_events_pass_that_nobody_asked_for() {
    let scene = Scene::open().await;
    let filter = EventFilter { types: vec!["plugin.*".parse().unwrap()], notification: None };
    let subscription = Subscription { start: Start::Newest, filter, follow: true };
    let mut subscriber = scene.subscribers.subscribe(subscription).unwrap();
    next(&mut subscriber).await;
    let first = scene.clock.now().after(HEARTBEAT);
    while !scene.clock.is_awaited(first) {
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        scene.clock.advance(HEARTBEAT / 3);
        scene.life.tell(1).await;
        // The stream has looked at it by then, in whichever order.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert!(next(&mut subscriber).await.starts_with(": heartbeat\n\n"));
}

#[tokio::test]
async fn a_gap_is_told_as_an_event_whatever_is_asked_for() {
    let scene = Scene::open().await;
    for _ in 0..3 {
        scene.life.tell(1).await;
    }
    scene.life.clear_up().await;
    let filter = EventFilter { types: vec!["plugin.*".parse().unwrap()], notification: None };
    let start = Start::After(EventId { epoch: scene.life.log.epoch(), number: 1 });
    let blocks = rest(scene.subscribers.subscribe(Subscription { start, filter, follow: false }).unwrap()).await;
    let gap = &blocks[1];
    assert_eq!((gap.event.as_deref(), gap.id.clone()), (Some("gap"), Some(scene.id(2))));
    let expected = serde_json::json!({
        "id": scene.id(2), "type": "gap", "at": NOW.to_string(),
        "data": { "reason": "retention", "after": scene.id(1) },
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(gap.data.as_deref().unwrap()).unwrap(), expected);
    assert!(scene.metrics.encode().contains("campanile_event_gaps_total{reason=\"retention\"} 1"));
}

#[tokio::test]
async fn one_that_does_not_read_is_let_go_with_a_word_and_resumes_without_loss() {
    let scene = Scene::open().await;
    let mut subscriber = scene.subscribers.subscribe(all(Start::Newest, true)).unwrap();
    next(&mut subscriber).await;
    // About 250 bytes each: several times what is kept for a client.
    for _ in 0..20 {
        scene.life.tell(1_000).await;
    }
    scene.pass(STALLED_AFTER).await;
    while scene.subscribers.count() > 0 {
        tokio::task::yield_now().await;
    }
    let bytes: Vec<Bytes> = subscriber.map(|Ok(bytes)| bytes).collect().await;
    let kept: usize = bytes.iter().map(Bytes::len).sum();
    assert!(kept <= BUFFER_BYTES + 1_000, "{kept} bytes were kept");
    let blocks = Reader::default().read(&bytes.concat()).unwrap();
    assert_eq!(reason(blocks.last().unwrap()), "too-slow");
    let mut seen = ids(&blocks);
    assert!(!seen.is_empty() && seen.len() < 20_000);

    let last: EventId = seen.last().unwrap().parse().unwrap();
    seen.extend(ids(&rest(scene.subscribers.subscribe(all(Start::After(last), false)).unwrap()).await));
    assert_eq!(seen, (1..=20_000).map(|number| scene.id(number)).collect::<Vec<_>>());
    assert!(scene.metrics.encode().contains("campanile_event_subscribers_cut_off_total 1"));
}

#[tokio::test]
async fn a_thousand_subscribe_at_once_and_one_more_when_one_has_left() {
    let scene = Scene::open().await;
    let mut them: Vec<_> =
        (0..SUBSCRIBERS_MAX).map(|_| scene.subscribers.subscribe(all(Start::Newest, true)).unwrap()).collect();
    assert!(scene.subscribers.subscribe(all(Start::Newest, true)).is_err());
    assert_eq!(scene.subscribers.count(), SUBSCRIBERS_MAX);
    scene.life.tell(1).await;
    for subscriber in &mut them {
        assert!(next(subscriber).await.starts_with("retry: "));
        assert!(next(subscriber).await.starts_with(&format!("id: {}\nevent: config.reloaded\n", scene.id(1))));
    }
    them.pop();
    while scene.subscribers.count() == SUBSCRIBERS_MAX {
        tokio::task::yield_now().await;
    }
    scene.subscribers.subscribe(all(Start::Newest, true)).unwrap();
}

#[tokio::test]
async fn a_stop_ends_every_stream_with_a_word() {
    let scene = Scene::open().await;
    let subscriber = scene.subscribers.subscribe(all(Start::Newest, true)).unwrap();
    scene.subscribers.stop();
    assert_eq!(reason(rest(subscriber).await.last().unwrap()), "stopping");
    let late = scene.subscribers.subscribe(all(Start::Newest, true)).unwrap();
    assert_eq!(reason(rest(late).await.last().unwrap()), "stopping");
}

#[tokio::test]
async fn a_stream_ends_with_its_store() {
    let scene = Scene::open().await;
    let subscriber = scene.subscribers.subscribe(all(Start::Newest, true)).unwrap();
    scene.life.tell(1).await;
    let id = scene.id(1);
    scene.life.end().await;
    let blocks = rest(subscriber).await;
    assert_eq!((ids(&blocks), reason(blocks.last().unwrap())), (vec![id], "stopping".to_owned()));
}
