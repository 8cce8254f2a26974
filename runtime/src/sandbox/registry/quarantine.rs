//! When a version of a plugin has failed too often to be called any longer. Pure: whoever calls brings the moment.
//!
//! *Invariants:* memory is bounded however many calls there are. One poisonous message is not the plugin's fault: it
//! takes faults on several notifications. Calls that nobody judged count for nothing.

use crate::domain::{AttemptEnd, NotificationId, Timestamp};

/// What is looked at: the second that is running and those before it.
const WINDOW_S: u64 = 60;

/// The most notifications that any rule asks for, and so as many as are remembered.
const NOTIFICATIONS_MAX: usize = 3;

/// How much is too much, within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// So many faults at least,
    pub(super) faults: u32,
    /// on so many notifications at least: up to [`NOTIFICATIONS_MAX`],
    pub(super) notifications: usize,
    /// which are so many in a hundred of all calls at least.
    pub(super) percent: u32,
}

impl Rule {
    /// Of a version that serves: half of what it does fails, and not on one message only.
    pub(super) const SERVING: Self = Self { faults: 5, notifications: 3, percent: 50 };
    /// Of a version on trial: there is one beside it that works, so doubt is enough.
    pub(super) const TRIAL: Self = Self { faults: 3, notifications: 2, percent: 0 };
}

/// Good ends in a row after which a version on trial has proved itself.
pub(super) const PROOF: u32 = 20;

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    at: u64,
    calls: u32,
    faults: u32,
}

/// What the end of a call says of the version that was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: nobody judged it.
    None,
    /// It answered.
    Good,
    /// A provider was slow: a call like any other, and no proof.
    Slow,
    /// It failed.
    Fault,
}

impl Verdict {
    pub(super) const fn of(end: &AttemptEnd) -> Self {
        match end {
            AttemptEnd::Interrupted { .. } => Self::None,
            AttemptEnd::Fault { .. } => Self::Fault,
            AttemptEnd::Outcome(_) => Self::Good,
            AttemptEnd::HostDeadline { .. } => Self::Slow,
        }
    }
}

/// How the calls of one version went.
#[derive(Debug)]
pub(super) struct Conduct {
    /// By second, modulo the window.
    seconds: [Second; WINDOW_S as usize],
    /// Notifications of the newest faults, each once, with the second of its newest; the newest first.
    faulted: Vec<(NotificationId, u64)>,
    latest: u64,
    /// Calls that the plugin answered since its last fault.
    good: u32,
    /// Faults since it was first called.
    faults: u64,
}

/// Why a version is not to be called any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    faults: u32,
    calls: u32,
    rule: Rule,
}

impl std::fmt::Display for TooMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Rule { faults, notifications, percent } = self.rule;
        write!(f, "{} of {} calls within {WINDOW_S} s ended by its own fault; ", self.faults, self.calls)?;
        write!(f, "the limit is {faults} on {notifications} notifications")?;
        if percent > 0 { write!(f, " and {percent} % of the calls") } else { Ok(()) }
    }
}

impl Conduct {
    pub(super) fn new() -> Self {
        Self {
            seconds: [Second::default(); WINDOW_S as usize],
            faulted: Vec::with_capacity(NOTIFICATIONS_MAX),
            latest: 0,
            good: 0,
            faults: 0,
        }
    }

    /// Counts the end of a call. An error says that it was one too many.
    pub(super) fn count(
        &mut self,
        verdict: Verdict,
        notification: NotificationId,
        now: Timestamp,
        rule: Rule,
    ) -> Result<(), TooMany> {
        if verdict == Verdict::None {
            return Ok(());
        }
        // A clock that is set back stands still here.
        self.latest = self.latest.max(now.as_millis() / 1_000);
        let at = self.latest;
        let second = &mut self.seconds[(at % WINDOW_S) as usize];
        if second.at != at {
            *second = Second { at, ..Second::default() };
        }
        second.calls = second.calls.saturating_add(1);
        if verdict != Verdict::Fault {
            if verdict == Verdict::Good {
                self.good = self.good.saturating_add(1);
            }
            return Ok(());
        }
        second.faults = second.faults.saturating_add(1);
        self.good = 0;
        self.faults = self.faults.saturating_add(1);
        self.faulted.retain(|(known, _)| *known != notification);
        self.faulted.truncate(NOTIFICATIONS_MAX - 1);
        self.faulted.insert(0, (notification, at));
        self.judge(rule)
    }

    fn judge(&self, rule: Rule) -> Result<(), TooMany> {
        let in_window = |at: u64| at + WINDOW_S > self.latest;
        let (calls, faults) = self
            .seconds
            .iter()
            .filter(|second| in_window(second.at))
            .fold((0_u32, 0_u32), |(calls, faults), second| {
                (calls.saturating_add(second.calls), faults.saturating_add(second.faults))
            });
        let notifications = self.faulted.iter().filter(|(_, at)| in_window(*at)).count();
        let share = u64::from(faults) * 100 >= u64::from(calls) * u64::from(rule.percent);
        if faults >= rule.faults && notifications >= rule.notifications && share {
            return Err(TooMany { faults, calls, rule });
        }
        Ok(())
    }

    /// Whether it was called often enough, and well.
    pub(super) const fn is_proven(&self) -> bool {
        self.good >= PROOF
    }

    /// Faults since it was first called.
    pub(super) const fn faults(&self) -> u64 {
        self.faults
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Fault, Interruption, Outcome, Receipt};

