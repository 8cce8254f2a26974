use governor::clock::{Clock as _, FakeRelativeClock};
use governor::{Quota, RateLimiter};
use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn rate(text: &str) -> Rate {
    text.parse().expect("a rate")
}

#[test]
fn a_rate_reads_as_it_is_written() {
    for text in ["50/s", "5/m", "100/h", "1000/d", "5/10s", "1/500ms", "4294967295/s"] {
        assert_eq!(rate(text).to_string(), text);
    }
    assert_eq!(rate("3/60s"), rate("3/m"));
    assert_eq!(Rate::new(7, Duration::from_millis(1_500)).expect("a rate").to_string(), "7/1500ms");
    assert_eq!(Rate::per_second(10), rate("10/s"));
    assert_eq!(Rate::per_second(123_457), rate("123457/s"));
}

#[test]
fn what_fits_into_a_tenth_of_a_second_may_go_at_once() {
    let bursts = ["9/s", "10/s", "50/s", "5/m", "100000/m", "1000/d"].map(|text| rate(text).burst());
    assert_eq!(bursts, [1, 1, 5, 1, 166, 1]);
    assert_eq!(rate("50/s").with_burst(0).burst(), 1);
    assert_eq!(rate("50/s").with_burst(20).burst(), 20);
}

#[test]
fn what_is_no_rate_is_refused_with_what_to_write() {
    let refused = |text: &str| text.parse::<Rate>().expect_err("refused").to_string();
    assert_eq!(refused("0/s"), "a rate of 0 allows nothing; write at least 1, as in `1/s`");
    for text in
        ["", "5", "5/", "/s", "5/w", "5/0x1s", "-5/s", "+5/s", "5 /s", "4294967296/s", "5/99999999999999999999s"]
    {
        assert_eq!(
            refused(text),
            format!("`{text}` is not a rate; write a number and a time, as in `50/s`, `5/m`, `100/h` or `1000/d`")
        );
    }
    let range = "its time is a whole number of milliseconds, from 1 ms to 31622400s";
    assert_eq!(refused("1/0s"), format!("a rate over 0ns; {range}"));
    assert_eq!(refused("1/367d"), format!("a rate over 31708800s; {range}"));
    let odd = Rate::new(1, Duration::from_nanos(1)).expect_err("refused");
    assert_eq!(odd.to_string(), format!("a rate over 1ns; {range}"));
}

#[test]
fn fifty_a_second_go_five_at_once_and_then_every_twenty_milliseconds() {
    let (rate, mut cell, start) = (rate("50/s"), Gcra::default(), 1_700_000_000_000);
    for _ in 0..5 {
        assert_eq!(cell.next(rate, at(start)), at(start));
        cell.take(rate, at(start));
    }
    for millis in [20, 40, 60] {
        assert_eq!(cell.next(rate, at(start + millis - 1)), at(start + millis));
        assert_eq!(cell.next(rate, at(start + millis)), at(start + millis));
        cell.take(rate, at(start + millis));
    }
    let later = start + 10_000;
    let at_once = (0..10).take_while(|_| cell.reserve(rate, at(later)) == at(later)).count();
    assert_eq!(at_once, 5, "a silence saves up no more than the burst");
}

#[test]
fn places_in_line_are_given_one_after_the_other() {
    let (rate, mut cell) = (rate("2/m"), Gcra::default());
    let places: Vec<u64> = (0..4).map(|_| cell.reserve(rate, at(1_000)).as_millis()).collect();
    assert_eq!(places, [1_000, 31_000, 61_000, 91_000]);
    assert_eq!(cell.next(rate, at(2_000)), at(121_000), "what is reserved is not there for others");
}

/// With more of them to a millisecond than one, a place that is reserved for later must not let others in before it.
#[test]
fn a_place_within_the_next_millisecond_is_not_now() {
    let (rate, mut cell) = (rate("5000/s").with_burst(1), Gcra::default());
    let places: Vec<u64> = (0..4).map(|_| cell.reserve(rate, at(10)).as_millis()).collect();
    assert_eq!(places, [10, 11, 12, 13]);
}

