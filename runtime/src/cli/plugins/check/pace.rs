//! How long a check may take, whatever the plugin does.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::Check;
use crate::config::{CallLimits, format_duration};
use crate::domain::{AttemptEnd, Fault};

/// CPU time that all calls of a check may take together.
const CPU_TIME_MAX: Duration = Duration::from_secs(30);

/// Time that all calls may take together: there is no provider to wait for, so they compute or sleep.
const TIME_MAX: Duration = Duration::from_secs(120);

/// Calls that may end for want of time. One may be an input of its own; a plugin with two is likely to have it with each.
const STARVED_MAX: u32 = 2;

/// What calls have taken so far, and what was left out for it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    cpu_time: Cell<Duration>,
    time: Cell<Duration>,
    starved: Cell<u32>,
    left_out: RefCell<Vec<String>>,
}

impl Pace {
    /// Whether another call may be made.
    pub(super) fn goes_on(&self) -> bool {
        self.starved.get() < STARVED_MAX && self.cpu_time.get() < CPU_TIME_MAX && self.time.get() < TIME_MAX
    }

    /// These limits, with no more time than is left.
    pub(super) fn within(&self, limits: CallLimits, fuel_per_ms: u64) -> CallLimits {
        let left = CPU_TIME_MAX.saturating_sub(self.cpu_time.get());
        let fuel_left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).saturating_mul(fuel_per_ms);
        CallLimits {
            cpu_time: limits.cpu_time.min(left),
            fuel: limits.fuel.map(|fuel| fuel.min(fuel_left)),
            timeout: limits.timeout.min(TIME_MAX.saturating_sub(self.time.get())),
            ..limits
        }
    }

    /// Counts a call that was made.
    pub(super) fn count(&self, end: Option<&AttemptEnd>, cpu_time: Duration, time: Duration) {
        self.cpu_time.set(self.cpu_time.get() + cpu_time);
        self.time.set(self.time.get() + time);
        if end.is_some_and(is_starved) {
            self.starved.set(self.starved.get() + 1);
        }
    }

    /// Takes note of what is not tried any more.
    pub(super) fn leave_out(&self, what: impl Into<String>) {
        self.left_out.borrow_mut().push(what.into());
    }

    /// A failure, where something was left out.
    pub(super) fn verdict(&self) -> Option<Check> {
        let left_out = self.left_out.borrow();
        if left_out.is_empty() {
            return None;
        }
        let why = if self.starved.get() >= STARVED_MAX {
            format!("{STARVED_MAX} calls ended for want of time")
        } else if self.cpu_time.get() >= CPU_TIME_MAX {
            format!("the calls so far took {} of CPU time, all that a check gives", format_duration(CPU_TIME_MAX))
        } else {
            format!("the calls so far took {}, all that a check waits", format_duration(TIME_MAX))
        };
        Some(Check::fail(
            "time",
            format!("{why}, so the rest was not tried: {}", left_out.join(", ")),
            "let every loop and every wait end, then check again",
        ))
    }
}

/// Whether it would have gone on, had there been time.
fn is_starved(end: &AttemptEnd) -> bool {
    match end {
        AttemptEnd::HostDeadline { .. } => true,
        AttemptEnd::Fault { fault, .. } => matches!(fault, Fault::OutOfFuel | Fault::Deadline),
        AttemptEnd::Outcome(_) | AttemptEnd::Interrupted { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(fault: Fault) -> AttemptEnd {
        AttemptEnd::Fault { fault, message: String::new() }
    }

    #[test]
    fn after_the_second_call_without_end_nothing_more_is_tried() {
        let pace = Pace::default();
        for end in [fault(Fault::OutOfFuel), fault(Fault::Trap), fault(Fault::Memory)] {
            pace.count(Some(&end), Duration::from_secs(1), Duration::from_secs(1));
            assert!(pace.goes_on());
        }
        pace.count(Some(&fault(Fault::Deadline)), Duration::from_secs(1), Duration::from_secs(1));
        assert!(!pace.goes_on());
        assert_eq!(pace.verdict(), None, "nothing was left out");
        pace.leave_out("the profile");
        pace.leave_out("28 of 28 inputs");
        let says = pace.verdict().expect("a failure").says;
        assert_eq!(says, "2 calls ended for want of time, so the rest was not tried: the profile, 28 of 28 inputs");
    }

    #[test]
    fn all_calls_together_have_so_much_time() {
        let limits = CallLimits { cpu_time: Duration::from_secs(10), fuel: Some(u64::MAX), ..CallLimits::default() };
        let pace = Pace::default();
        pace.count(None, Duration::from_secs(28), Duration::from_secs(115));
        assert!(pace.goes_on());
        let left = pace.within(limits, 1_000);
        assert_eq!((left.cpu_time, left.fuel), (Duration::from_secs(2), Some(2_000_000)));
        assert_eq!(left.timeout, Duration::from_secs(5));
        pace.count(None, Duration::from_secs(2), Duration::ZERO);
        assert!(!pace.goes_on(), "no CPU time is left");

        let sleepy = Pace::default();
        sleepy.count(None, Duration::ZERO, TIME_MAX);
        assert!(!sleepy.goes_on());
        sleepy.leave_out("13 templates");
        assert!(sleepy.verdict().is_some_and(|check| check.says.starts_with("the calls so far took 2m,")));
    }
}
