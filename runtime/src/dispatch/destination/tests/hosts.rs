//! Hosts whose breakers are not closed: who is told of them, and what is remembered.

use super::*;
use crate::dispatch::{HostChanged, TurnOf};
use crate::domain::{BreakerReason, HostBook};

const HOOK: &str = "https://Down.example:8443/hook?a=1";
const HOST: &str = "down.example:8443";

fn ops() -> ChannelName {
    ChannelName::new("ops").expect("a name")
}

fn strict() -> Pace {
    let breaker = BreakerPolicy { consecutive: 1, half_open_calls: 1, ..BreakerPolicy::default() };
    Pace { breaker: Some(breaker), ..Pace::default() }
}

/// A call that fails, and opens the breaker of its host.
fn fail(destinations: &Destinations, number: u64, address: &str) {
    let call = claim(number, address);
    let pass = admit(destinations, &call, START).expect("it is closed");
    learn(destinations, &call, pass, &down(), START);
}

async fn changes(destinations: &Destinations) -> Vec<(&'static str, BreakerReason)> {
    let changes = destinations.host_changes().await;
    let words = |HostChanged { change, .. }: HostChanged| (change.to.as_str(), change.reason);
    changes.into_iter().map(words).collect()
}

#[tokio::test]
async fn a_host_is_listed_while_its_breaker_is_not_closed_and_each_change_is_told() {
    let destinations = destinations(strict());
    fail(&destinations, 1, HOOK);
    fail(&destinations, 2, "https://also.example/x");
    let open = destinations.open_hosts(&ops(), 1);
    assert_eq!((open.count, open.hosts.len(), open.hosts[0].host.as_str()), (2, 1, "also.example"), "by name");
    let open = destinations.open_hosts(&ops(), 10).hosts.remove(1);
    assert_eq!((open.host.as_str(), open.reason), (HOST, BreakerReason::Consecutive));
    assert_eq!(open.breaker.state, BreakerState::Open { since: START, until: seconds(10) });
    assert_eq!((open.breaker.opening.calls, open.breaker.opening.failures), (1, 1));
    assert_eq!(destinations.open_hosts(&ChannelName::new("op").expect("a name"), 10).count, 0);

    let probe = claim(3, HOOK);
    let pass = admit(&destinations, &probe, seconds(10)).expect("its time is up");
    learn(&destinations, &probe, pass, &sent(), seconds(10));
    assert_eq!(destinations.open_hosts(&ops(), 10).count, 1);
    let expected = [
        ("open", BreakerReason::Consecutive),
        ("open", BreakerReason::Consecutive),
        ("half-open", BreakerReason::TimeUp),
        ("closed", BreakerReason::ProbesPassed),
    ];
    assert_eq!(changes(&destinations).await, expected);
}

#[tokio::test]
async fn one_host_is_reset_or_all_of_a_channel_and_the_others_stay() {
    let destinations = destinations(strict());
    for (number, address) in (1..).zip([HOOK, "https://a.example/", "https://b.example/"]) {
        fail(&destinations, number, address);
    }
    let _ = changes(&destinations).await;
    assert!(!destinations.reset_host(&ops(), "c.example", START), "it is not left alone");
    assert!(destinations.reset_host(&ops(), HOST, START));
    assert!(!destinations.reset_host(&ops(), HOST, START));
    assert_eq!(changes(&destinations).await, [("closed", BreakerReason::Reset)]);
    assert!(admit(&destinations, &claim(4, HOOK), START).is_ok());
    assert_eq!(admit(&destinations, &claim(5, "https://a.example/"), START), Err(seconds(10)));
    destinations.reset(&ops(), START);
    assert_eq!(changes(&destinations).await, [("closed", BreakerReason::Reset); 2]);
    assert_eq!(destinations.open_hosts(&ops(), 10).count, 0);
    assert!(admit(&destinations, &claim(5, "https://a.example/"), START).is_ok());
}

#[test]
fn what_was_remembered_of_a_host_holds_from_the_first_call_on() {
    let first = destinations(strict());
    fail(&first, 1, HOOK);
    let books = |destinations: &Destinations| -> Vec<HostBook> {
        let open = destinations.open_hosts(&ops(), 10).hosts.into_iter();
        open.map(|open| HostBook { host: open.host, breaker: open.breaker, reason: open.reason }).collect()
    };
    let second = destinations(strict());
    second.restore(&ops(), &books(&first), seconds(1));
    assert_eq!(admit(&second, &claim(2, HOOK), seconds(1)), Err(seconds(10)));
    assert_eq!(books(&second), books(&first));
    assert!(admit(&second, &claim(3, HOOK), seconds(10)).is_ok());

    let without = destinations(Pace::default());
    without.restore(&ops(), &books(&first), seconds(1));
    assert_eq!((admit(&without, &claim(2, HOOK), seconds(1)), without.open_hosts(&ops(), 10).count), (Ok(None), 0));
    let _ = first.set(Paces::default(), seconds(1));
    assert_eq!(first.open_hosts(&ops(), 10).count, 0, "hosts have no breakers any more");
}

#[test]
fn who_waits_can_be_told_what_for() {
    let rates = Pace { per_recipient: Some(rate("1/m")), per_host: Some(rate("1/s")), ..strict() };
    let destinations = destinations(rates);
    let waits = |number, address: &str, now| {
        let claim = claim(number, address);
        destinations.turn_of(&claim.channel, address, claim.delivery, now)
    };
    let (ada, bob) = ("https://a.example/ada", "https://a.example/bob");
    assert_eq!(waits(1, ada, START), None, "nothing is known of it");
    assert!(admit(&destinations, &claim(1, ada), START).is_ok());
    assert!(admit(&destinations, &claim(2, ada), START).is_err());
    assert!(admit(&destinations, &claim(3, bob), START).is_err());
    assert_eq!(waits(2, ada, START), Some((TurnOf::Recipient, seconds(60))));
    assert_eq!(waits(3, bob, START), Some((TurnOf::Host, seconds(1))));
    assert_eq!(waits(3, bob, seconds(1)), None, "its turn is now");
    fail(&destinations, 4, HOOK);
    assert_eq!(waits(5, HOOK, START), Some((TurnOf::HostBreaker, seconds(10))));
    assert_eq!(waits(5, "https://other.example/", START), None);
}
