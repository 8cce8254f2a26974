//! Looks an installation over: what a start would stumble on, and what would stay unseen for long.
//!
//! *Invariants:* changes nothing. A check that fails does not keep the others from being made.

mod database;
mod folders;
mod plugins;

use std::path::Path;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Durability};
use crate::domain::{NotificationId, Timestamp};
use crate::store::sqlite;

pub(crate) use folders::room_hint;

/// 2026-01-01T00:00Z. This program is younger: a clock that shows less is wrong.
const CLOCK_MIN: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// The newest notification may be this far ahead: what a clock is set back by while it is kept in step.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// It works, and somebody should know.
    Warn,
    /// It does not work.
    Fail,
}

impl CheckStatus {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub status: CheckStatus,
    /// What was found.
    pub detail: String,
    /// What to do, where something is.
    pub hint: Option<String>,
}

impl Check {
    /// As it should be.
    pub fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), status: CheckStatus::Ok, detail: detail.into(), hint: None }
    }

    /// It works, and somebody should know.
    pub fn warn(name: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: CheckStatus::Warn, hint: Some(hint.into()), ..Self::ok(name, detail) }
    }

    /// It does not work.
    pub fn fail(name: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: CheckStatus::Fail, hint: Some(hint.into()), ..Self::ok(name, detail) }
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Examined {
    /// Every check, in the order in which a start would meet what it is about.
    pub checks: Vec<Check>,
    /// Who has the store open.
    pub holder: Option<String>,
}

/// Looks at the data folder, the database, the plugins, their cache, and the clock. `compiler` is as in
/// [`RuntimeBuilder::compiler`](super::RuntimeBuilder::compiler): without one, the operator's plugins are looked at and not
/// compiled, since nothing would bound that. Reads the whole database.
pub async fn examine_installation(config: &Config, compiler: Option<&Path>) -> Examined {
    examine(config, compiler, SystemClock::default().now()).await
}

async fn examine(config: &Config, compiler: Option<&Path>, now: Timestamp) -> Examined {
    let (owned, keeps_file) = (config.store.path.clone(), config.store.durability != Durability::Memory);
    // Reads every page of the database.
    let looked = tokio::task::spawn_blocking(move || if keeps_file { of_store(&owned) } else { in_memory() }).await;
    let (mut checks, holder, newest) = looked.unwrap_or_else(|stopped| {
        (vec![Check::fail("database", format!("the check was cut off: {stopped}"), DEFECT)], None, None)
    });
    checks.extend(plugins::of_own(&config.plugins, compiler).await);
    checks.push(plugins::of_bundled(&config.plugins).await);
    checks.push(folders::of_cache(&config.plugins.cache_dir));
    checks.push(of_clock(now, newest));
    Examined { checks, holder }
}

/// What nobody can do anything about but its makers.
const DEFECT: &str = "that is a defect of this program: please report it";

type OfStore = (Vec<Check>, Option<String>, Option<NotificationId>);

fn of_store(path: &Path) -> OfStore {
    let mut checks = folders::of_data(path);
    let holder = sqlite::holder_of(path).unwrap_or_else(|error| {
        checks.push(Check::fail("lock", error.to_string(), "run this as the user that the server runs as"));
        None
    });
    let newest = database::check(path, &mut checks);
    (checks, holder, newest)
}

fn in_memory() -> OfStore {
    let hint = "set `durability = \"full\"` in `[store]` to keep notifications over a restart";
    (vec![Check::warn("database", "the store is in memory only", hint)], None, None)
}

fn of_clock(now: Timestamp, newest: Option<NotificationId>) -> Check {
    let hint = "set the clock, and keep it in step: `timedatectl set-ntp true`";
    if now < CLOCK_MIN {
        return Check::fail("clock", format!("it shows {now}, which is before this program was made"), hint);
    }
    match newest.map(NotificationId::created_at) {
        Some(newest) if newest.since(now) > AHEAD_MAX => Check::fail(
            "clock",
            format!("it shows {now}, and the newest notification was accepted at {newest}"),
            format!("{hint}; until then new notifications stand behind those in lists"),
        ),
        _ => Check::ok("clock", now.to_string()),
    }
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.iter().find(|(_, shift)| bytes >> shift > 0) {
        Some((unit, shift)) => format!("{:.1} {unit}", bytes as f64 / f64::from(1_u32 << shift)),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests;
