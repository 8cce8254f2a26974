//! The database: whether it is whole, and whether what it counts is so.

use std::path::Path;

use super::{Check, size};
use crate::domain::NotificationId;
use crate::store::StoreError;
use crate::store::sqlite::{self, Examination, Recounts};

const RESTORE: &str = "stop the server and put a backup back: `campanile restore FILE --yes`";

/// Adds what was found and answers the newest notification.
pub(super) fn check(path: &Path, checks: &mut Vec<Check>) -> Option<NotificationId> {
    let shown = path.display();
    let found = match sqlite::examine(path) {
        Ok(Some(found)) => found,
        Ok(None) => {
            checks.push(Check::ok("database", format!("`{shown}` is not there yet, `serve` makes it")));
            return None;
        }
        Err(error) => {
            checks.push(of_error(&error));
            return None;
        }
    };
    let Examination { version, bytes, .. } = found;
    let known = sqlite::VERSION;
    let is = format!("`{shown}` has version {version}");
    checks.push(if version < known {
        let hint = "the next `serve` migrates it, and so does `campanile migrate`; both keep a copy";
        Check::warn("database", format!("{is}, this program writes {known}"), hint)
    } else {
        Check::ok("database", format!("{is} and {}", size(bytes)))
    });
    checks.push(match found.damage.as_slice() {
        [] => Check::ok("integrity", "every page is sound"),
        [first, rest @ ..] => {
            let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
            Check::fail("integrity", format!("{first}{more}"), RESTORE)
        }
    });
    if let Some(recounts) = found.recounts {
        checks.extend(of_recounts(&recounts));
    }
    found.newest
}

fn of_error(error: &StoreError) -> Check {
    match error {
        StoreError::Unusable { path, reason } => Check::fail("database", format!("`{path}`: {reason}"), RESTORE),
        StoreError::Unavailable { .. }
        | StoreError::Locked { .. }
        | StoreError::Closed
        | StoreError::Internal { .. } => {
            Check::fail("database", error.to_string(), "run this as the user that the server runs as")
        }
    }
}

fn of_recounts(recounts: &Recounts) -> [Check; 5] {
    let Recounts { notifications, deliveries, wrong_tallies, missing_live, stray_live, .. } = *recounts;
    let Recounts { dead_letters, missing_dead_letters, stray_dead_letters, wrong_kv_usage, .. } = *recounts;
    let tallies = if wrong_tallies == 0 {
        let all = deliveries.open + deliveries.sent + deliveries.failed + deliveries.cancelled;
        Check::ok("notifications", format!("{notifications} with {all} deliveries, and their tallies agree"))
    } else {
        let detail =
            format!("{wrong_tallies} of {notifications} have a tally that is not what their deliveries come to");
        Check::fail("notifications", detail, RESTORE)
    };
    let queue = match (missing_live, stray_live) {
        (0, 0) => Check::ok("queue", format!("{} deliveries are open, and each has its place", deliveries.open)),
        (missing, stray) => {
            let detail = format!(
                "{missing} of {} open deliveries have no place in the queue and would never be tried, {stray} places \
                 belong to none",
                deliveries.open
            );
            Check::fail("queue", detail, RESTORE)
        }
    };
    let letters = match (missing_dead_letters, stray_dead_letters) {
        (0, 0) => Check::ok("dead letters", format!("{dead_letters}, one for each failed delivery")),
        // A purge leaves no trace of its own.
        (missing, 0) => Check::warn(
            "dead letters",
            format!("{missing} of {} failed deliveries have no dead letter", deliveries.failed),
            "that is so where they were purged (`campanile dead-letters purge`); where they were not, lists do not show \
             them, and `campanile replay` with their ids tries them again",
        ),
        (missing, stray) => {
            let detail = format!("{stray} belong to deliveries that have not failed, {missing} are missing");
            Check::fail("dead letters", detail, RESTORE)
        }
    };
    let kv = if wrong_kv_usage == 0 {
        Check::ok("kv", "what channels keep agrees with what is counted")
    } else {
        let detail =
            format!("{wrong_kv_usage} channels keep more or less than what is counted: quotas are wrong for them");
        Check::fail("kv", detail, RESTORE)
    };
    [tallies, queue, letters, kv, of_totals(recounts.wrong_totals)]
}

fn of_totals(wrong: u64) -> Check {
    if wrong == 0 {
        return Check::ok("totals", "what the database says of itself as a whole is so");
    }
    let detail = format!(
        "{wrong} of 4 are not what there is: metrics of dead letters and retries, or a `size_max`, go by wrong figures"
    );
    Check::warn("totals", detail, "no delivery is lost by it; please report it, it is a defect of this program")
}