    fn fault() -> Verdict {
        Verdict::of(&AttemptEnd::Fault { fault: Fault::Trap, message: String::new() })
    }

    fn sent() -> Verdict {
        Verdict::of(&AttemptEnd::Outcome(Outcome::Sent(Receipt::default())))
    }

    #[test]
    fn what_was_too_much_is_told_with_the_limit() {
        let told = [Rule::SERVING, Rule::TRIAL].map(|rule| TooMany { faults: 7, calls: 9, rule }.to_string());
        insta::assert_snapshot!(told.join("\n"), @r"
        7 of 9 calls within 60 s ended by its own fault; the limit is 5 on 3 notifications and 50 % of the calls
        7 of 9 calls within 60 s ended by its own fault; the limit is 3 on 2 notifications
        ");
    }

    fn at_s(second: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + second * 1_000)
    }

    fn notification(number: u8) -> NotificationId {
        NotificationId::from_bytes([number; 16])
    }

    /// Counts faults on these notifications, one a second; answers at which the rule struck.
    fn strikes_at(conduct: &mut Conduct, notifications: &[u8], rule: Rule) -> Option<usize> {
        let count = |(second, number): (usize, &u8)| {
            conduct.count(fault(), notification(*number), at_s(second as u64), rule).is_err()
        };
        notifications.iter().enumerate().map(count).position(|struck| struck)
    }

    #[test]
    fn the_fifth_fault_on_the_third_notification_is_one_too_many() {
        assert_eq!(strikes_at(&mut Conduct::new(), &[1, 2, 3, 1, 2], Rule::SERVING), Some(4));
        assert_eq!(strikes_at(&mut Conduct::new(), &[1, 1, 1, 1, 1, 1, 2, 2, 3], Rule::SERVING), Some(8));
        assert_eq!(strikes_at(&mut Conduct::new(), &[1, 2, 3], Rule::TRIAL), Some(2));
    }

    #[test]
    fn one_poisonous_message_is_not_the_plugins_fault() {
        assert_eq!(strikes_at(&mut Conduct::new(), &[1; 50], Rule::SERVING), None);
        assert_eq!(strikes_at(&mut Conduct::new(), &[1; 50], Rule::TRIAL), None);
    }

    #[test]
    fn a_plugin_that_mostly_works_goes_on() {
        let mut conduct = Conduct::new();
        for number in 0..60 {
            assert!(conduct.count(sent(), notification(0), at_s(0), Rule::SERVING).is_ok());
            if number % 2 == 0 {
                let counted = conduct.count(fault(), notification(number), at_s(0), Rule::SERVING);
                assert!(number == 0 || counted.is_ok(), "{number}");
            }
        }
    }

    #[test]
    fn what_nobody_judged_counts_for_nothing() {
        let mut conduct = Conduct::new();
        let interrupted = AttemptEnd::Interrupted { interruption: Interruption::PoolFull, message: String::new() };
        for number in 0..100 {
            assert!(conduct.count(Verdict::of(&interrupted), notification(number), at_s(0), Rule::TRIAL).is_ok());
        }
        assert_eq!(strikes_at(&mut conduct, &[1, 2, 3, 4, 5], Rule::SERVING), Some(4));
    }

    #[test]
    fn twenty_good_ends_in_a_row_are_a_proof() {
        let mut conduct = Conduct::new();
        let mut count = |verdict: Verdict| {
            assert!(conduct.count(verdict, notification(1), at_s(0), Rule::TRIAL).is_ok());
            conduct.is_proven()
        };
        for _ in 1..PROOF {
            assert!(!count(sent()));
        }
        assert!(!count(fault()), "a fault begins anew");
        for _ in 1..PROOF {
            assert!(!count(sent()));
        }
        assert!(
            !count(Verdict::of(&AttemptEnd::HostDeadline { message: "no answer".to_owned() })),
            "a slow provider proves nothing"
        );
        assert!(count(sent()));
    }

    proptest! {
        /// The same as counting everything by hand, whatever happens when.
        #[test]
        fn the_window_says_what_the_whole_history_says(
            steps in proptest::collection::vec((0_u64..25, 0_u8..5, any::<bool>()), 1..300),
            faults in 1_u32..8, notifications in 1_usize..=NOTIFICATIONS_MAX, percent in 0_u32..=100,
        ) {
            let rule = Rule { faults, notifications, percent };
            let mut conduct = Conduct::new();
            let mut history: Vec<(u64, u8, bool)> = Vec::new();
            let mut now = 0;
            for (wait, number, is_fault) in steps {
                // Mostly close together, sometimes far apart.
                now += if wait > 20 { wait * 3 } else { wait / 8 };
                history.push((now, number, is_fault));
                let end = if is_fault { fault() } else { sent() };
                let struck = conduct.count(end, notification(number), at_s(now), rule).is_err();
                let recent: Vec<_> = history.iter().filter(|(at, ..)| at + WINDOW_S > now).collect();
                let failed: Vec<_> = recent.iter().filter(|(.., is_fault)| *is_fault).collect();
                let distinct: std::collections::BTreeSet<_> = failed.iter().map(|(_, number, _)| *number).collect();
                let expected = is_fault
                    && failed.len() >= faults as usize
                    && distinct.len() >= notifications
                    && failed.len() * 100 >= recent.len() * percent as usize;
                prop_assert_eq!(struck, expected);
                prop_assert!(conduct.faulted.len() <= NOTIFICATIONS_MAX);
            }
        }
    }
}
