//! What was accepted and what became of it, by filter; and what is done with what failed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Runtime;
use super::outliving::to_its_end;
use crate::domain::{
    ChannelName, DeliveryId, DeliveryState, DeliveryStatus, NotificationId, NotificationStatus, Priority, Timestamp,
};
use crate::store::{
    DeadLetter, DeadLetterFilter, DeadLetterPage, DeliveryRecord, NotificationFilter, NotificationPage,
    NotificationRecord, Replay, Replayed, Store, StoreError,
};

/// Dead letters that are looked at, and replayed or purged, in one transaction.
const SLICE: usize = 1_000;

/// Entries of a page where nothing is said.
const PAGE: usize = 100;

/// How fast dead letters are tried again.
///
/// ```
/// use campanile::runtime::ReplayRate;
/// use std::time::Duration;
///
/// let rate: ReplayRate = "50/s".parse()?;
/// assert_eq!(rate.wait(100), Duration::from_secs(2));
/// assert_eq!("30/m".parse::<ReplayRate>()?.wait(1), Duration::from_secs(2));
/// # Ok::<(), campanile::runtime::ParseRateError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayRate {
    count: u32,
    per: Duration,
}

impl ReplayRate {
    /// The most in a second, a minute or an hour.
    pub const COUNT_MAX: u32 = 100_000;

    /// How long after the first the one with this place (from 0) is due.
    #[must_use]
    pub fn wait(self, place: u64) -> Duration {
        let per_ms = u64::try_from(self.per.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(place.saturating_mul(per_ms) / u64::from(self.count))
    }
}

/// A text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no rate: write a number from 1 to 100000 per `s`, `m` or `h`, such as `50/s`")]
pub struct ParseRateError(String);

impl std::str::FromStr for ReplayRate {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, ParseRateError> {
        let wrong = || ParseRateError(text.chars().take(64).collect());
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let per = match unit.trim() {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return Err(wrong()),
        };
        let count = count.trim().parse().map_err(|_| wrong())?;
        if (1..=Self::COUNT_MAX).contains(&count) { Ok(Self { count, per }) } else { Err(wrong()) }
    }
}

/// What came of replaying dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// They wait again.
    pub replayed: u64,
    /// They stay dead letters: their `expires_at` passes before their turn comes.
    pub expired: u64,
    /// When the last of them is due, counted from now.
    pub takes: Duration,
}

/// Why a delivery, or those of a notification, were not replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReplayed {
    /// It has not failed, or none of them has.
    NotFailed,
    /// Its `expires_at` has passed.
    Expired,
    /// There is none with this id.
    Unknown,
}

/// A question for notifications, to be filled in by its methods. Every condition has to hold.
///
/// ```no_run
/// # async fn example(runtime: &campanile::Runtime) -> Result<(), Box<dyn std::error::Error>> {
/// use campanile::domain::NotificationStatus;
///
/// let failed = runtime.notifications().status(NotificationStatus::Failed).correlation_id("order-7").page().await?;
/// for record in failed.notifications {
///     println!("{}", record.notification.id);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a question is asked with `page`"]
pub struct NotificationQuery {
    runtime: Runtime,
    filter: NotificationFilter,
    held: bool,
    before: Option<NotificationId>,
    limit: usize,
}

impl NotificationQuery {
    /// Where it stands.
    pub fn status(mut self, status: NotificationStatus) -> Self {
        self.filter.status = Some(status);
        self
    }

