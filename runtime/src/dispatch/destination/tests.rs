mod hosts;

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::domain::{
    Content, Flow, Lane, Notification, NotificationId, Outcome, Position, Priority, Queued, Receipt, Recipient,
    Trouble, Waiting,
};
use crate::queue::{ReadyQueue, Slot, WindowLimits};

const START: Timestamp = Timestamp::from_millis(1_000_000);

fn claim(number: u64, address: &str) -> Claim {
    let id = NotificationId::from_bytes(u128::from(number).to_be_bytes());
    let notification = Notification {
        id,
        kind: "info".to_owned(),
        priority: Priority::Normal,
        content: Arc::new(Content::default()),
        actions: Vec::new(),
        template: None,
        data: None,
        metadata: Vec::new(),
        correlation_id: None,
        group_key: None,
        created_at: START,
        scheduled_at: None,
        expires_at: None,
    };
    Claim {
        number,
        delivery: id.delivery(0),
        progress: Waiting::fresh(START),
        channel: ChannelName::new("ops").expect("a name"),
        flow: Flow::SHARED,
        recipient: Arc::new(Recipient { address: address.to_owned(), ..Recipient::default() }),
        notification: Arc::new(notification),
        crashes: 0,
    }
}

fn retry_of(number: u64, address: &str) -> Claim {
    let mut claim = claim(number, address);
    claim.progress.retries_used = 1;
    claim
}

fn destinations(pace: Pace) -> Destinations {
    Destinations::new(Paces { default: pace, by_channel: BTreeMap::new() })
}

fn rate(text: &str) -> Rate {
    text.parse().expect("a rate")
}

fn seconds(seconds: u64) -> Timestamp {
    START.after(Duration::from_secs(seconds))
}

fn admit(destinations: &Destinations, claim: &Claim, now: Timestamp) -> Result<Option<HostPass>, Timestamp> {
    destinations.admit(claim, now).map_err(|later| later.until)
}

fn urgent(number: u64, address: &str, priority: Priority) -> Claim {
    let mut claim = claim(number, address);
    Arc::make_mut(&mut claim.notification).priority = priority;
    claim
}

fn learn(destinations: &Destinations, claim: &Claim, pass: Option<HostPass>, end: &AttemptEnd, now: Timestamp) {
    destinations.learn(&Learned::of(claim, pass, Some(end), Duration::ZERO, now), now);
}

fn sent() -> AttemptEnd {
    AttemptEnd::Outcome(Outcome::Sent(Receipt::default()))
}

fn down() -> AttemptEnd {
    let reason = "no answer".to_owned();
    AttemptEnd::Outcome(Outcome::Retry { after: None, trouble: Trouble::Unreachable, code: None, reason })
}

#[test]
fn each_recipient_has_turns_of_their_own_and_the_oldest_goes_first() {
    let destinations = destinations(Pace { per_recipient: Some(rate("1/m")), ..Pace::default() });
    assert_eq!(admit(&destinations, &claim(1, "ada"), START), Ok(None));
    assert_eq!(admit(&destinations, &claim(2, "ada"), START), Err(seconds(60)));
    assert_eq!(admit(&destinations, &claim(3, "ada"), START), Err(seconds(120)));
    assert_eq!(admit(&destinations, &claim(4, "bob"), START), Ok(None), "another one does not wait");
    assert_eq!(admit(&destinations, &claim(5, ""), START), Ok(None), "nobody is no one in particular");
    assert_eq!(admit(&destinations, &claim(2, "ada"), seconds(59)), Err(seconds(60)), "asking early costs no turn");
    assert_eq!(admit(&destinations, &claim(2, "ada"), seconds(60)), Ok(None));
    assert_eq!(admit(&destinations, &claim(3, "ada"), seconds(120)), Ok(None));
}

