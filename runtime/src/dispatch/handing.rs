//! Gives deliveries to workers by a strategy, where they do not take them themselves.
//!
//! *Flow:* it takes from the queue what the workers have room for, claims it, and hands each claim to the worker that the
//! strategy chooses. What a notification is of a kind is known only then.

use std::sync::Arc;

use tokio::sync::watch;

use super::balance::{Balancer, Key};
use super::pool::Pool;
use super::settling::Freed;
use super::statistics::Affinity;
use super::worker::{claim, matched};
use super::{Mode, store_wait};
use crate::config::Balance;
use crate::queue::{Slot, Taken};
use crate::store::{Claim, StoreError};

/// Hands out until the workers are told to end, whenever a strategy is set under which they do not take for themselves.
pub(super) async fn hand_out(pool: Arc<Pool>) {
    let strategy = pool.config().strategy;
    let mut hands = Hands { balancer: Balancer::new(strategy), strategy, pool, claim_failures: 0 };
    let pool = Arc::clone(&hands.pool);
    let mut mode = pool.mode.subscribe();
    loop {
        let now = *mode.borrow_and_update();
        if let Mode::Draining | Mode::Ending = now {
            return;
        }
        let freed = pool.shared.freed.notified();
        tokio::pin!(freed);
        freed.as_mut().enable();
        if hands.follow(pool.config().strategy) == Balance::Pull {
            // Whoever waits for work keeps it from those who take it. A strategy that is set comes with new shares.
            tokio::select! {
                biased;
                changed = mode.changed() => if changed.is_err() { return },
                () = freed => {}
            }
            continue;
        }
        let work = pool.shared.with.queue.work();
        tokio::pin!(work);
        work.as_mut().enable();
        if now == Mode::Running && hands.turn(&mode).await {
            continue;
        }
        tokio::select! {
            biased;
            changed = mode.changed() => if changed.is_err() { return },
            () = freed => {}
            () = work => {}
        }
    }
}

struct Hands {
    pool: Arc<Pool>,
    strategy: Balance,
    balancer: Balancer,
    claim_failures: u32,
}

impl Hands {
    /// Chooses by this from here on.
    fn follow(&mut self, strategy: Balance) -> Balance {
        if self.strategy != strategy {
            (self.strategy, self.balancer) = (strategy, Balancer::new(strategy));
        }
        strategy
    }

    /// Takes a batch and hands it out. Tells whether there was anything to take, and room for it.
    async fn turn(&mut self, mode: &watch::Receiver<Mode>) -> bool {
        let shared = Arc::clone(&self.pool.shared);
        let (queue, room, batch) = (&shared.with.queue, self.pool.room(), shared.workers.batch().min(shared.room()));
        let mut taken = Vec::new();
        queue.take(Slot::Reserved, room.reserved.min(batch), &mut taken);
        let now = queue.take(Slot::General, room.general.min(batch - taken.len()), &mut taken);
        if taken.is_empty() {
            return false;
        }
        shared.took(&taken, now);
        let (taken, claims) = claim(Arc::clone(&shared), taken, now, self.claim_failures).await;
        let Ok(claims) = claims else {
            self.claim_failures = self.claim_failures.saturating_add(1);
            queue.give_back(&taken);
            release(&self.pool, &taken);
            return true;
        };
        self.claim_failures = 0;
        let (claimed, unused) = matched(taken, claims);
        release(&self.pool, &unused);
        shared.forget(unused.iter().map(|taken| taken.position.delivery));
        let is_over = matches!(*mode.borrow(), Mode::Draining | Mode::Ending);
        let mut homeless = Vec::new();
        for (claim, taken) in claimed {
            if is_over || !self.hand(&claim, taken) {
                homeless.push((claim, taken));
            }
        }
        if !homeless.is_empty() {
            self.put_back(homeless).await;
        }
        true
    }

    /// Whether somebody has it.
    fn hand(&mut self, claim: &Claim, taken: Taken) -> bool {
        let shared = &self.pool.shared;
        let key = Key { channel: claim.channel.as_str(), kind: &claim.notification.kind };
        let (seats, desks) = self.pool.seats(taken.hold.slot);
        let roll = || u64::from_le_bytes(shared.with.entropy.bytes());
        let Some(place) = self.balancer.choose(&seats, key, roll) else { return false };
        let affinity = (self.strategy == Balance::Affinity)
            .then(|| Affinity { channel: claim.channel.clone(), kind: claim.notification.kind.clone() });
        let mut papers = desks[place].lock();
        // Between the look at it and now it may have been told to end, or to take for itself: then it does not look for what
        // is handed over any more.
        if *papers.free().of(taken.hold.slot) == 0 || shared.workers.pulls() {
            return false;
        }
        papers.hand_over(claim.clone(), taken, affinity, shared.with.clock.now());
        drop(papers);
        desks[place].handed.notify_one();
        true
    }

    /// Nobody has room for these any more: they wait as before.
    async fn put_back(&self, homeless: Vec<(Claim, Taken)>) {
        let shared = &self.pool.shared;
        let claims: Vec<u64> = homeless.iter().map(|(claim, _)| claim.number).collect();
        let taken: Vec<Taken> = homeless.into_iter().map(|(_, taken)| taken).collect();
        let mut failures = 0;
        loop {
            match shared.with.store.release(&claims).await {
                Ok(()) => break shared.with.queue.give_back(&taken),
                Err(StoreError::Closed) => break,
                Err(error) => {
                    failures += 1;
                    tracing::error!(error = %error, failures, "Could not give up claims; trying again.");
                    let clock = &shared.with.clock;
                    clock.wait_until(clock.now().after(store_wait(failures))).await;
                }
            }
        }
        release(&self.pool, &taken);
    }
}

fn release(pool: &Pool, taken: &[Taken]) {
    let freed: Vec<_> = taken.iter().map(Freed::unused).collect();
    if !freed.is_empty() {
        pool.shared.released(&freed);
    }
}
