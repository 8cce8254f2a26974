use super::*;
use proptest::prelude::*;

fn schedule_ms(policy: &RetryPolicy) -> Vec<u128> {
    (1..=policy.max_retries).map(|retry| policy.backoff.wait(retry).as_millis()).collect()
}

/// The promise to users: changing one of these is a breaking change.
#[test]
fn the_named_policies_keep_their_schedules() {
    let told: Vec<(&str, Vec<u128>, u64)> = RetryPolicy::named()
        .into_iter()
        .map(|(name, policy)| (name, schedule_ms(&policy), policy.max_age.as_secs() / 3_600))
        .collect();
    let (s, min, h) = (1_000, 60_000, 3_600_000);
    assert_eq!(
        told,
        [
            ("default", vec![s, 2 * s, 4 * s, 8 * s, 16 * s], 72),
            ("standard", vec![s, 2 * s], 72),
            ("aggressive", vec![200, 400, 800, 1_600], 72),
            ("conservative", vec![30 * s], 72),
            ("email", vec![min, 5 * min, 25 * min], 72),
            ("webhook", vec![5 * s, 30 * s], 72),
            ("standard-webhooks", vec![5 * s, 5 * min, 30 * min, 2 * h, 5 * h, 10 * h, 14 * h, 20 * h, 24 * h], 96),
            ("callback", vec![s, 2 * s, 4 * s], 72),
        ]
    );
}

#[test]
fn the_named_policies_keep_their_windows() {
    let told: Vec<(&str, u128, u128)> = RetryPolicy::named()
        .into_iter()
        .map(|(name, policy)| (name, policy.window().0.as_millis(), policy.window().1.as_millis()))
        .collect();
    assert_eq!(
        told,
        [
            ("default", 31_000, 34_100),
            ("standard", 0, 3_000),
            ("aggressive", 3_000, 3_300),
            ("conservative", 30_000, 33_000),
            ("email", 1_860_000, 2_046_000),
            ("webhook", 35_000, 38_500),
            ("standard-webhooks", 272_105_000, 299_315_500),
            ("callback", 7_000, 7_700),
        ]
    );
}

#[test]
fn every_attempt_of_a_named_policy_can_be_made_before_it_is_given_up() {
    for (name, policy) in RetryPolicy::named() {
        assert!(policy.window().1 < policy.max_age, "{name}: {policy:?}");
    }
}

#[test]
fn a_schedule_repeats_its_last_wait() {
    let policy = RetryPolicy { max_retries: 4, ..RetryPolicy::webhook() };
    assert_eq!(schedule_ms(&policy), [5_000, 30_000, 30_000, 30_000]);
}

#[test]
fn linear_waits_grow_by_the_first_one_up_to_the_cap() {
    let policy = RetryPolicy { max_retries: 12, ..RetryPolicy::conservative() };
    let seconds: Vec<u128> = schedule_ms(&policy).iter().map(|ms| ms / 1_000).collect();
    assert_eq!(seconds, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
}

fn interval() -> impl Strategy<Value = Duration> {
    (1_u64..=86_400_000).prop_map(Duration::from_millis)
}

fn backoff() -> impl Strategy<Value = Backoff> {
    let max_interval = Duration::from_mins(5);
    prop_oneof![
        (interval(), 1.0_f64..1e6).prop_map(move |(initial, factor)| Backoff::Exponential {
            initial,
            factor,
            max_interval
        }),
        interval().prop_map(move |initial| Backoff::Linear { initial, max_interval }),
        interval().prop_map(move |initial| Backoff::Fibonacci { initial, max_interval }),
        (1_u64..=300_000).prop_map(|ms| Backoff::Fixed { interval: Duration::from_millis(ms) }),
        prop::collection::vec(1_u64..=300_000, 1..20)
            .prop_map(|waits| Backoff::Schedule { waits: waits.into_iter().map(Duration::from_millis).collect() }),
    ]
}

fn jitter() -> impl Strategy<Value = Jitter> {
    prop_oneof![
        Just(Jitter::None),
        Just(Jitter::Full),
        Just(Jitter::Equal),
        (0.0_f64..=1.0).prop_map(Jitter::Plus),
        (0.0_f64..=1.0).prop_map(Jitter::PlusMinus),
    ]
}

prop_compose! {
    fn policy()(backoff in backoff(), jitter in jitter(), max_retries in 1_u32..u32::MAX) -> RetryPolicy {
        RetryPolicy { backoff, jitter, max_retries, ..RetryPolicy::default() }
    }
}

proptest! {
    #[test]
    fn a_wait_stays_within_the_bounds_of_its_jitter(
        policy in policy(), retry in 1_u32..10_000, roll in 0.0_f64..1.0
    ) {
        prop_assume!(retry <= policy.max_retries);
        let (least, most) = policy.jitter.bounds(policy.backoff.wait(retry));
        let wait = policy.wait(retry, None, roll).expect("allowed");
        prop_assert!(wait >= least && wait <= most, "{wait:?} of {least:?} to {most:?}");
        prop_assert!(most <= policy.backoff.wait(retry) * 2);
    }

    #[test]
    fn no_wait_is_over_the_cap_however_many_retries(policy in policy(), retry in 1_u32..=u32::MAX) {
        prop_assert!(policy.backoff.wait(retry) <= Duration::from_mins(5));
    }

    #[test]
    fn waits_that_grow_never_shrink(policy in policy(), retry in 1_u32..10_000) {
        prop_assume!(!matches!(policy.backoff, Backoff::Schedule { .. }));
        prop_assert!(policy.backoff.wait(retry + 1) >= policy.backoff.wait(retry));
    }

    #[test]
    fn a_hint_only_delays_and_at_most_a_day(
        policy in policy(), retry in 1_u32..100, hint_s in 0_u64..1_000_000, roll in 0.0_f64..1.0
    ) {
        prop_assume!(retry <= policy.max_retries);
        let without = policy.wait(retry, None, roll).expect("allowed");
        let with = policy.wait(retry, Some(Duration::from_secs(hint_s)), roll).expect("allowed");
        prop_assert!(with >= without);
        prop_assert!(with <= without.max(RetryPolicy::HINT_MAX));
    }

    #[test]
    fn never_earlier_than_planned_where_jitter_only_adds(
        policy in policy(), share in 0.0_f64..=1.0, retry in 1_u32..100, roll in 0.0_f64..1.0
    ) {
        prop_assume!(retry <= policy.max_retries);
        let policy = RetryPolicy { jitter: Jitter::Plus(share), ..policy };
        // A float of seconds rounds to the nanosecond.
        let wait = policy.wait(retry, None, roll).expect("allowed") + Duration::from_nanos(1);
        prop_assert!(wait >= policy.backoff.wait(retry));
    }

    #[test]
    fn no_retry_is_left_after_the_last(policy in policy(), beyond in 1_u32..100) {
        let policy = RetryPolicy { max_retries: policy.max_retries % 10_000, ..policy };
        prop_assert_eq!(policy.wait(policy.max_retries + beyond, None, 0.5), None);
        prop_assert_eq!(policy.wait(0, None, 0.5), None);
    }
}
