//! One worker: a task with many deliveries in flight, and no task for each.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;

use super::attempt::{Aside, Finished, Held, Underway, Wait};
use super::settling::{Freed, set_aside, settle_durably};
use super::{Mode, Shared, store_wait};
use crate::config::WorkersConfig;
use crate::domain::{DeliveryId, Timestamp};
use crate::queue::{Ended, Slot, SlotCounts, Taken};
use crate::store::{Claim, StoreError};

/// One slot in this many takes only critical and high.
const RESERVED_EVERY: u32 = 8;

/// Finished attempts that are gathered, where they are ready at once, before they are handed to the store.
const GATHERED_MAX: usize = 16;

/// Free slots, by what they may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slots {
    pub(super) general: usize,
    pub(super) reserved: usize,
}

impl Slots {
    /// The slots of each worker. Of all together one in eight is reserved, and at least one; a pool of one slot has
    /// none to spare.
    pub(super) fn shared_out(workers: &WorkersConfig) -> Vec<Self> {
        let (count, each) = (workers.max.max(1), workers.per_worker.max(1));
        let total = count.saturating_mul(each);
        let reserved = if total > 1 { (total / RESERVED_EVERY).max(1) } else { 0 };
        (0..count)
            .map(|worker| {
                let reserved = reserved / count + u32::from(worker < reserved % count);
                Self { general: (each - reserved) as usize, reserved: reserved as usize }
            })
            .collect()
    }

    /// All of them together.
    pub(super) fn count(of_workers: &[Self]) -> SlotCounts {
        let sum = |of: fn(&Self) -> usize| of_workers.iter().map(of).sum::<usize>().try_into().unwrap_or(u32::MAX);
        SlotCounts { general: sum(|slots| slots.general), reserved: sum(|slots| slots.reserved) }
    }

    const fn free(self) -> usize {
        self.general + self.reserved
    }

    fn of(&mut self, slot: Slot) -> &mut usize {
        match slot {
            Slot::General => &mut self.general,
            Slot::Reserved => &mut self.reserved,
        }
    }
}

/// A claim under way: what was claimed of what was taken, or what the store said.
type Claiming = Pin<Box<dyn Future<Output = (Vec<Taken>, Result<Vec<Claim>, StoreError>)> + Send>>;
type Settling = Pin<Box<dyn Future<Output = Vec<Freed>> + Send>>;

