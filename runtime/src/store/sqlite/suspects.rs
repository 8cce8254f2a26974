//! What was in flight when the process died.
//!
//! *Flow:* a claim that lives for long is written along with the next commit that is made anyway, and forgotten with
//! its settlement. After a start that followed a crash, claims are written before they are handed out for a while: what
//! kills the process at once is found out, too. What stands there at a start was in flight at a crash.
//!
//! *Not here:* how many crashes are too many (`domain`).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::failure::Failure;
use super::read;
use crate::domain::{DeliveryId, Timestamp};

/// A claim that lives for longer is written. Most calls are over by then, and cost no write.
const NOTED_AFTER: Duration = Duration::from_millis(100);

/// How long after a crash every claim is written.
const WARY_FOR: Duration = Duration::from_secs(10);

/// Says how late it is, to tell how long a claim has lived. Time that only grows: a clock that is set back would make
/// claims young again.
pub type Ticks = Arc<dyn Fn() -> Instant + Send + Sync>;

/// A claim, by delivery and number.
pub(super) type Noted = (DeliveryId, u64);

/// In memory: claims that are young, those that are written, and what is known of earlier crashes.
#[derive(Default)]
pub(super) struct Suspects {
    /// None takes the machine's time.
    ticks: Option<Ticks>,
    crashes: HashMap<DeliveryId, u32>,
    /// In the order of claims.
    young: VecDeque<(Noted, Instant)>,
    /// By number.
    noted: HashMap<u64, DeliveryId>,
    wary: Wary,
}

/// Whether claims are written at once.
#[derive(Clone, Copy, Debug, Default)]
enum Wary {
    #[default]
    No,
    /// From the first claim on.
    Next,
    Until(Timestamp),
}

impl fmt::Debug for Suspects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suspects").field("crashes", &self.crashes).field("noted", &self.noted).finish_non_exhaustive()
    }
}

impl Suspects {
    /// With another time than the machine's.
    pub(super) fn with_ticks(ticks: Ticks) -> Self {
        Self { ticks: Some(ticks), ..Self::default() }
    }

    /// How late it is.
    pub(super) fn instant(&self) -> Instant {
        self.ticks.as_ref().map_or_else(Instant::now, |ticks| ticks())
    }

    /// What an earlier process left behind.
    pub(super) fn learned(&mut self, crashes: HashMap<DeliveryId, u32>, after_crash: bool) {
        self.crashes = crashes;
        self.wary = if after_crash { Wary::Next } else { Wary::No };
    }

    /// How often the process died while this was in flight.
    pub(super) fn crashes(&self, id: DeliveryId) -> u32 {
        if self.crashes.is_empty() { 0 } else { self.crashes.get(&id).copied().unwrap_or(0) }
    }

    pub(super) fn claimed(&mut self, id: DeliveryId, number: u64, at: Instant) {
        self.young.push_back(((id, number), at));
    }

    /// Whether claims made at `now` are to be written before they are handed out.
    pub(super) fn is_wary(&mut self, now: Timestamp) -> bool {
        match self.wary {
            Wary::No => false,
            Wary::Next => {
                self.wary = Wary::Until(now.after(WARY_FOR));
                true
            }
            Wary::Until(end) if now < end => true,
            Wary::Until(_) => {
                self.wary = Wary::No;
                false
            }
        }
    }

    /// Claims that have lived for long and are not written, as far as `is_alive`.
    pub(super) fn grown(&mut self, now: Instant, is_alive: impl Fn(&Noted) -> bool) -> Vec<Noted> {
        let mut grown = Vec::new();
        while let Some((claim, since)) = self.young.front()
            && now.duration_since(*since) >= NOTED_AFTER
        {
            if is_alive(claim) && !self.noted.contains_key(&claim.1) {
                grown.push(*claim);
            }
            self.young.pop_front();
        }
        grown
    }

