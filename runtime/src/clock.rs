//! The two sources of surprise: wall time and chance. Both are injected, so that a test can hold them still.
//!
//! *Not here:* timeouts of I/O. Those are tokio's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::domain::{NotificationId, Timestamp};

/// Wall time. Due times are durable, so they are instants of this clock and of no other.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The current instant, never earlier than one that was told before in this process: whatever waits, from a retry to
    /// the refill of a rate, waits by it.
    fn now(&self) -> Timestamp;

    /// Returns once [`now`](Self::now) is at or past `at`. Dropping the future gives up the wait.
    async fn wait_until(&self, at: Timestamp);
}

/// The machine's clock, as long as it does not go back. Where it is set back, this one goes on from where it was, at half
/// speed, until the machine's clock has caught up: retries keep their waits, twice as long at most, and nothing stands
/// still. A new one takes the machine's time as it is. Clones share one time.
#[derive(Clone, Debug, Default)]
pub struct SystemClock {
    shown: Arc<Mutex<Option<Steady>>>,
}

/// From here on it is said that the machine's clock was set back. Small steps are made by whoever keeps clocks right.
const SET_BACK_TOLD: Duration = Duration::from_secs(10);

/// Wall time that only grows. Pure: whoever asks brings both times.
#[derive(Clone, Copy, Debug)]
struct Steady {
    /// Wall time, when it was last not behind.
    wall: Timestamp,
    /// Time that only grows, of then.
    ticks: Instant,
    is_behind: bool,
}

impl Steady {
    const fn new(wall: Timestamp, ticks: Instant) -> Self {
        Self { wall, ticks, is_behind: false }
    }

    /// What to show. Answers besides by how much the wall clock was set back, once it is known to be behind.
    fn read(&mut self, wall: Timestamp, ticks: Instant) -> (Timestamp, Option<Duration>) {
        let at_least = self.wall.after(ticks.saturating_duration_since(self.ticks) / 2);
        if wall >= at_least {
            *self = Self::new(wall, ticks);
            return (wall, None);
        }
        let news = !std::mem::replace(&mut self.is_behind, true);
        (at_least, news.then(|| at_least.since(wall)))
    }
}

/// A step of the machine's clock is noticed after this long at the latest.
const RECHECK: Duration = Duration::from_secs(60);

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let ticks = Instant::now();
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, set_back) = shown.get_or_insert(Steady::new(wall, ticks)).read(wall, ticks);
        drop(shown);
        if let Some(by) = set_back.filter(|by| *by >= SET_BACK_TOLD) {
            tracing::warn!(
                by_s = by.as_secs(),
                "The machine's clock was set back. Times here go on at half speed until it has caught up; a restart takes the \
                 machine's time at once."
            );
        }
        now
    }

    async fn wait_until(&self, at: Timestamp) {
        loop {
            let left = at.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(RECHECK)).await;
        }
    }
}

/// A clock that stands still until it is moved. Clones share one time.
///
/// ```
/// use campanile::clock::{Clock, ManualClock};
/// use campanile::domain::Timestamp;
/// use std::time::Duration;
///
/// let clock = ManualClock::at(Timestamp::from_millis(5_000));
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(clock.now().as_millis(), 6_000);
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    state: Arc<Mutex<ManualState>>,
}

#[derive(Debug)]
struct ManualState {
    now: Timestamp,
    next_waiter: u64,
    waiters: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
}

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { state: Arc::new(Mutex::new(ManualState { now, next_waiter: 0, waiters: BTreeMap::new() })) }
    }

    /// Moves the clock on and wakes everyone whose instant has come.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        let now = state.now.after(by);
        state.now = now;
        let later = state.waiters.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut state.waiters, later);
        drop(state);
        for waiter in due.into_values() {
            // A waiter that gave up has dropped its end.
            let _ = waiter.send(());
        }
    }

    /// Sets the clock back, as the next process may find it. Whoever waits goes on waiting for their instant.
    pub fn set_back(&self, by: Duration) {
        let mut state = self.lock();
        state.now = state.now.before(by);
    }

    /// The earliest instant that somebody waits for.
    #[must_use]
    pub fn next_wait(&self) -> Option<Timestamp> {
        let mut state = self.lock();
        state.waiters.retain(|_, waiter| !waiter.is_closed());
        state.waiters.keys().next().map(|(at, _)| *at)
    }

    /// Whether somebody waits for this very instant.
    #[must_use]
    pub fn is_awaited(&self, at: Timestamp) -> bool {
        let mut state = self.lock();
        state.waiters.retain(|_, waiter| !waiter.is_closed());
        state.waiters.range((at, 0)..=(at, u64::MAX)).next().is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ManualState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.lock().now
    }

    async fn wait_until(&self, at: Timestamp) {
        let woken = {
            let mut state = self.lock();
            if state.now >= at {
                return;
            }
            let (wake, woken) = oneshot::channel();
            let number = state.next_waiter;
            state.next_waiter += 1;
            state.waiters.insert((at, number), wake);
            woken
        };
        let _ = woken.await;
    }
}

/// Chance: ids and jitter. One per process, so that ids only grow.
#[derive(Debug)]
pub struct Entropy {
    state: Mutex<EntropyState>,
    jitter: bool,
}

#[derive(Debug)]
struct EntropyState {
    /// SplitMix64: ids need to be unique and jitter spread; neither needs to be secret.
    seed: u64,
    last_id: u128,
}