pub(super) struct Worker {
    shared: Arc<Shared>,
    mode: watch::Receiver<Mode>,
    free: Slots,
    batch: usize,
    claiming: Option<Claiming>,
    claim_failures: u32,
    underway: FuturesUnordered<Underway>,
    settling: FuturesUnordered<Settling>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, mode: watch::Receiver<Mode>, free: Slots, batch: u32) -> Self {
        Self {
            shared,
            mode,
            free,
            batch: batch.max(1) as usize,
            claiming: None,
            claim_failures: 0,
            underway: FuturesUnordered::new(),
            settling: FuturesUnordered::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let mode = *self.mode.borrow_and_update();
            match mode {
                Mode::Running | Mode::Paused => {}
                Mode::Draining if self.is_idle() => return,
                Mode::Draining => {}
                Mode::Ending => return self.end().await,
            }
            let work = shared.with.queue.work();
            tokio::pin!(work);
            // Before looking, so that what comes in between is not missed.
            work.as_mut().enable();
            let takes = mode == Mode::Running && self.claiming.is_none() && self.free.free() > 0;
            let waits_for_work = takes && !self.take();

            tokio::select! {
                biased;
                // The sender lives as long as the dispatcher; without one nobody is left to work for.
                changed = self.mode.changed() => if changed.is_err() { return },
                Some(freed) = self.settling.next(), if !self.settling.is_empty() => self.release(&freed),
                claimed = claimed(&mut self.claiming), if self.claiming.is_some() => self.begin(claimed),
                Some(ended) = self.underway.next(), if !self.underway.is_empty() => self.settle(ended),
                () = work, if waits_for_work => {}
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.claiming.is_none() && self.underway.is_empty() && self.settling.is_empty()
    }

    /// Fills free slots, up to a batch, and begins to claim for them. Tells whether there was anything to take.
    fn take(&mut self) -> bool {
        let queue = &self.shared.with.queue;
        let mut taken = Vec::new();
        // Reserved slots first: what they can take need not hold a slot that anything could use.
        queue.take(Slot::Reserved, self.free.reserved.min(self.batch), &mut taken);
        let reserved = taken.len();
        let now = queue.take(Slot::General, self.free.general.min(self.batch - reserved), &mut taken);
        if taken.is_empty() {
            return false;
        }
        self.free.reserved -= reserved;
        self.free.general -= taken.len() - reserved;
        self.shared.in_flight.fetch_add(taken.len(), Ordering::Relaxed);
        for taken in &taken {
            self.shared.with.metrics.queue_waited(taken.priority, now.since(taken.position.due));
        }
        self.claiming = Some(Box::pin(claim(Arc::clone(&self.shared), taken, now, self.claim_failures)));
        true
    }

    /// Starts what was claimed. What was taken and not claimed needs nothing: it is claimed, final, or stands in the
    /// queue a second time with its right due time.
    fn begin(&mut self, (taken, claims): (Vec<Taken>, Result<Vec<Claim>, StoreError>)) {
        let unused = |taken: &[Taken]| taken.iter().map(|taken| (taken.hold, Ended::WITHOUT_CALL)).collect::<Vec<_>>();
        let Ok(claims) = claims else {
            self.claim_failures = self.claim_failures.saturating_add(1);
            self.shared.with.queue.give_back(&taken);
            return self.release(&unused(&taken));
        };
        self.claim_failures = 0;
        let started_at = self.shared.with.clock.now();
        let (mut over, mut aside) = (Vec::new(), Vec::new());
        let mut left = taken;
        for claim in claims {
            let is_it = |taken: &Taken| taken.position.delivery == claim.delivery;
            let Some(place) = left.iter().position(is_it) else { continue };
            let taken = left.swap_remove(place);
            let mut held = Held { claim, taken, started_at, host: None };
            if held.is_over().is_some() || taken.is_detour {
                over.push(Finished { held, report: None });
                continue;
            }
            match self.shared.destinations.admit(&held.claim, started_at) {
                Ok(host) => {
                    held.host = host;
                    self.underway.push(Underway::begin(&self.shared, held));
                }
                Err(until) => aside.push(Aside { held, wait: Wait::Until(until) }),
            }
        }
        self.release(&unused(&left));
        if !over.is_empty() {
            self.write(over);
        }
        if !aside.is_empty() {
            self.set_aside(aside);
        }
    }

    /// Hands over what has ended, together with what else has by now.
    fn settle(&mut self, first: Result<Finished, Aside>) {
        let mut ended = vec![first];
        while ended.len() < GATHERED_MAX
            && let Some(Some(next)) = self.underway.next().now_or_never()
        {
            ended.push(next);
        }
        let (mut finished, mut aside) = (Vec::new(), Vec::new());
        for ended in ended {
            match ended {
                Ok(ended) => finished.push(ended),
                Err(waits) => aside.push(waits),
            }
        }
        if !finished.is_empty() {
            self.write(finished);
        }
        if !aside.is_empty() {
            self.set_aside(aside);
        }
    }

    fn set_aside(&self, aside: Vec<Aside>) {
        self.settling.push(Box::pin(set_aside(Arc::clone(&self.shared), self.mode.clone(), aside)));
    }

    fn write(&mut self, finished: Vec<Finished>) {
        self.settling.push(Box::pin(settle_durably(Arc::clone(&self.shared), self.mode.clone(), finished)));
    }

    fn release(&mut self, freed: &[Freed]) {
        for (hold, _) in freed {
            *self.free.of(hold.slot) += 1;
        }
        self.shared.with.queue.release(freed.iter().copied());
        self.shared.in_flight.fetch_sub(freed.len(), Ordering::Relaxed);
    }

    /// Ends what is in flight. Each attempt is settled as interrupted, if the store takes it at once.
    async fn end(mut self) {
        let now = self.shared.with.clock.now();
        let underway = std::mem::take(&mut self.underway);
        let interrupted: Vec<Finished> = underway.into_iter().filter_map(|underway| underway.interrupt(now)).collect();
        if !interrupted.is_empty() {
            self.write(interrupted);
        }
        while let Some(freed) = self.settling.next().await {
            self.release(&freed);
        }
    }
}

async fn claim(
    shared: Arc<Shared>,
    taken: Vec<Taken>,
    now: Timestamp,
    failures: u32,
) -> (Vec<Taken>, Result<Vec<Claim>, StoreError>) {
    let ids: Vec<DeliveryId> = taken.iter().map(|taken| taken.position.delivery).collect();
    let claims = shared.with.store.claim(&ids, now).await;
    if let Err(error) = &claims {
        tracing::error!(error = %error, "Could not claim deliveries; trying again.");
        let clock = &shared.with.clock;
        clock.wait_until(clock.now().after(store_wait(failures + 1))).await;
    }
    (taken, claims)
}

/// The end of the claim under way. Cancel safe: it stays where it is until it has ended.
async fn claimed(claiming: &mut Option<Claiming>) -> (Vec<Taken>, Result<Vec<Claim>, StoreError>) {
    match claiming {
        None => std::future::pending().await,
        Some(claim) => {
            let ended = claim.await;
            *claiming = None;
            ended
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(max: u32, per_worker: u32) -> (usize, usize) {
        let all = Slots::shared_out(&WorkersConfig { max, per_worker, ..WorkersConfig::default() });
        assert!(all.iter().all(|slots| slots.free() == per_worker as usize));
        (all.iter().map(|slots| slots.general).sum(), all.iter().map(|slots| slots.reserved).sum())
    }

    #[test]
    fn one_slot_in_eight_and_at_least_one_is_reserved() {
        assert_eq!(slots(4, 64), (224, 32));
        assert_eq!(slots(3, 5), (14, 1));
        assert_eq!(slots(1, 2), (1, 1));
        assert_eq!(slots(2, 1), (1, 1));
    }

    #[test]
    fn a_single_slot_takes_anything() {
        assert_eq!(slots(1, 1), (1, 0));
    }
}