#[test]
fn what_is_urgent_takes_the_next_turn_and_what_is_cancelled_none() {
    let destinations = destinations(Pace { per_recipient: Some(rate("6/m")), ..Pace::default() });
    let low = |number| urgent(number, "ada", Priority::Low);
    assert_eq!(admit(&destinations, &low(0), START), Ok(None));
    for number in 1..=5 {
        assert_eq!(admit(&destinations, &low(number), START), Err(seconds(10 * number)));
    }
    let urgent = urgent(6, "ada", Priority::Critical);
    assert_eq!(admit(&destinations, &urgent, START), Err(seconds(10)));
    assert_eq!(admit(&destinations, &low(1), seconds(10)), Err(seconds(20)), "somebody else is in front");
    assert_eq!(admit(&destinations, &urgent, seconds(10)), Ok(None));
    assert_eq!(destinations.take_called(), []);

    destinations.forget((1..=4).map(|number| low(number).delivery), seconds(11));
    let called = Called { delivery: low(5).delivery, from: seconds(50), to: seconds(20) };
    assert_eq!(destinations.take_called().last(), Some(&called));
    assert_eq!(admit(&destinations, &low(5), seconds(20)), Ok(None));
    assert!(destinations.lock().lines.until(low(5).delivery).is_none());
}

#[test]
fn however_many_are_more_urgent_two_ask_at_a_turn() {
    let destinations = destinations(Pace { per_recipient: Some(rate("1/s")), ..Pace::default() });
    assert_eq!(admit(&destinations, &claim(0, "ada"), START), Ok(None));
    let mut asks: BTreeMap<Timestamp, Vec<Claim>> = BTreeMap::new();
    let claims = (1..=300).map(|number| match number <= 100 {
        true => claim(number, "ada"),
        false => urgent(number, "ada", Priority::High),
    });
    for claim in claims {
        let until = admit(&destinations, &claim, START).expect_err("it waits");
        asks.entry(until).or_default().push(claim);
    }
    let (mut went, mut most) = (0, 0);
    while let Some((now, together)) = asks.pop_first() {
        most = most.max(together.len());
        for claim in together {
            match admit(&destinations, &claim, now) {
                Ok(_) => went += 1,
                Err(until) => asks.entry(until).or_default().push(claim),
            }
        }
    }
    assert_eq!((went, most), (300, 2));
}

#[test]
fn who_was_called_and_does_not_come_is_waited_for_no_longer() {
    let destinations = destinations(Pace { per_recipient: Some(rate("1/s")), ..Pace::default() });
    assert_eq!(admit(&destinations, &claim(1, "ada"), START), Ok(None));
    assert_eq!(admit(&destinations, &claim(2, "ada"), START), Err(seconds(1)));
    assert_eq!(admit(&destinations, &claim(3, "ada"), seconds(4)), Err(seconds(5)), "the one before is on its way");
    assert_eq!(admit(&destinations, &claim(3, "ada"), seconds(6)), Ok(None));
    assert_eq!(admit(&destinations, &claim(2, "ada"), seconds(6)), Err(seconds(7)), "it is not lost");
    assert_eq!(admit(&destinations, &claim(2, "ada"), seconds(7)), Ok(None));
}

#[test]
fn who_waits_for_a_host_uses_up_no_turn_of_a_recipient() {
    let pace = Pace { per_recipient: Some(rate("1/m")), per_host: Some(rate("1/s")), ..Pace::default() };
    let destinations = destinations(pace);
    let (ada, bob) = ("https://a.example/ada", "https://a.example/bob");
    assert_eq!(admit(&destinations, &claim(1, ada), START), Ok(None));
    assert_eq!(admit(&destinations, &claim(2, bob), START), Err(seconds(1)));
    assert_eq!(admit(&destinations, &claim(3, ada), START), Err(seconds(60)));
    assert_eq!(admit(&destinations, &claim(2, bob), seconds(1)), Ok(None));
    assert_eq!(admit(&destinations, &claim(3, ada), seconds(60)), Ok(None));
}

