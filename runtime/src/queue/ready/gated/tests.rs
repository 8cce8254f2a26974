use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::{
    AdaptiveSignal, BreakerBook, BreakerState, DeliveryId, HeldBy, Lane, NotificationId, Position, Priority, Queued,
    Rate, RateScope, Verdict,
};
use crate::queue::{Ended, Hold, SlotCounts, Taken, WindowLimits};

const START: Timestamp = Timestamp::from_millis(1_000_000);
const GOOD: Ended = Ended { called: true, verdict: Verdict::Good, load: AdaptiveSignal::Good, ..Ended::WITHOUT_CALL };
const BAD: Ended = Ended { verdict: Verdict::Bad, load: AdaptiveSignal::Neutral, ..GOOD };

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).expect("a name")
}

fn delivery(number: u64) -> DeliveryId {
    NotificationId::from_bytes(u128::from(number).to_be_bytes()).delivery(0)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn refused(throttled: (RateScope, Timestamp)) -> Ended {
    Ended { verdict: Verdict::Neutral, load: AdaptiveSignal::Refused, throttled: Some(throttled), ..GOOD }
}

struct Rig {
    queue: ReadyQueue,
    now: Timestamp,
    offered: u64,
}

impl Rig {
    fn new(settings: GateSettings) -> Self {
        // Room for all that a test offers: nobody reads pages here.
        let mut queue = ReadyQueue::new(WindowLimits { lane: 4_096, total: 65_536 });
        queue.set_slots(SlotCounts { general: 100, reserved: 10 });
        queue.set_gate(&channel("gated"), settings, START);
        Self { queue, now: START, offered: 0 }
    }

    fn offer(&mut self, to: &str, many: u64) {
        for _ in 0..many {
            self.offered += 1;
            let lane = Lane::shared(Priority::Normal, channel(to));
            let position = Position { due: START, delivery: delivery(self.offered) };
            self.queue.offer(&Queued { lane, position }, self.now);
        }
    }

    fn take(&mut self) -> Option<Taken> {
        self.queue.take(Slot::General, self.now)
    }

    fn take_all(&mut self) -> Vec<Taken> {
        std::iter::from_fn(|| self.take()).collect()
    }

    fn end(&mut self, hold: Hold, ended: Ended) {
        self.queue.release(hold, &ended, self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.queue.advance(self.now);
    }

    fn status(&self) -> GateStatus {
        self.queue.gates().into_iter().find(|gate| gate.channel == channel("gated")).expect("it has a gate")
    }
}

fn ids(taken: &[Taken]) -> Vec<DeliveryId> {
    taken.iter().map(|taken| taken.position.delivery).collect()
}

fn rate(text: &str) -> GateSettings {
    GateSettings { rate: Some(text.parse::<Rate>().expect("a rate")), ..GateSettings::default() }
}

#[test]
fn a_rate_lets_one_go_at_its_instant_and_keeps_the_order() {
    let mut rig = Rig::new(rate("10/s"));
    rig.offer("gated", 3);
    rig.offer("free", 1);
    let first = rig.take_all();
    assert_eq!(ids(&first), [delivery(1), delivery(4)], "who has no limit does not wait");
    assert_eq!(rig.queue.next_due(), Some(START.after(millis(100))));
    rig.pass(millis(99));
    assert_eq!(rig.take(), None);
    rig.pass(millis(1));
    assert_eq!(ids(&rig.take_all()), [delivery(2)]);
    rig.pass(millis(100));
    assert_eq!(ids(&rig.take_all()), [delivery(3)]);
}

#[test]
fn what_was_taken_and_not_called_does_not_count_for_the_rate() {
    let mut rig = Rig::new(rate("10/s"));
    rig.offer("gated", 2);
    let taken = rig.take_all();
    rig.queue.give_back(&taken[0], rig.now);
    rig.end(taken[0].hold, Ended::WITHOUT_CALL);
    assert_eq!(ids(&rig.take_all()), [delivery(1)]);
}

#[test]
fn as_many_are_under_way_as_may_be_and_the_next_goes_when_one_ends() {
    let mut rig = Rig::new(GateSettings { concurrency: Some(2), ..GateSettings::default() });
    rig.offer("gated", 4);
    rig.offer("free", 1);
    let taken = rig.take_all();
    assert_eq!(ids(&taken), [delivery(1), delivery(5), delivery(2)]);
    assert_eq!((rig.status().in_flight, rig.status().limit, rig.queue.next_due()), (2, 2, None));
    rig.end(taken[0].hold, GOOD);
    assert_eq!(ids(&rig.take_all()), [delivery(3)]);
}

#[test]
fn an_open_breaker_spends_probes_and_no_more() {
    let mut rig = Rig::new(GateSettings::default());
    rig.offer("gated", 50);
    for _ in 0..5 {
        let taken = rig.take().expect("it is closed");
        rig.end(taken.hold, BAD);
    }
    assert!(matches!(rig.status().breaker, BreakerState::Open { .. }));
    assert_eq!(rig.take(), None);
    rig.pass(Duration::from_secs(10));
    let probe = rig.take().expect("one may try");
    assert_eq!((rig.take(), rig.status().breaker), (None, BreakerState::HalfOpen { since: rig.now }));
    rig.end(probe.hold, BAD);
    rig.pass(Duration::from_secs(19));
    assert_eq!(rig.take(), None, "the second time it is left alone for twice as long");
    rig.pass(Duration::from_secs(1));
    while !matches!(rig.status().breaker, BreakerState::Closed) {
        let probes = rig.take_all();
        assert!((1..=3).contains(&probes.len()), "{} at once", probes.len());
        probes.into_iter().for_each(|probe| rig.end(probe.hold, GOOD));
    }
    assert_eq!(rig.take_all().len(), 40, "five failed, one probe failed, four were good");
    let told: Vec<&str> =
        rig.queue.take_gate_changes().iter().map(|change| change.changed.change.to.as_str()).collect();
    assert_eq!(told, ["open", "half-open", "open", "half-open", "closed"]);
}

/// Told is what may last, and by whom it is ended; not what passes by itself within moments.
#[test]
fn what_holds_a_channel_is_told_and_what_passes_at_once_is_not() {
    let name = channel("gated");
    let mut rig = Rig::new(GateSettings { concurrency: Some(1), ..rate("10/s") });
    let by = |rig: &Rig| rig.queue.held_by(&name, rig.now).map(HeldBy::as_str);
    rig.offer("gated", 50);
    assert_eq!(by(&rig), None);
    let taken = rig.take().expect("it is due");
    assert_eq!((rig.take(), by(&rig)), (None, None), "its rate and its calls at once are used up");
    rig.end(taken.hold, refused((RateScope::Channel, START.after(millis(100)))));
    assert_eq!(by(&rig), None, "its provider asked for a moment");
    rig.queue.pause(&name, true, rig.now);
    assert_eq!(by(&rig), Some("paused"));
    rig.queue.pause(&name, false, rig.now);
    for _ in 0..5 {
        rig.pass(millis(100));
        let taken = rig.take().expect("it is closed");
        rig.end(taken.hold, BAD);
    }
    assert_eq!(by(&rig), Some("breaker-open"));
    rig.queue.reset_gate(&name, rig.now);
    assert_eq!(by(&rig), None);
    let book = BreakerBook { state: BreakerState::Disabled { since: START }, ..BreakerBook::default() };
    rig.queue.restore_gate(&name, false, book, rig.now);
    assert_eq!(by(&rig), Some("disabled"));
    rig.queue.hold_only(&BTreeSet::from([name.clone(), channel("new")]), rig.now);
    assert_eq!(by(&rig), Some("plugin-held"), "whatever else holds it");
    assert_eq!(rig.queue.held_by(&channel("new"), rig.now), Some(HeldBy::Plugin));
    assert_eq!(rig.queue.held_by(&channel("unknown"), rig.now), None);
}

/// What is accepted while another channel stands in does not wait.
#[test]
fn a_channel_for_which_another_stands_in_holds_nothing() {
    let name = channel("gated");
    let mut rig = Rig::new(GateSettings { detour_after: Some(Duration::from_secs(1)), ..GateSettings::default() });
    rig.offer("gated", 50);
    for _ in 0..5 {
        let taken = rig.take().expect("it is closed");
        rig.end(taken.hold, BAD);
    }
    assert_eq!(rig.queue.held_by(&name, rig.now), Some(HeldBy::Breaker));
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.queue.held_by(&name, rig.now), None);
}

#[test]
fn a_provider_that_asks_for_patience_gets_it_from_all_of_its_account() {
    let account = |name: &str| GateSettings { account: Some(name.into()), ..GateSettings::default() };
    let mut rig = Rig::new(account("one"));
    rig.queue.set_gate(&channel("sister"), account("one"), START);
    rig.queue.set_gate(&channel("other"), account("two"), START);
    for name in ["gated", "sister", "other"] {
        rig.offer(name, 2);
    }
    let taken = rig.take().expect("one is due");
    let until = START.after(Duration::from_secs(7));
    rig.end(taken.hold, refused((RateScope::Account, until)));
    assert_eq!(ids(&rig.take_all()), [delivery(5), delivery(6)], "another account goes on");
    assert_eq!(rig.status().not_before, Some(until));
    rig.pass(Duration::from_secs(7));
    let probes = rig.take_all();
    assert_eq!(probes.len(), 2, "each of them is tried with one call");
    probes.iter().for_each(|probe| rig.end(probe.hold, GOOD));
    assert_eq!(rig.take_all().len(), 1);
}

#[test]
fn who_asked_for_patience_is_tried_with_one_call_before_all_the_others() {
    let mut rig = Rig::new(GateSettings::default());
    rig.offer("gated", 300);
    let limit = |rig: &mut Rig| {
        let until = rig.now.after(Duration::from_secs(5));
        let calls = rig.take_all();
        for call in &calls {
            rig.end(call.hold, refused((RateScope::Channel, until)));
            rig.queue.give_back(call, rig.now);
        }
        rig.pass(Duration::from_secs(5));
        calls.len()
    };
    assert!(limit(&mut rig) > 50, "nobody knows yet");
    assert_eq!((limit(&mut rig), limit(&mut rig), limit(&mut rig)), (1, 1, 1));
    let mut rounds = Vec::new();
    for _ in 0..4 {
        let calls = rig.take_all();
        calls.iter().for_each(|call| rig.end(call.hold, GOOD));
        rounds.push(calls.len());
    }
    assert_eq!(rounds, [1, 2, 4, 8]);
}

#[test]
fn another_rate_holds_at_once_for_what_waits_for_the_one_before() {
    for (new, instant) in [("60/h", Some(millis(60_000))), ("100/s", Some(millis(10))), ("1/d", None)] {
        let mut rig = Rig::new(rate("1/h"));
        rig.offer("gated", 3);
        assert_eq!(rig.take_all().len(), 1);
        rig.queue.set_gate(&channel("gated"), rate(new), rig.now);
        // Who asks for less gets it from the next one on.
        let instant = instant.unwrap_or(Duration::from_hours(1));
        assert_eq!((rig.take(), rig.queue.next_due()), (None, Some(START.after(instant))), "{new}");
        rig.pass(instant);
        assert!(rig.take().is_some(), "{new}");
    }
    let mut rig = Rig::new(rate("1/h"));
    rig.offer("gated", 3);
    assert_eq!(rig.take_all().len(), 1);
    rig.queue.set_gate(&channel("gated"), GateSettings::default(), rig.now);
    assert_eq!(rig.take_all().len(), 2, "nothing holds it back any more");
}

#[test]
fn a_reset_forgets_how_much_of_a_rate_is_used_up() {
    let mut rig = Rig::new(rate("1/h"));
    rig.offer("gated", 2);
    assert_eq!(rig.take_all().len(), 1);
    assert!(rig.status().not_before.is_some());
    assert!(rig.queue.reset_gate(&channel("gated"), rig.now));
    assert_eq!((rig.status().not_before, rig.take_all().len()), (None, 1));
}

#[test]
fn what_is_paused_waits_until_it_is_resumed_and_a_reset_ends_patience() {
    let mut rig = Rig::new(GateSettings::default());
    rig.offer("gated", 2);
    rig.queue.pause(&channel("gated"), true, rig.now);
    rig.queue.hold_only(&BTreeSet::new(), rig.now);
    assert_eq!((rig.take(), rig.queue.next_due()), (None, None));
    assert!(rig.queue.pause(&channel("gated"), false, rig.now));
    let taken = rig.take().expect("it goes on");
    rig.end(
        taken.hold,
        Ended { throttled: Some((RateScope::Channel, rig.now.after(Duration::from_hours(1)))), ..GOOD },
    );
    assert_eq!(rig.take(), None);
    assert!(rig.queue.reset_gate(&channel("gated"), rig.now));
    assert!(rig.take().is_some());
}

#[test]
fn what_waits_for_a_breaker_for_too_long_is_to_go_another_way() {
    let detour_after = Some(Duration::from_secs(4));
    let mut rig = Rig::new(GateSettings { detour_after, ..GateSettings::default() });
    rig.offer("gated", 10);
    for _ in 0..5 {
        let taken = rig.take().expect("it is closed");
        rig.end(taken.hold, BAD);
    }
    assert_eq!((rig.take(), rig.queue.next_due()), (None, Some(START.after(Duration::from_secs(4)))));
    rig.pass(Duration::from_secs(4));
    let detours = rig.take_all();
    assert_eq!((detours.len(), detours.iter().all(|taken| taken.is_detour)), (5, true));
    rig.offer("gated", 1);
    rig.pass(Duration::from_secs(6));
    assert_eq!(rig.take().map(|probe| probe.is_detour), Some(false), "a probe is called all the same");
}

#[test]
fn what_was_known_before_a_restart_is_known_after_it() {
    let mut before = Rig::new(GateSettings::default());
    before.offer("gated", 5);
    while let Some(taken) = before.take() {
        before.end(taken.hold, BAD);
    }
    let book = before.queue.take_gate_changes().pop().expect("it opened").changed.book;
    let mut after = Rig::new(GateSettings::default());
    after.queue.restore_gate(&channel("gated"), false, book, START);
    after.offer("gated", 1);
    assert_eq!(after.take(), None);
    after.pass(Duration::from_secs(10));
    assert!(after.take().is_some());
    after.queue.restore_gate(&channel("gated"), true, BreakerBook::default(), after.now);
    after.offer("gated", 1);
    assert_eq!(after.take(), None, "paused");
}

proptest! {
    /// Whatever happens, what a gate keeps back goes in its order, nothing is lost, nothing goes before the gate lets it,
    /// and in the end all of it has gone.
    #[test]
    fn a_gate_changes_no_order_and_loses_nothing(acts in proptest::collection::vec((0_u8..6, 0_u64..400), 1..200)) {
        let settings = GateSettings { concurrency: Some(3), ..rate("20/s") };
        let mut rig = Rig::new(settings);
        let (mut under_way, mut gone) = (Vec::new(), Vec::new());
        for (act, number) in acts {
            match act {
                0 => rig.offer("gated", number % 7),
                1 | 2 => if let Some(taken) = rig.take() {
                    gone.push(taken.position.delivery);
                    under_way.push(taken.hold);
                    prop_assert!(under_way.len() <= 3);
                },
                3 if !under_way.is_empty() => {
                    let hold = under_way.swap_remove(number as usize % under_way.len());
                    let verdict = if number % 3 == 0 { BAD } else { GOOD };
                    rig.end(hold, verdict);
                }
                4 if !under_way.is_empty() && number % 5 == 0 => {
                    let hold = under_way.swap_remove(0);
                    let until = rig.now.after(millis(number));
                    rig.end(hold, Ended { throttled: Some((RateScope::Channel, until)), ..GOOD });
                }
                _ => rig.pass(millis(number)),
            }
        }
        for _ in 0..10_000 {
            if gone.len() as u64 == rig.offered {
                break;
            }
            under_way.drain(..).for_each(|hold| rig.queue.release(hold, &GOOD, rig.now));
            match rig.take() {
                Some(taken) => {
                    gone.push(taken.position.delivery);
                    under_way.push(taken.hold);
                }
                None => {
                    let due = rig.queue.next_due();
                    prop_assert!(due.is_some(), "something waits, and nobody would look at it again");
                    rig.now = rig.now.max(due.unwrap_or(rig.now));
                    rig.queue.advance(rig.now);
                }
            }
        }
        prop_assert_eq!(gone, (1..=rig.offered).map(delivery).collect::<Vec<_>>());
    }
}
