use std::sync::{Barrier, Mutex};
use std::thread;

use proptest::prelude::*;

use super::Verdict::{Bad, Good, Neutral};
use super::*;

const FAST: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_secs(8);

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

fn breaker() -> CircuitBreaker {
    CircuitBreaker::new(BreakerPolicy::default())
}

fn call(breaker: &mut CircuitBreaker, verdict: Verdict, took: Duration, now: Timestamp) -> Option<BreakerChange> {
    let (pass, _) = breaker.begin(now);
    breaker.end(pass, verdict, took, now)
}

/// Opens a closed one by failures in a row.
fn trip(breaker: &mut CircuitBreaker, now: Timestamp) -> BreakerChange {
    (0..5).find_map(|_| call(breaker, Bad, FAST, now)).expect("five failures open it")
}

fn open_until(state: BreakerState) -> Timestamp {
    match state {
        BreakerState::Open { until, .. } => until,
        other => panic!("it is {other:?}"),
    }
}

#[test]
fn five_failures_in_a_row_open_it_for_ten_seconds_to_the_millisecond() {
    let mut breaker = breaker();
    for _ in 0..4 {
        assert_eq!(call(&mut breaker, Bad, FAST, at(0)), None);
    }
    assert_eq!(call(&mut breaker, Neutral, FAST, at(0)), None, "it says nothing");
    let change = call(&mut breaker, Bad, FAST, at(0)).expect("the fifth");
    let open = BreakerState::Open { since: at(0), until: at(10_000) };
    assert_eq!(change, BreakerChange { from: BreakerState::Closed, to: open, reason: BreakerReason::Consecutive });
    assert_eq!(breaker.admits(at(9_999)), Admission::At(at(10_000)));
    assert_eq!(breaker.admits(at(10_000)), Admission::Now);
    assert_eq!(breaker.state(), open, "a look changes nothing");
    let (_, change) = breaker.begin(at(10_000));
    let half_open = BreakerState::HalfOpen { since: at(10_000) };
    assert_eq!(change, Some(BreakerChange { from: open, to: half_open, reason: BreakerReason::TimeUp }));
}

#[test]
fn half_of_ten_calls_open_it_and_more_of_nine_do_not() {
    let mut breaker = breaker();
    for number in 0..9 {
        let verdict = if number % 2 == 0 { Bad } else { Good };
        assert_eq!(call(&mut breaker, verdict, FAST, at(0)), None);
    }
    assert_eq!(breaker.counts(at(0)), BreakerCounts { calls: 9, failures: 5, slow: 0, consecutive: 1 });
    let change = call(&mut breaker, Good, FAST, at(0)).expect("five of ten");
    assert_eq!(change.reason, BreakerReason::FailureRate);
}

#[test]
fn four_of_five_slow_calls_open_it_though_they_are_good() {
    let mut breaker = breaker();
    for _ in 0..2 {
        assert_eq!(call(&mut breaker, Good, SLOW - Duration::from_nanos(1), at(0)), None);
    }
    for _ in 0..7 {
        assert_eq!(call(&mut breaker, Good, SLOW, at(0)), None);
    }
    let change = call(&mut breaker, Good, SLOW, at(0)).expect("eight of ten");
    assert_eq!(change.reason, BreakerReason::SlowRate);
}

#[test]
fn what_left_the_window_opens_nothing() {
    let mut breaker = breaker();
    for _ in 0..4 {
        call(&mut breaker, Bad, FAST, at(0));
    }
    call(&mut breaker, Good, FAST, at(0));
    assert_eq!(breaker.counts(at(29_999)), BreakerCounts { calls: 5, failures: 4, slow: 0, consecutive: 0 });
    assert_eq!(breaker.counts(at(30_000)).calls, 0);
    for _ in 0..5 {
        call(&mut breaker, Good, FAST, at(30_000));
    }
    assert_eq!(call(&mut breaker, Bad, FAST, at(30_000)), None);
}