#[test]
fn a_host_that_is_down_has_nobody_ask_in_the_place_of_another() {
    let breaker = Some(BreakerPolicy { consecutive: 1, ..BreakerPolicy::default() });
    let destinations = destinations(Pace { per_host: Some(rate("1/s")), breaker, ..Pace::default() });
    let host = "https://a.example/hook";
    let pass = admit(&destinations, &claim(1, host), START).expect("it is closed");
    for number in 2..=4 {
        assert_eq!(admit(&destinations, &claim(number, host), START), Err(seconds(number - 1)));
    }
    learn(&destinations, &claim(1, host), pass, &down(), START);
    assert_eq!(admit(&destinations, &claim(2, host), seconds(1)), Err(seconds(10)));
    assert_eq!(destinations.take_called(), []);
}

#[test]
fn another_pace_holds_at_once_and_leaves_what_is_known() {
    let paces = |pace: Pace| Paces { default: pace, by_channel: BTreeMap::new() };
    let hourly = Pace { per_recipient: Some(rate("1/h")), breaker: Some(BreakerPolicy::default()), ..Pace::default() };
    let (ada, ops) = ("https://a.example/ada", ChannelName::new("ops").expect("a name"));
    let (hour, in_10_ms) = (seconds(3_600), START.after(Duration::from_millis(10)));
    let quick = Pace { per_recipient: Some(rate("100/s")), ..hourly.clone() };
    let free = Pace { per_recipient: None, ..hourly.clone() };
    for (pace, answer) in [(hourly.clone(), Err(hour)), (quick, Err(in_10_ms)), (free, Ok(()))] {
        let destinations = destinations(hourly.clone());
        assert!(admit(&destinations, &claim(1, ada), START).is_ok());
        let later = destinations.admit(&claim(2, ada), START).expect_err("the next hour");
        let is_different = pace != hourly;
        assert_eq!(destinations.set(paces(pace), START)(&ops), is_different);
        let again = if is_different { START } else { hour };
        assert_eq!(destinations.again(claim(2, ada).delivery, later, START), again);
        assert_eq!(admit(&destinations, &claim(2, ada), START).map(|_| ()), answer);
    }

    let destinations = destinations(hourly.clone());
    let strict = BreakerPolicy { consecutive: 1, ..BreakerPolicy::default() };
    let call = claim(1, ada);
    let pass = admit(&destinations, &call, START).expect("it is the first");
    let _ = destinations.set(paces(Pace { breaker: Some(strict), ..hourly }), START);
    learn(&destinations, &call, pass, &down(), START);
    let bob = claim(2, "https://a.example/bob");
    assert_eq!(admit(&destinations, &bob, START), Err(seconds(10)), "the host that is known goes by it too");
    destinations.reset(&ChannelName::new("other").expect("a name"), START);
    assert_eq!(admit(&destinations, &bob, START), Err(seconds(10)));
    destinations.reset(&ops, START);
    assert!(admit(&destinations, &bob, START).is_ok() && admit(&destinations, &claim(3, ada), START).is_ok());
}

/// What happens to recipients whom a rate holds back, in a queue and at their destinations.
struct Story {
    queue: ReadyQueue,
    destinations: Destinations,
    claims: BTreeMap<DeliveryId, Claim>,
    cancelled: BTreeSet<DeliveryId>,
    /// Those who asked and have to wait.
    waiting: BTreeSet<DeliveryId>,
    now: Timestamp,
    went: Vec<(Timestamp, DeliveryId)>,
    asked: usize,
}

impl Story {
    fn new(pace: Pace) -> Self {
        Self {
            queue: ReadyQueue::new(WindowLimits { lane: 4_096, total: 65_536 }),
            destinations: destinations(pace),
            claims: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            waiting: BTreeSet::new(),
            now: START,
            went: Vec::new(),
            asked: 0,
        }
    }