    /// How urgent.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.filter.priority = Some(priority);
        self
    }

    /// `info`, `warning`, ….
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.filter.kind = Some(kind.into());
        self
    }

    /// As its caller gave it.
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.filter.correlation_id = Some(id.into());
        self
    }

    /// This pair is among those that its caller gave.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.filter.metadata = Some((key.into(), value.into()));
        self
    }

    /// One of its deliveries stands there.
    pub fn delivery_status(mut self, status: DeliveryStatus) -> Self {
        self.filter.delivery_status = Some(status);
        self
    }

    /// One of its deliveries goes through this channel.
    pub fn channel(mut self, channel: ChannelName) -> Self {
        self.filter.channel = Some(channel);
        self
    }

    /// One of its deliveries goes to this address.
    pub fn recipient(mut self, address: impl Into<String>) -> Self {
        self.filter.recipient = Some(address.into());
        self
    }

    /// Accepted at or after this.
    pub fn since(mut self, at: Timestamp) -> Self {
        self.filter.since = Some(at);
        self
    }

    /// Accepted before this.
    pub fn until(mut self, at: Timestamp) -> Self {
        self.filter.until = Some(at);
        self
    }

    /// One of its deliveries waits for a time in this range.
    pub fn due(mut self, since: Timestamp, until: Timestamp) -> Self {
        (self.filter.due_since, self.filter.due_until) = (Some(since), Some(until));
        self
    }

    /// One of its deliveries is held now, as [`Runtime::held_deliveries`] tells: its channel is paused, its breaker is open,
    /// it is disabled or not configured any more, or the plugin that has to call or to render is quarantined.
    pub fn held(mut self) -> Self {
        self.held = true;
        self
    }

    /// Older than this: [`NotificationPage::next`] of the page before.
    pub fn before(mut self, id: NotificationId) -> Self {
        self.before = Some(id);
        self
    }

    /// At most so many, 1 to 1,000. Default: 100.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, SLICE);
        self
    }

    /// Asks.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read.
    pub async fn page(self) -> Result<NotificationPage, StoreError> {
        let Self { runtime, mut filter, held, before, limit } = self;
        if !held {
            return runtime.parts.store.query(filter, before, limit).await;
        }
        let mut channels: BTreeSet<ChannelName> = runtime.held_channels().into_keys().collect();
        let by_engine = runtime.holds_by_engine();
        if by_engine {
            // What has to be rendered may go through any of them.
            channels.extend(runtime.channels().into_iter().map(|channel| channel.name));
        }
        if channels.is_empty() {
            return Ok(NotificationPage::default());
        }
        filter.waits_for = Some(channels);
        let mut page = runtime.parts.store.query(filter.clone(), before, limit).await?;
        if by_engine {
            // The store does not know what has to be rendered, and by which engine.
            for record in std::mem::take(&mut page.notifications) {
                if runtime.holds_one_of(&record, &filter).await {
                    page.notifications.push(record);
                }
            }
        }
        Ok(page)
    }
}

impl Runtime {
    /// Asks for notifications, the newest first.
    pub fn notifications(&self) -> NotificationQuery {
        self.find(NotificationFilter::default())
    }

    /// The same, with conditions that are there already.
    pub fn find(&self, filter: NotificationFilter) -> NotificationQuery {
        NotificationQuery { runtime: self.clone(), filter, held: false, before: None, limit: PAGE }
    }

    /// Whether one of its deliveries is held and is what the filter asks of one.
    async fn holds_one_of(&self, record: &NotificationRecord, filter: &NotificationFilter) -> bool {
        // Of a large notification not all deliveries are there: that it waits for one of the channels has to do.
        if record.deliveries.len() < record.counts.total() as usize {
            return true;
        }
        let held = self.held_deliveries(record).await;
        record.deliveries.iter().any(|delivery| held.contains_key(&delivery.id) && is_such(delivery, filter))
    }

    /// Deliveries that the store counts, whatever their state.
    pub(crate) async fn stored(&self) -> Result<u64, StoreError> {
        let counts = self.parts.store.count().await?;
        Ok(counts.open + counts.sent + counts.failed + counts.cancelled)
    }

    /// Deliveries that are not final, as the store counts them.
    pub(crate) async fn open_deliveries(&self) -> Result<u64, StoreError> {
        Ok(self.parts.store.count().await?.open)
    }

    /// Up to `limit` dead letters (at most 1,000) behind `after`, those of the oldest notifications first.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read.
    pub async fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<DeadLetterPage, StoreError> {
        self.parts.store.dead_letters(filter, after, limit.clamp(1, SLICE)).await
    }

