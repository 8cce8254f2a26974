use std::sync::Arc;

use super::*;
use crate::domain::{
    Content, Flow, Notification, NotificationId, Outcome, Priority, Receipt, Recipient, Trouble, Waiting,
};

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
fn each_recipient_has_turns_of_their_own_in_the_order_of_asking() {
    let destinations = destinations(Pace { per_recipient: Some(rate("1/m")), ..Pace::default() });
    assert_eq!(destinations.admit(&claim(1, "ada"), START), Ok(None));
    assert_eq!(destinations.admit(&claim(2, "ada"), START), Err(seconds(60)));
    assert_eq!(destinations.admit(&claim(3, "ada"), START), Err(seconds(120)));
    assert_eq!(destinations.admit(&claim(4, "bob"), START), Ok(None), "another one does not wait");
    assert_eq!(destinations.admit(&claim(5, ""), START), Ok(None), "nobody is no one in particular");
    assert_eq!(destinations.admit(&claim(2, "ada"), seconds(59)), Err(seconds(60)), "asking early costs no turn");
    assert_eq!(destinations.admit(&claim(2, "ada"), seconds(60)), Ok(None));
    assert_eq!(destinations.admit(&claim(3, "ada"), seconds(120)), Ok(None));
}

#[test]
fn a_recipient_whom_the_provider_wants_to_be_left_alone_is_left_alone() {
    let destinations = destinations(Pace::default());
    let (first, second) = (claim(1, "ada"), claim(2, "ada"));
    assert_eq!(destinations.admit(&first, START), Ok(None));
    let after = Some(Duration::from_secs(30));
    let limited = Outcome::RateLimited { after, scope: RateScope::Recipient, code: None, reason: String::new() };
    learn(&destinations, &first, None, &AttemptEnd::Outcome(limited), START);
    assert_eq!(destinations.admit(&second, START), Err(seconds(30)));
    assert_eq!(destinations.admit(&claim(3, "bob"), START), Ok(None));
    assert_eq!(destinations.admit(&second, seconds(30)), Ok(None));
}

#[test]
fn a_host_that_is_down_holds_nobody_but_itself() {
    let breaker = Some(BreakerPolicy::default());
    let destinations = destinations(Pace { breaker, ..Pace::default() });
    let (bad, good) = ("https://Down.example/hook?a=1", "https://user@up.example/hook");
    for number in 1..=5 {
        let call = claim(number, bad);
        let pass = destinations.admit(&call, START).expect("it is closed");
        assert!(pass.is_some());
        learn(&destinations, &call, pass, &down(), START);
    }
    let waiting = claim(6, "https://down.example/other");
    assert_eq!(destinations.admit(&waiting, START), Err(seconds(10)));
    assert!(destinations.admit(&claim(7, good), START).is_ok());
    assert_eq!(destinations.admit(&claim(8, "no url"), START), Ok(None));
    let probe = destinations.admit(&waiting, seconds(10)).expect("one may try");
    assert_eq!(destinations.admit(&claim(9, bad), seconds(10)), Err(seconds(11)), "and no other meanwhile");
    learn(&destinations, &waiting, probe, &sent(), seconds(10));
    assert!(destinations.admit(&claim(9, bad), seconds(11)).is_ok());
}

#[test]
fn a_host_of_addresses_has_a_rate() {
    let destinations = destinations(Pace { per_host: Some(rate("1/s")), ..Pace::default() });
    assert_eq!(destinations.admit(&claim(1, "https://a.example/1"), START), Ok(None));
    assert_eq!(destinations.admit(&claim(2, "https://a.example/2"), START), Err(seconds(1)));
    assert_eq!(destinations.admit(&claim(3, "https://b.example/1"), START), Ok(None));
}

#[test]
fn retries_are_a_part_of_what_a_destination_gets_and_come_later_instead_of_never() {
    let destinations = destinations(Pace::default());
    (0..100).for_each(|number| assert_eq!(destinations.admit(&claim(number, ""), START), Ok(None)));
    let turns: Vec<Timestamp> =
        (0..100).map(|number| destinations.admit(&retry_of(number, ""), START).err().unwrap_or(START)).collect();
    assert_eq!(turns.iter().filter(|turn| **turn == START).count(), 30, "a fifth, and ten that need no first attempt");
    assert!(turns.is_sorted(), "who asks first goes first");
    assert_eq!(turns[99], seconds(7), "ten a second");
    assert_eq!(destinations.admit(&retry_of(99, ""), seconds(7)), Ok(None));
}

#[test]
fn who_is_idle_is_forgotten() {
    let destinations = destinations(Pace { per_recipient: Some(rate("100/s")), ..Pace::default() });
    for number in 0..100_000_u64 {
        let now = START.after(Duration::from_millis(number));
        assert_eq!(destinations.admit(&claim(number, &number.to_string()), now), Ok(None));
    }
    assert!(destinations.lock().recipients.by_hash.len() <= KNOWN_LEAST);
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