    fn offer(&mut self, claim: Claim) {
        let lane = Lane::shared(claim.notification.priority, claim.channel.clone());
        let position = Position { due: claim.progress.due, delivery: claim.delivery };
        self.queue.offer(&Queued { lane, position }, self.now);
        self.claims.insert(claim.delivery, claim);
    }

    fn rank(&self, delivery: &DeliveryId) -> Rank {
        Rank::of(&self.claims[delivery])
    }

    /// Nobody who waits for the same recipient is before this one.
    fn check(&self, delivery: DeliveryId) {
        let address = |delivery: &DeliveryId| &self.claims[delivery].recipient.address;
        let others = self.waiting.difference(&self.cancelled).filter(|other| address(other) == address(&delivery));
        let first = others.min_by_key(|other| self.rank(other));
        assert!(first.is_none_or(|first| self.rank(first) >= self.rank(&delivery)), "{delivery} pushed in");
    }

    fn settle(&mut self) {
        while let Some(taken) = self.queue.take(Slot::General, self.now) {
            let delivery = taken.position.delivery;
            if self.cancelled.contains(&delivery) {
                self.destinations.forget([delivery], self.now);
                self.waiting.remove(&delivery);
            } else {
                self.asked += 1;
                match admit(&self.destinations, &self.claims[&delivery], self.now) {
                    Ok(_) => {
                        self.check(delivery);
                        self.waiting.remove(&delivery);
                        self.went.push((self.now, delivery));
                    }
                    Err(until) => {
                        assert!(until > self.now, "nobody asks in vain");
                        self.waiting.insert(delivery);
                        self.queue.defer(taken, until, self.now);
                    }
                }
            }
            self.queue.call_up(&self.destinations.take_called(), self.now);
        }
    }

    fn pass_to(&mut self, then: Timestamp) {
        self.settle();
        while let Some(due) = self.queue.next_due().filter(|due| *due <= then) {
            self.now = due;
            self.settle();
        }
        self.now = then;
    }
}

proptest! {
    #[test]
    fn the_most_urgent_and_then_the_oldest_goes_at_each_turn_and_no_turn_is_lost(
        steps in prop::collection::vec((0_u64..250, 0_u8..2, 0_usize..4, any::<prop::sample::Index>(), 0_u8..4), 1..80),
    ) {
        let interval = Duration::from_millis(100);
        let mut story = Story::new(Pace { per_recipient: Some(rate("10/s")), ..Pace::default() });
        for (number, (pause, to, priority, which, cancels)) in steps.iter().enumerate() {
            let mut claim = urgent(number as u64, ["ada", "bob"][usize::from(*to)], Priority::DESCENDING[*priority]);
            claim.progress.due = story.now;
            story.offer(claim);
            if *cancels == 0 && !story.waiting.is_empty() {
                let waiting: Vec<_> = story.waiting.iter().copied().collect();
                story.cancelled.insert(*which.get(&waiting));
            }
            let then = story.now.after(Duration::from_millis(*pause));
            story.pass_to(then);
        }
        story.pass_to(story.now.after(interval * 100));
        prop_assert_eq!((story.went.len() + story.cancelled.len(), story.waiting.len()), (steps.len(), 0));
        prop_assert!(story.asked <= 4 * steps.len(), "{} asked {} times", steps.len(), story.asked);
        for address in ["ada", "bob"] {
            let went: Vec<_> =
                story.went.iter().filter(|(_, delivery)| story.claims[delivery].recipient.address == address).collect();
            for pair in went.windows(2) {
                let ((before, _), (at, delivery)) = (pair[0], pair[1]);
                let free = before.after(interval).max(story.claims[delivery].progress.due);
                prop_assert_eq!(*at, free, "{} goes once it may", delivery);
            }
        }
    }
}