    /// Starts a new run of a delivery that failed: all of its retries are before it again.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read or changed.
    pub async fn replay(&self, delivery: DeliveryId) -> Result<Result<(), NotReplayed>, StoreError> {
        Ok(self.replay_of(delivery.notification(), Some(delivery)).await?.map(|_| ()))
    }

    /// Starts a new run of each delivery of a notification that failed, and answers how many there were. Goes on to its
    /// end where nobody waits for the answer.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read or changed.
    pub async fn replay_notification(&self, id: NotificationId) -> Result<Result<u64, NotReplayed>, StoreError> {
        let runtime = self.clone();
        to_its_end(async move { runtime.replay_of(id, None).await }).await
    }

    /// Of one delivery, or of all of them.
    async fn replay_of(
        &self,
        id: NotificationId,
        only: Option<DeliveryId>,
    ) -> Result<Result<u64, NotReplayed>, StoreError> {
        let now = self.parts.clock.now();
        let Some(record) = self.notification(id).await? else { return Ok(Err(NotReplayed::Unknown)) };
        let is_expired = record.notification.expires_at.is_some_and(|expires_at| expires_at <= now);
        let (mut from, mut found, mut replayed) = (only.map_or(0, DeliveryId::index), false, 0);
        let limit = if only.is_some() { 1 } else { SLICE };
        loop {
            let mut deliveries = self.deliveries(id, from, limit).await?;
            deliveries.retain(|delivery| only.is_none_or(|only| only == delivery.id));
            let Some(last) = deliveries.last() else { break };
            found = true;
            from = last.id.index().saturating_add(1);
            let failed = |delivery: &DeliveryRecord| matches!(delivery.state, DeliveryState::Failed { .. });
            if is_expired && deliveries.iter().any(failed) {
                return Ok(Err(NotReplayed::Expired));
            }
            // One that is asked for by its id is refused by the store, which keeps that it was asked for.
            deliveries.retain(|delivery| only.is_some() || failed(delivery));
            let replays = deliveries.iter().map(|delivery| Replay { delivery: delivery.id, due: now }).collect();
            // Since they were read, somebody else may have replayed or cancelled them.
            let answers = self.parts.store.replay(replays, now, self.by).await?;
            replayed += answers.iter().filter(|one| **one == Replayed::Waits).count() as u64;
            if only.is_some() {
                break;
            }
        }
        Ok(match (found, replayed) {
            (_, 1..) => Ok(replayed),
            (false, 0) if only.is_some() => Err(NotReplayed::Unknown),
            (_, 0) => Err(NotReplayed::NotFailed),
        })
    }

    /// Up to `limit` deliveries of a notification that are made, from index `from` on.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read.
    pub async fn deliveries(
        &self,
        id: NotificationId,
        from: u32,
        limit: usize,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        self.parts.store.deliveries(id, from, limit.clamp(1, SLICE)).await
    }

    /// Starts a new run of every dead letter that matches, at this rate; at once where there is none. Those whose
    /// notification is accepted after this call began are left alone. Goes on to its end where nobody waits for the answer.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read or changed: what was replayed before stays so.
    pub async fn replay_dead_letters(
        &self,
        filter: DeadLetterFilter,
        rate: Option<ReplayRate>,
    ) -> Result<ReplayReport, StoreError> {
        let runtime = self.clone();
        to_its_end(async move { runtime.replay_matching(filter, rate).await }).await
    }

    async fn replay_matching(
        &self,
        filter: DeadLetterFilter,
        rate: Option<ReplayRate>,
    ) -> Result<ReplayReport, StoreError> {
        let now = self.parts.clock.now();
        let mut report = ReplayReport::default();
        let mut slices = self.slices(filter);
        while let Some(dead_letters) = slices.next().await? {
            let mut replays = Vec::with_capacity(dead_letters.len());
            for dead in dead_letters {
                let takes = rate.map_or(Duration::ZERO, |rate| rate.wait(report.replayed + replays.len() as u64));
                let due = now.after(takes);
                if dead.expires_at.is_some_and(|expires_at| expires_at <= due) {
                    report.expired += 1;
                } else {
                    report.takes = takes;
                    replays.push(Replay { delivery: dead.delivery.id, due });
                }
            }
            let replayed = self.parts.store.replay(replays, now, self.by).await?;
            report.replayed += replayed.iter().filter(|one| **one == Replayed::Waits).count() as u64;
        }
        Ok(report)
    }