    /// These are written, durably.
    pub(super) fn noted(&mut self, claims: impl IntoIterator<Item = Noted>) {
        self.noted.extend(claims.into_iter().map(|(id, number)| (number, id)));
    }

    /// Whether there is a row for this claim or this delivery.
    pub(super) fn has_row(&self, id: DeliveryId, number: u64) -> bool {
        self.noted.contains_key(&number) || self.crashes.contains_key(&id)
    }

    /// The claim ends, and its row stays as it is.
    pub(super) fn given_up(&mut self, id: DeliveryId, number: u64) {
        if self.noted.contains_key(&number) {
            self.crashes.entry(id).or_insert(0);
        }
    }

    /// The claim has ended.
    pub(super) fn ended(&mut self, number: u64) {
        self.noted.remove(&number);
    }

    /// An attempt ended, and the process lives.
    pub(super) fn survived(&mut self, id: DeliveryId) {
        if !self.crashes.is_empty() {
            self.crashes.remove(&id);
        }
    }
}

/// At open: counts a crash for whatever was in flight, and says what is suspected and whether there was a crash.
pub(super) fn learn(db: &Connection) -> Result<(HashMap<DeliveryId, u32>, bool), Failure> {
    let after_crash: bool = db
        .prepare("SELECT coalesce((SELECT value FROM marks WHERE name = 'open'), 0)")?
        .query_row([], |row| row.get(0))?;
    db.execute_batch(
        "UPDATE in_flight SET crashes = crashes + 1, now = 0 WHERE now = 1;
         INSERT OR REPLACE INTO marks (name, value) VALUES ('open', 1);",
    )?;
    let mut statement = db.prepare("SELECT notification, idx, crashes FROM in_flight")?;
    let mut rows = statement.query([])?;
    let mut crashes = HashMap::new();
    while let Some(row) = rows.next()? {
        crashes.insert(read::notification_id(row, 0)?.delivery(row.get(1)?), row.get(2)?);
    }
    Ok((crashes, after_crash))
}

/// Writes a mark that means nothing, to learn whether the disk takes it. Another value each time: what is there already
/// would not be written.
pub(super) fn probe(db: &Connection) -> Result<(), Failure> {
    let counts =
        "INSERT INTO marks (name, value) VALUES ('probe', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1";
    db.prepare_cached(counts)?.execute([])?;
    Ok(())
}

/// At close: nothing is in flight any more.
pub(super) fn close(db: &Connection) -> Result<(), Failure> {
    db.execute_batch(
        "UPDATE in_flight SET now = 0 WHERE now = 1;
         DELETE FROM in_flight WHERE crashes = 0;
         INSERT OR REPLACE INTO marks (name, value) VALUES ('open', 0);",
    )?;
    Ok(())
}

pub(super) fn write(db: &Connection, claims: &[Noted]) -> Result<(), Failure> {
    let mut insert = db.prepare_cached(
        "INSERT INTO in_flight (notification, idx, crashes, now) VALUES (?1, ?2, 0, 1)
         ON CONFLICT (notification, idx) DO UPDATE SET now = 1",
    )?;
    for (id, _) in claims {
        insert.execute(params![id.notification().as_bytes(), id.index()])?;
    }
    Ok(())
}

/// Its attempt ended: it harms nobody.
pub(super) fn forget(db: &Connection, id: DeliveryId) -> Result<(), Failure> {
    db.prepare_cached("DELETE FROM in_flight WHERE notification = ?1 AND idx = ?2")?
        .execute(params![id.notification().as_bytes(), id.index()])?;
    Ok(())
}

/// Its claim was given up without an attempt: what is known of it stays.
pub(super) fn let_go(db: &Connection, id: DeliveryId) -> Result<(), Failure> {
    db.prepare_cached("UPDATE in_flight SET now = 0 WHERE notification = ?1 AND idx = ?2")?
        .execute(params![id.notification().as_bytes(), id.index()])?;
    Ok(())
}