#[test]
fn a_recipient_whom_the_provider_wants_to_be_left_alone_is_left_alone() {
    let destinations = destinations(Pace::default());
    let (first, second) = (claim(1, "ada"), claim(2, "ada"));
    assert_eq!(admit(&destinations, &first, START), Ok(None));
    let after = Some(Duration::from_secs(30));
    let limited = Outcome::RateLimited { after, scope: RateScope::Recipient, code: None, reason: String::new() };
    learn(&destinations, &first, None, &AttemptEnd::Outcome(limited), START);
    assert_eq!(admit(&destinations, &second, START), Err(seconds(30)));
    assert_eq!(admit(&destinations, &claim(3, "bob"), START), Ok(None));
    assert_eq!(admit(&destinations, &second, seconds(30)), Ok(None));
}

#[test]
fn a_host_that_is_down_holds_nobody_but_itself() {
    let breaker = Some(BreakerPolicy::default());
    let destinations = destinations(Pace { breaker, ..Pace::default() });
    let (bad, good) = ("https://Down.example/hook?a=1", "https://user@up.example/hook");
    for number in 1..=5 {
        let call = claim(number, bad);
        let pass = admit(&destinations, &call, START).expect("it is closed");
        assert!(pass.is_some());
        learn(&destinations, &call, pass, &down(), START);
    }
    let waiting = claim(6, "https://down.example/other");
    assert_eq!(admit(&destinations, &waiting, START), Err(seconds(10)));
    assert!(admit(&destinations, &claim(7, good), START).is_ok());
    assert_eq!(admit(&destinations, &claim(8, "no url"), START), Ok(None));
    let probe = admit(&destinations, &waiting, seconds(10)).expect("one may try");
    assert_eq!(admit(&destinations, &claim(9, bad), seconds(10)), Err(seconds(11)), "and no other meanwhile");
    learn(&destinations, &waiting, probe, &sent(), seconds(10));
    assert!(admit(&destinations, &claim(9, bad), seconds(11)).is_ok());
}

#[test]
fn a_host_of_addresses_has_a_rate() {
    let destinations = destinations(Pace { per_host: Some(rate("1/s")), ..Pace::default() });
    assert_eq!(admit(&destinations, &claim(1, "https://a.example/1"), START), Ok(None));
    assert_eq!(admit(&destinations, &claim(2, "https://a.example/2"), START), Err(seconds(1)));
    assert_eq!(admit(&destinations, &claim(3, "https://b.example/1"), START), Ok(None));
}

#[test]
fn retries_are_a_part_of_what_a_destination_gets_and_come_later_instead_of_never() {
    let destinations = destinations(Pace::default());
    (0..100).for_each(|number| assert_eq!(admit(&destinations, &claim(number, ""), START), Ok(None)));
    let turns: Vec<Timestamp> =
        (0..100).map(|number| admit(&destinations, &retry_of(number, ""), START).err().unwrap_or(START)).collect();
    assert_eq!(turns.iter().filter(|turn| **turn == START).count(), 30, "a fifth, and ten that need no first attempt");
    assert!(turns.is_sorted(), "who asks first goes first");
    assert_eq!(turns[99], seconds(7), "ten a second");
    assert_eq!(admit(&destinations, &retry_of(99, ""), seconds(7)), Ok(None));
}

#[test]
fn who_is_idle_is_forgotten() {
    let destinations = destinations(Pace { per_recipient: Some(rate("100/s")), ..Pace::default() });
    for number in 0..100_000_u64 {
        let now = START.after(Duration::from_millis(number));
        assert_eq!(admit(&destinations, &claim(number, &number.to_string()), now), Ok(None));
    }
    assert!(destinations.lock().recipients.by_place.len() <= known::KNOWN_LEAST);
}

#[test]
fn the_host_of_an_address_is_that_of_its_url() {
    let rows = [
        ("https://A.example:8443/x?y#z", Some("a.example:8443")),
        ("http://user:word@[::1]:80", Some("[::1]:80")),
        ("https://", None),
        ("mailto:ada@example.com", None),
    ];
    for (address, host) in rows {
        assert_eq!(host_of(address).as_deref(), host, "{address}");
    }
}