#[test]
fn a_clock_that_steps_back_counts_as_the_latest_seen() {
    let (rate, mut cell) = (rate("10/s").with_burst(3), Gcra::default());
    cell.take(rate, at(60_000));
    for _ in 0..2 {
        assert_eq!(cell.next(rate, at(10)), at(10), "two more conform at the latest moment seen");
        cell.take(rate, at(10));
    }
    assert_eq!(cell.next(rate, at(10)), at(60_100));
}

#[test]
fn another_rate_holds_from_the_next_on() {
    let mut cell = Gcra::default();
    cell.take(rate("1/s"), at(1_000));
    assert_eq!(cell.next(rate("1/s"), at(1_000)), at(2_000));
    cell.take(rate("4/s"), at(2_000));
    assert_eq!(cell.next(rate("4/s"), at(2_000)), at(2_250));
}

#[test]
fn the_end_of_time_is_no_trap() {
    let (rate, mut cell) = (rate("1/366d").with_burst(u32::MAX), Gcra::default());
    cell.take(rate, Timestamp::MAX);
    cell.take(rate, Timestamp::MAX);
    assert_eq!(cell.next(rate, Timestamp::MAX), Timestamp::MAX);
}

fn any_rate() -> impl Strategy<Value = Rate> {
    (1_u32..5_000, prop::sample::select(vec![500_u64, 1_000, 7_000, 60_000]), 1_u32..50).prop_map(
        |(count, millis, burst)| Rate::new(count, Duration::from_millis(millis)).expect("a rate").with_burst(burst),
    )
}

proptest! {
    #[test]
    fn in_no_stretch_of_time_go_more_than_allowed(
        rate in any_rate(), pauses in prop::collection::vec((0_u64..300, 1_usize..8), 1..80),
    ) {
        let (mut cell, mut clock, mut went) = (Gcra::default(), 1_700_000_000_000, Vec::new());
        for (pause, tries) in pauses {
            clock += pause;
            for _ in 0..tries {
                if cell.next(rate, at(clock)) == at(clock) {
                    cell.take(rate, at(clock));
                    went.push(clock);
                }
            }
        }
        for (first, from) in went.iter().enumerate() {
            for (count, to) in went[first..].iter().enumerate() {
                let stretch_ns = u128::from(to - from) * 1_000_000;
                prop_assert!((count + 1) as u128 <= u128::from(rate.burst()) + stretch_ns / rate.interval().as_nanos());
            }
        }
    }

    #[test]
    fn whoever_asks_later_is_told_no_earlier_instant(
        rate in any_rate(), pauses in prop::collection::vec(0_u64..300, 1..200),
    ) {
        let (mut cell, mut clock, mut last) = (Gcra::default(), 1_700_000_000_000, at(0));
        for pause in pauses {
            clock += pause;
            let place = cell.reserve(rate, at(clock));
            prop_assert!(place >= last && place >= at(clock));
            last = place;
        }
    }

    /// Against the crate that many programs hold their rates with: the same goes, and the same waits.
    #[test]
    fn it_agrees_with_governor(
        rate in any_rate(), pauses in prop::collection::vec((0_u64..300, 1_usize..8), 1..200),
    ) {
        let clock = FakeRelativeClock::default();
        let burst = rate.burst().try_into().expect("at least one");
        let quota = Quota::with_period(rate.interval()).expect("more than nothing").allow_burst(burst);
        let theirs = RateLimiter::direct_with_clock(quota, clock.clone());
        let (mut ours, start, mut passed) = (Gcra::default(), 1_700_000_000_000, 0);
        for (pause, tries) in pauses {
            clock.advance(Duration::from_millis(pause));
            passed += pause;
            let now = at(start + passed);
            for _ in 0..tries {
                let next = ours.next(rate, now);
                match theirs.check() {
                    Ok(()) => {
                        prop_assert_eq!(next, now);
                        ours.take(rate, now);
                    }
                    Err(refused) => prop_assert_eq!(next, now.after(refused.wait_time_from(clock.now()))),
                }
            }
        }
    }
}