#[test]
fn one_probe_goes_alone_and_a_good_one_lets_three_go() {
    let mut breaker = breaker();
    let until = open_until(trip(&mut breaker, at(0)).to);
    let (first, _) = breaker.begin(until);
    assert_eq!(breaker.admits(until), Admission::AfterProbe);
    assert_eq!(breaker.end(first, Neutral, FAST, until), None);
    assert_eq!(breaker.admits(until), Admission::Now, "its place was given back");
    assert_eq!(call(&mut breaker, Good, FAST, until), None);
    let passes: Vec<_> = (0..3).map(|_| breaker.begin(until).0).collect();
    assert_eq!(breaker.admits(until), Admission::AfterProbe);
    assert_eq!(breaker.end(passes[0], Good, FAST, until), None);
    let change = breaker.end(passes[1], Good, FAST, until).expect("the third good one");
    assert_eq!((change.to, change.reason), (BreakerState::Closed, BreakerReason::ProbesPassed));
    assert_eq!(breaker.end(passes[2], Bad, FAST, until), None);
    assert_eq!(breaker.counts(until), BreakerCounts::default(), "a probe is no call of the time after");
}

#[test]
fn a_bad_or_slow_probe_opens_it_for_twice_as_long_up_to_five_minutes() {
    let mut breaker = breaker();
    let mut until = open_until(trip(&mut breaker, at(0)).to);
    for (number, seconds) in [20, 40, 80, 160, 300, 300, 300].into_iter().enumerate() {
        let (verdict, took) = if number % 2 == 0 { (Bad, FAST) } else { (Good, SLOW) };
        let change = call(&mut breaker, verdict, took, until).expect("it opens again");
        assert_eq!(change.reason, BreakerReason::ProbeFailed);
        assert_eq!(open_until(change.to).since(until), Duration::from_secs(seconds));
        until = open_until(change.to);
    }
    for _ in 0..3 {
        call(&mut breaker, Good, FAST, until);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    let soon = until.after(Duration::from_millis(59_999));
    let change = trip(&mut breaker, soon);
    assert_eq!(open_until(change.to).since(soon), Duration::from_secs(160), "one window has passed, not two");
}

#[test]
fn calls_of_an_earlier_time_count_for_nothing() {
    let mut breaker = breaker();
    let old: Vec<_> = (0..20).map(|_| breaker.begin(at(0)).0).collect();
    let until = open_until(trip(&mut breaker, at(0)).to);
    let (probe, _) = breaker.begin(until);
    for pass in &old[..10] {
        assert_eq!(breaker.end(*pass, Bad, SLOW, until), None);
    }
    assert_eq!(breaker.admits(until), Admission::AfterProbe, "the probe's place is still taken");
    breaker.end(probe, Good, FAST, until);
    call(&mut breaker, Good, FAST, until);
    call(&mut breaker, Good, FAST, until).expect("closed");
    for pass in &old[10..] {
        assert_eq!(breaker.end(*pass, Bad, SLOW, until), None);
    }
    assert_eq!(breaker.counts(until).calls, 0);
}

#[test]
fn three_days_without_a_good_probe_disable_it_until_it_is_reset() {
    let mut breaker = breaker();
    let mut until = open_until(trip(&mut breaker, at(0)).to);
    let day = 86_400_000;
    while until < at(3 * day) {
        assert_eq!(breaker.check(until.before(Duration::from_millis(1))), None);
        until = open_until(call(&mut breaker, Bad, FAST, until).expect("open again").to);
    }
    let change = breaker.check(at(3 * day)).expect("three days");
    let disabled = BreakerState::Disabled { since: at(3 * day) };
    assert_eq!((change.to, change.reason), (disabled, BreakerReason::TooLong));
    assert_eq!(breaker.admits(Timestamp::MAX), Admission::Never);
    let (pass, began) = breaker.begin(at(4 * day));
    assert_eq!((began, breaker.end(pass, Good, FAST, at(4 * day))), (None, None), "it counts for nothing");
    let change = breaker.reset(at(4 * day)).expect("a change");
    assert_eq!((change.from, change.to, change.reason), (disabled, BreakerState::Closed, BreakerReason::Reset));
    assert_eq!(open_until(trip(&mut breaker, at(4 * day)).to), at(4 * day + 10_000), "all is forgotten");
}

/// A machine that was off for a week, or a channel that nobody used, learns from a probe and not from the calendar.
#[test]
fn a_probe_that_is_due_decides_before_the_days_do() {
    let mut breaker = breaker();
    trip(&mut breaker, at(0));
    let week = at(7 * 86_400_000);
    assert_eq!(breaker.check(week), None);
    assert_eq!(breaker.admits(week), Admission::Now);
    let mut other = breaker.clone();
    let change = call(&mut breaker, Bad, FAST, week).expect("a bad one");
    assert_eq!((change.to, change.reason), (BreakerState::Disabled { since: week }, BreakerReason::TooLong));
    call(&mut other, Good, FAST, week);
    let change = call(&mut other, Bad, FAST, week).expect("open again");
    assert_eq!(change.reason, BreakerReason::ProbeFailed, "a good one has begun the days anew");
    assert_eq!(other.check(week), None);
}

#[test]
fn what_is_remembered_goes_on_where_it_was() {
    let mut first = breaker();
    trip(&mut first, at(0));
    call(&mut first, Bad, FAST, at(10_000));
    let book = first.book();
    let open = BreakerState::Open { since: at(10_000), until: at(30_000) };
    let opening = BreakerCounts { calls: 5, failures: 5, slow: 0, consecutive: 5 };
    assert_eq!(book, BreakerBook { state: open, trips: 1, first_opened: Some(at(0)), opening });

    let mut again = breaker();
    again.restore(book, at(12_000));
    assert_eq!(again.admits(at(12_000)), Admission::At(at(30_000)));
    assert_eq!(again.counts(at(12_000)), opening, "what opened it is not lost");
    let (_, change) = again.begin(at(30_000));
    assert_eq!(change.map(|change| change.to), Some(BreakerState::HalfOpen { since: at(30_000) }));

    let mut probed = breaker();
    probed.restore(again.book(), at(31_000));
    assert_eq!(probed.admits(at(31_000)), Admission::Now);
    assert_eq!(open_until(call(&mut probed, Bad, FAST, at(31_000)).expect("open").to), at(71_000));

    let mut in_the_past = breaker();
    in_the_past.restore(book, Timestamp::from_millis(0));
    assert_eq!(in_the_past.admits(Timestamp::from_millis(0)), Admission::At(Timestamp::from_millis(300_000)));
}

#[test]
fn a_clock_that_steps_back_counts_as_the_latest_seen() {
    let mut breaker = breaker();
    let until = open_until(trip(&mut breaker, at(5_000)).to);
    assert_eq!(until, at(15_000));
    breaker.check(at(15_000));
    assert_eq!(breaker.admits(at(0)), Admission::Now);
    let change = call(&mut breaker, Bad, FAST, at(0)).expect("open");
    assert_eq!(open_until(change.to), at(35_000));
}

#[test]
fn another_policy_leaves_the_state() {
    let mut breaker = breaker();
    let until = open_until(trip(&mut breaker, at(0)).to);
    breaker.set_policy(BreakerPolicy {
        consecutive: 1,
        half_open_calls: 1,
        window: Duration::from_mins(1),
        ..BreakerPolicy::default()
    });
    assert_eq!(breaker.admits(at(1)), Admission::At(until));
    let change = call(&mut breaker, Good, FAST, until).expect("one is enough");
    assert_eq!(change.to, BreakerState::Closed);
    assert!(call(&mut breaker, Bad, FAST, until).is_some());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(u64),
    Begin,
    End(usize, Verdict, Duration),
    Reset,
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![3 => Just(Good), 3 => Just(Bad), 1 => Just(Neutral)];
    let took = prop_oneof![4 => Just(FAST), 1 => Just(SLOW)];
    prop_oneof![
        3 => (0_u64..20_000).prop_map(Step::Wait),
        10 => Just(Step::Begin),
        10 => (any::<usize>(), verdict, took).prop_map(|(which, verdict, took)| Step::End(which, verdict, took)),
        1 => Just(Step::Reset),
        1 => Just(Step::Restore),
    ]
}

/// What a change may lead from and to, by its reason.
fn is_lawful(change: BreakerChange) -> bool {
    use BreakerState::{Closed, Disabled, HalfOpen, Open};
    match change.reason {
        BreakerReason::FailureRate | BreakerReason::SlowRate | BreakerReason::Consecutive => {
            matches!((change.from, change.to), (Closed, Open { .. }))
        }
        BreakerReason::ProbeFailed => matches!((change.from, change.to), (HalfOpen { .. }, Open { .. })),
        BreakerReason::ProbesPassed => matches!((change.from, change.to), (HalfOpen { .. }, Closed)),
        BreakerReason::TimeUp => matches!((change.from, change.to), (Open { .. }, HalfOpen { .. })),
        BreakerReason::Reset => change.from != Closed && change.to == Closed,
        BreakerReason::TooLong => matches!((change.from, change.to), (Open { .. } | HalfOpen { .. }, Disabled { .. })),
    }
}

proptest! {
    #[test]
    fn whatever_the_order_there_are_never_more_probes_than_allowed(
        half_open_calls in 0_u32..5, steps in prop::collection::vec(step(), 1..400),
    ) {
        let mut breaker = CircuitBreaker::new(BreakerPolicy { half_open_calls, ..BreakerPolicy::default() });
        let (mut clock, mut under_way, mut good) = (0, Vec::new(), 0);
        for step in steps {
            let (before, now) = (breaker.state(), at(clock));
            let change = match step {
                Step::Wait(millis) => {
                    clock += millis;
                    breaker.check(at(clock))
                }
                Step::Begin if breaker.admits(now) == Admission::Now => {
                    let (pass, change) = breaker.begin(now);
                    under_way.push((pass, breaker.epoch));
                    change
                }
                Step::End(which, verdict, took) if !under_way.is_empty() => {
                    let (pass, epoch) = under_way.swap_remove(which % under_way.len());
                    let counts = epoch == breaker.epoch && matches!(before, BreakerState::HalfOpen { .. });
                    good += u32::from(counts && verdict == Good && took == FAST);
                    breaker.end(pass, verdict, took, now)
                }
                Step::Begin | Step::End(..) => None,
                Step::Reset => breaker.reset(now),
                Step::Restore => {
                    breaker.restore(breaker.book(), now);
                    good = 0;
                    None
                }
            };
            if let Some(change) = change {
                prop_assert!(is_lawful(change), "{change:?}");
                prop_assert_eq!((change.from, change.to), (before, breaker.state()));
                if change.reason == BreakerReason::ProbesPassed {
                    prop_assert_eq!(good, half_open_calls.max(1));
                }
                good = 0;
            }
            if let BreakerState::HalfOpen { .. } = breaker.state() {
                let probes = under_way.iter().filter(|(_, epoch)| *epoch == breaker.epoch).count() as u32;
                let allowed = if good == 0 { 1 } else { half_open_calls.max(1) };
                prop_assert!(probes <= allowed, "{probes} probes under way, {allowed} allowed");
            }
            let has_opened = breaker.book().first_opened.is_some();
            match breaker.state() {
                BreakerState::Closed => prop_assert!(!has_opened),
                BreakerState::Open { .. } | BreakerState::Disabled { .. } => prop_assert!(has_opened),
                BreakerState::HalfOpen { .. } => {}
            }
        }
    }
}

/// Threads that race for the probes of one breaker never get more of them than its policy allows.
#[test]
fn threads_that_race_never_have_more_probes_than_allowed() {
    struct Shared {
        breaker: CircuitBreaker,
        probes: u32,
        most: u32,
    }
    let mut breaker = breaker();
    let until = open_until(trip(&mut breaker, at(0)).to);
    let shared = Mutex::new(Shared { breaker, probes: 0, most: 0 });
    let start = Barrier::new(8);
    let lock = || shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let work = |seed: usize| {
        start.wait();
        for round in 0..2_000 {
            let mut inside = lock();
            let now = until.after(Duration::from_millis(round as u64));
            if inside.breaker.admits(now) != Admission::Now {
                drop(inside);
                thread::yield_now();
                continue;
            }
            let (pass, _) = inside.breaker.begin(now);
            if pass.is_probe {
                inside.probes += 1;
                inside.most = inside.most.max(inside.probes);
            }
            drop(inside);
            thread::yield_now();
            let mut inside = lock();
            inside.probes -= u32::from(pass.is_probe);
            let verdict = if (seed + round).is_multiple_of(3) { Neutral } else { Good };
            inside.breaker.end(pass, verdict, FAST, now);
            if inside.breaker.state() == BreakerState::Closed && inside.probes == 0 {
                let state = BreakerState::HalfOpen { since: now };
                inside.breaker.restore(BreakerBook { state, ..BreakerBook::default() }, now);
            }
        }
    };
    let work = &work;
    thread::scope(|scope| {
        for seed in 0..8 {
            scope.spawn(move || work(seed));
        }
    });
    let shared = shared.into_inner().expect("no thread panicked");
    assert!((1..=3).contains(&shared.most), "{} probes at once", shared.most);
}