    /// Puts away every dead letter that matches, and answers how many. Their deliveries stay failed, and in the records
    /// of their notifications. Goes on to its end where nobody waits for the answer.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read or changed: what was put away before stays so.
    pub async fn purge_dead_letters(&self, filter: DeadLetterFilter) -> Result<u64, StoreError> {
        let runtime = self.clone();
        to_its_end(async move { runtime.purge_matching(filter).await }).await
    }

    async fn purge_matching(&self, filter: DeadLetterFilter) -> Result<u64, StoreError> {
        let mut purged = 0;
        let mut slices = self.slices(filter);
        while let Some(dead_letters) = slices.next().await? {
            let ids = dead_letters.iter().map(|dead| dead.delivery.id).collect();
            purged += self.parts.store.purge(ids, self.parts.clock.now(), self.by).await?;
        }
        Ok(purged)
    }

    /// Every dead letter that matches and was accepted before now, slice by slice.
    fn slices(&self, filter: DeadLetterFilter) -> Slices<'_> {
        // What fails while this goes on must not make it endless.
        let now = self.parts.clock.now().after(Duration::from_millis(1));
        let until = Some(filter.until.map_or(now, |until| until.min(now)));
        Slices { store: &*self.parts.store, filter: DeadLetterFilter { until, ..filter }, after: None, over: false }
    }
}

/// Dead letters that are read slice by slice, while those of the slices before may be gone.
struct Slices<'r> {
    store: &'r dyn Store,
    filter: DeadLetterFilter,
    after: Option<DeliveryId>,
    over: bool,
}

impl Slices<'_> {
    async fn next(&mut self) -> Result<Option<Vec<DeadLetter>>, StoreError> {
        if self.over {
            return Ok(None);
        }
        let page = self.store.dead_letters(self.filter.clone(), self.after, SLICE).await?;
        self.after = page.next;
        self.over = page.next.is_none();
        Ok(Some(page.dead_letters))
    }
}

/// Whether a delivery that waits is what the filter asks of one.
fn is_such(delivery: &DeliveryRecord, filter: &NotificationFilter) -> bool {
    let NotificationFilter { delivery_status, channel, recipient, due_since, due_until, .. } = filter;
    let DeliveryState::Waiting(waiting) = &delivery.state else { return false };
    delivery_status.is_none_or(|wanted| wanted == delivery.state.status())
        && channel.as_ref().is_none_or(|wanted| *wanted == delivery.channel)
        && recipient.as_ref().is_none_or(|wanted| *wanted == delivery.recipient.address)
        && due_since.is_none_or(|since| waiting.due >= since)
        && due_until.is_none_or(|until| waiting.due < until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_spreads_from_the_first_on() {
        let rate: ReplayRate = "3/s".parse().expect("a rate");
        let waits: Vec<_> = (0..5).map(|place| rate.wait(place).as_millis()).collect();
        assert_eq!(waits, [0, 333, 666, 1_000, 1_333]);
        assert_eq!("2 / h".parse::<ReplayRate>().expect("a rate").wait(1), Duration::from_mins(30));
    }

    #[test]
    fn what_is_no_rate_is_told() {
        for text in ["", "50", "0/s", "100001/s", "-1/s", "1/d", "1.5/s", "/s"] {
            let expected =
                format!("`{text}` is no rate: write a number from 1 to 100000 per `s`, `m` or `h`, such as `50/s`");
            assert_eq!(text.parse::<ReplayRate>().map_err(|error| error.to_string()), Err(expected));
        }
    }
}