impl Entropy {
    /// Seeded by the operating system.
    ///
    /// # Panics
    ///
    /// Where the operating system has no randomness to give, nothing can be identified safely.
    #[must_use]
    pub fn from_system() -> Self {
        let seed = getrandom::u64().expect("the operating system has a source of randomness");
        Self { state: Mutex::new(EntropyState { seed, last_id: 0 }), jitter: true }
    }

    /// Repeatable: the same seed gives the same ids, and every roll of jitter is 0.
    #[must_use]
    pub fn fixed(seed: u64) -> Self {
        Self { state: Mutex::new(EntropyState { seed, last_id: 0 }), jitter: false }
    }

    /// One draw from `[0, 1)`; always 0 where the entropy is fixed.
    #[must_use]
    pub fn roll(&self) -> f64 {
        if !self.jitter {
            return 0.0;
        }
        // 53 bits: as many as an `f64` holds exactly.
        (self.lock().next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `N` bytes of chance. Unique, not secret.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        let mut state = self.lock();
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&state.next().to_le_bytes()[..chunk.len()]);
        }
        bytes
    }

    /// A UUIDv7 (RFC 9562) greater than every one given before, even where the clock stepped back.
    #[must_use]
    pub fn notification_id(&self, now: Timestamp) -> NotificationId {
        let mut state = self.lock();
        let random = (u128::from(state.next()) << 10) | u128::from(state.next() & 0x3ff);
        // 48 bits of time, 74 of chance; version and variant are put between them at the end.
        let fresh = (u128::from(now.as_millis()) << 74) | random;
        let step = u128::from(state.next() >> 32) + 1;
        let id = if fresh > state.last_id { fresh } else { state.last_id + step };
        state.last_id = id;
        drop(state);
        let time = id >> 74;
        let upper = (id >> 62) & 0xfff;
        let lower = id & ((1 << 62) - 1);
        let uuid = (time << 80) | (0x7 << 76) | (upper << 64) | (0b10 << 62) | lower;
        NotificationId::from_bytes(uuid.to_be_bytes())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, EntropyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EntropyState {
    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_at_half_speed_from_where_it_was_until_a_clock_that_was_set_back_has_caught_up() {
        let begin = Instant::now();
        let mut steady = Steady::new(Timestamp::from_millis(100_000), begin);
        let mut read = |wall_s: u64, passed_s: u64| {
            let (now, news) =
                steady.read(Timestamp::from_millis(wall_s * 1_000), begin + Duration::from_secs(passed_s));
            (now.as_millis() / 1_000, news.map(|by| by.as_secs()))
        };
        assert_eq!(read(110, 10), (110, None));
        assert_eq!(read(71, 11), (110, Some(39)), "set back by 40 s, and said once");
        assert_eq!(read(80, 20), (115, None));
        assert_eq!(read(148, 88), (149, None));
        assert_eq!(read(151, 91), (151, None), "it has caught up");
        assert_eq!(read(152, 92), (152, None));
        assert_eq!(read(999, 93), (999, None), "set ahead, it is believed at once");
        assert_eq!(read(200, 94), (999, Some(799)), "and said again");
    }

    #[test]
    fn time_never_goes_back_whatever_the_machine_shows() {
        let begin = Instant::now();
        let mut steady = Steady::new(Timestamp::from_millis(0), begin);
        let (mut last, mut walls) =
            (Timestamp::default(), [7_u64, 3, 900, 12, 12, 890, 1, 5_000, 4_999].into_iter().cycle());
        for step in 0..10_000 {
            let wall = Timestamp::from_millis(walls.next().unwrap() * (step % 7 + 1));
            let (now, _) = steady.read(wall, begin + Duration::from_micros(step * 300));
            assert!(now >= last && now >= wall, "{now:?} after {last:?} with {wall:?} shown");
            last = now;
        }
    }

    #[test]
    fn ids_only_grow_even_if_the_clock_steps_back() {
        let entropy = Entropy::from_system();
        let times = [5_000, 5_000, 4_000, 6_000, 1];
        let ids: Vec<_> =
            (0..50_000).map(|n| entropy.notification_id(Timestamp::from_millis(times[n % times.len()]))).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn an_id_is_a_uuid_of_version_7_with_its_time_in_front() {
        let id = Entropy::fixed(1).notification_id(Timestamp::from_millis(0x0123_4567_89ab));
        let uuid = uuid::Uuid::from_bytes(*id.as_bytes());
        assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
        assert!(id.to_string().starts_with("ntf_0123456789ab7"));
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_whom_it_passes_and_nobody_else() {
        let clock = ManualClock::at(Timestamp::from_millis(0));
        let early = clock.wait_until(Timestamp::from_millis(10));
        let late = clock.wait_until(Timestamp::from_millis(20));
        tokio::pin!(early, late);
        assert!(futures_util::poll!(&mut early).is_pending());
        assert!(futures_util::poll!(&mut late).is_pending());
        clock.advance(Duration::from_millis(10));
        assert!(futures_util::poll!(&mut early).is_ready());
        assert!(futures_util::poll!(&mut late).is_pending());
        assert_eq!(clock.next_wait(), Some(Timestamp::from_millis(20)));
        clock.set_back(Duration::from_millis(5));
        assert_eq!(clock.now(), Timestamp::from_millis(5));
        clock.advance(Duration::from_millis(14));
        assert!(futures_util::poll!(&mut late).is_pending());
        clock.advance(Duration::from_millis(1));
        assert!(futures_util::poll!(&mut late).is_ready());
    }
}
