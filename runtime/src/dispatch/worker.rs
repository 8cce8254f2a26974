//! One worker: a task with many deliveries in flight, and no task for each.

use std::cmp::Reverse;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;

use super::attempt::{Aside, Finished, Held, Underway, Wait};
use super::desk::{Claimed, Desk, Left};
use super::settling::{Freed, set_aside, settle_durably};
use super::{Mode, Shared, store_wait};
use crate::domain::{DeliveryId, EventBody, Interruption, Timestamp, WorkerChange, WorkerEvent, WorkerNumber};
use crate::queue::{Slot, Taken};
use crate::store::Claim;

/// Finished attempts that are gathered, where they are ready at once, before they are handed to the store.
const GATHERED_MAX: usize = 16;

/// What a worker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// What it is to do.
    pub(super) mode: Mode,
    /// The last time it was asked whether it is well.
    pub(super) asked: u64,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    number: WorkerNumber,
    order: watch::Receiver<Order>,
    desk: Arc<Desk>,
    /// Whether it takes from the queue itself.
    pulls: bool,
    claim_failures: u32,
    asked: u64,
    /// What woke up because of this worker may have to run on its thread.
    woke_monitor: bool,
    underway: FuturesUnordered<Underway>,
}

/// What came of looking after the calls.
enum Looked {
    Ended(Result<Finished, Aside>),
    /// Another worker has what this one had. With what came of the call that took so long, if anything did.
    Replaced(Option<Finished>),
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        number: WorkerNumber,
        order: watch::Receiver<Order>,
        desk: Arc<Desk>,
    ) -> Self {
        let (pulls, underway) = (shared.workers.pulls(), FuturesUnordered::new());
        Self { shared, number, order, desk, pulls, claim_failures: 0, asked: 0, woke_monitor: false, underway }
    }

    /// Settles what a worker was at that answers no more, and gives back what it could not claim. What else it had lies
    /// on the desk.
    pub(super) fn inherit(&mut self, Left { calls, unclaimed }: Left) {
        if !unclaimed.is_empty() {
            self.shared.with.queue.give_back(&unclaimed);
            self.release(&unused(&unclaimed));
        }
        let now = self.shared.with.clock.now();
        let message = "the worker that made the call answered no more and was replaced";
        let finished =
            calls.into_iter().map(|held| Finished::cut_short(held, Interruption::HostBug, message.to_owned(), now));
        let finished: Vec<Finished> = finished.collect();
        if !finished.is_empty() {
            self.write(finished);
        }
    }

    pub(super) async fn run(mut self) {
        let (shared, desk) = (Arc::clone(&self.shared), Arc::clone(&self.desk));
        desk.came_up();
        shared.stir.notify_one();
        loop {
            let Order { mode, asked } = *self.order.borrow_and_update();
            if asked != self.asked {
                self.asked = asked;
                desk.answer(asked);
                self.give_up_overdue();
            }
            match mode {
                Mode::Running | Mode::Paused => {}
                Mode::Draining if self.underway.is_empty() && desk.close_if_empty() => return,
                Mode::Draining => {}
                Mode::Ending => return self.end().await,
            }
            let pulls = shared.workers.pulls();
            let has_switched = std::mem::replace(&mut self.pulls, pulls) != pulls;
            let work = if self.pulls { shared.with.queue.work() } else { desk.handed.notified() };
            tokio::pin!(work);
            // Before looking, so that what comes in between is not missed.
            work.as_mut().enable();
            let waits_for_work = if self.pulls { mode == Mode::Running && self.wants() && !self.take() } else { true };
            // What was handed over before it began to take for itself is its own.
            if !self.pulls || has_switched {
                self.take_over_claims();
            }
            if std::mem::take(&mut self.woke_monitor) {
                // Before a call that may never give the thread back.
                tokio::task::yield_now().await;
            }

            tokio::select! {
                biased;
                // The sender lives as long as the dispatcher; without one nobody is left to work for.
                changed = self.order.changed() => if changed.is_err() { return },
                freed = poll_fn(|context| desk.poll_settled(context)) => self.release(&freed),
                claimed = poll_fn(|context| desk.poll_claimed(context)) => self.begin(claimed),
                looked = look_after(&desk, &mut self.underway), if !self.underway.is_empty() => match looked {
                    Looked::Ended(ended) => if let Some(late) = self.settle(ended) { return self.leave(late).await },
                    Looked::Replaced(late) => return self.leave(late.into_iter().collect()).await,
                },
                () = work, if waits_for_work => {}
            }
        }
    }

    /// Whether it can use more.
    fn wants(&self) -> bool {
        let papers = self.desk.lock();
        !papers.is_claiming() && papers.free().total() > 0
    }

    /// Fills free slots, up to a batch, and begins to claim for them. Tells whether there was anything to take.
    fn take(&mut self) -> bool {
        let queue = &self.shared.with.queue;
        let most = self.shared.workers.batch().min(self.shared.room());
        let mut papers = self.desk.lock();
        let free = papers.free();
        let mut taken = Vec::new();
        // Reserved slots first: what they can take need not hold a slot that anything could use.
        queue.take(Slot::Reserved, free.reserved.min(most), &mut taken);
        let now = queue.take(Slot::General, free.general.min(most - taken.len()), &mut taken);
        if taken.is_empty() {
            return false;
        }
        self.woke_monitor = self.shared.took(&taken, now);
        let taken_too = taken.clone();
        let claiming = Box::pin(claim(Arc::clone(&self.shared), taken, now, self.claim_failures));
        papers.claim(taken_too, claiming, now);
        true
    }

    /// Starts what was claimed. What was taken and not claimed needs nothing: it is claimed, final, or stands in the
    /// queue a second time with its right due time.
    fn begin(&mut self, (taken, claims): Claimed) {
        let Ok(claims) = claims else {
            self.claim_failures = self.claim_failures.saturating_add(1);
            self.shared.with.queue.give_back(&taken);
            return self.release(&unused(&taken));
        };
        self.claim_failures = 0;
        let (claimed, left) = matched(taken, claims);
        self.release(&unused(&left));
        self.shared.forget(left.iter().map(|taken| taken.position.delivery));
        self.start(claimed);
    }

    /// Begins what somebody has handed over.
    fn take_over_claims(&mut self) {
        let claimed = self.desk.lock().take_inbox();
        if !claimed.is_empty() {
            self.start(claimed);
        }
    }

    fn start(&mut self, mut claimed: Vec<(Claim, Taken)>) {
        let started_at = self.shared.with.clock.now();
        // Of those who ask together, the most urgent first, whatever order the store claimed them in.
        claimed.sort_by_key(|(_, taken)| (Reverse(taken.priority), taken.position));
        let (mut over, mut aside) = (Vec::new(), Vec::new());
        let desk = Arc::clone(&self.desk);
        let mut papers = desk.lock();
        for (claim, taken) in claimed {
            let mut held = Held { claim, taken, started_at, host: None };
            let is_question = held.claim.progress.accepted.is_some();
            if held.is_over(&self.shared.with.policies).is_some() || (taken.is_detour && !is_question) {
                over.push(Finished { held: Arc::new(held), report: None });
                continue;
            }
            // What the provider took is only asked about: its recipient gets nothing more by that.
            let admitted = if is_question { Ok(None) } else { self.shared.destinations.admit(&held.claim, started_at) };
            match admitted {
                Ok(host) => {
                    held.host = host;
                    let held = Arc::new(held);
                    papers.begin(&held);
                    self.underway.push(Underway::begin(&self.shared, held));
                }
                Err(later) => aside.push(Aside { held: Arc::new(held), wait: Wait::Turn(later) }),
            }
        }
        drop(papers);
        self.shared.forget(over.iter().map(|finished| finished.held.claim.delivery));
        if !over.is_empty() {
            self.write(over);
        }
        if !aside.is_empty() {
            self.set_aside(aside);
        }
    }

    /// Hands over what has ended, together with what else has by now. Where the worker was replaced meanwhile, this is
    /// what is too late.
    fn settle(&mut self, first: Result<Finished, Aside>) -> Option<Vec<Finished>> {
        let mut ended = vec![first];
        let mut late = None;
        while ended.len() < GATHERED_MAX && !self.underway.is_empty() {
            match look_after(&self.desk, &mut self.underway).now_or_never() {
                Some(Looked::Ended(next)) => ended.push(next),
                Some(Looked::Replaced(last)) => {
                    late = Some(last);
                    break;
                }
                None => break,
            }
        }
        let (mut finished, mut aside) = (Vec::new(), Vec::new());
        for ended in ended {
            match ended {
                Ok(ended) => finished.push(ended),
                Err(waits) => aside.push(waits),
            }
        }
        if let Some(last) = late {
            finished.extend(last);
            return Some(finished);
        }
        let mut papers = self.desk.lock();
        finished.iter().for_each(|finished| papers.end(&finished.held, finished.report.as_ref()));
        aside.iter().for_each(|aside| papers.forget(&aside.held));
        drop(papers);
        if !finished.is_empty() {
            self.write(finished);
        }
        if !aside.is_empty() {
            self.set_aside(aside);
        }
        None
    }

    fn set_aside(&self, aside: Vec<Aside>) {
        self.desk.lock().settle(Box::pin(set_aside(Arc::clone(&self.shared), self.order.clone(), aside)));
    }

    fn write(&mut self, finished: Vec<Finished>) {
        let settling = settle_durably(Arc::clone(&self.shared), self.order.clone(), finished);
        self.desk.lock().settle(Box::pin(settling));
    }

    fn release(&mut self, freed: &[Freed]) {
        if freed.is_empty() {
            return;
        }
        let mut papers = self.desk.lock();
        let had_too_many = papers.used() > papers.slots.total();
        papers.release(freed, self.shared.with.clock.now());
        drop(papers);
        self.shared.released(freed);
        if had_too_many || self.order.borrow().mode == Mode::Draining {
            // What a channel may hold depends on all slots, and this worker takes nothing for these.
            self.shared.with.queue.wake();
        }
    }

    /// Gives up calls that nothing else has ended.
    fn give_up_overdue(&mut self) {
        let now = self.shared.with.clock.now();
        if !self.underway.iter().any(|underway| underway.overdue(&self.shared, now).is_some()) {
            return;
        }
        let mut finished = Vec::new();
        for underway in std::mem::take(&mut self.underway) {
            let Some(overdue) = underway.overdue(&self.shared, now) else {
                self.underway.push(underway);
                continue;
            };
            tracing::error!(worker = %self.number, error = %overdue, "A call outlived its limits and was given up.");
            let (worker, reason) = (self.number, Some(overdue.to_string()));
            let event = WorkerEvent { change: WorkerChange::TimedOut, worker, reason };
            self.shared.news.tell(now, EventBody::Worker(event));
            finished.extend(underway.give_up(&overdue, now));
        }
        let mut papers = self.desk.lock();
        finished.iter().for_each(|finished| papers.end(&finished.held, finished.report.as_ref()));
        drop(papers);
        self.write(finished);
    }

    /// Ends what is in flight. Each attempt is settled as interrupted, if the store takes it at once.
    async fn end(mut self) {
        let now = self.shared.with.clock.now();
        let underway = std::mem::take(&mut self.underway);
        let interrupted: Vec<Finished> = underway.into_iter().filter_map(|underway| underway.interrupt(now)).collect();
        if !interrupted.is_empty() {
            self.write(interrupted);
        }
        let desk = Arc::clone(&self.desk);
        while desk.lock().is_settling() {
            let freed = poll_fn(|context| desk.poll_settled(context)).await;
            self.release(&freed);
        }
    }

    /// Somebody else has the slots and has settled the claims. What came of calls all the same is for the store to count.
    async fn leave(self, late: Vec<Finished>) {
        let Self { shared, order, underway, .. } = self;
        drop(underway);
        if !late.is_empty() {
            settle_durably(shared, order, late).await;
        }
    }
}

fn unused(taken: &[Taken]) -> Vec<Freed> {
    taken.iter().map(Freed::unused).collect()
}

/// Each claim with what was taken for it, and what was taken and not claimed.
pub(super) fn matched(taken: Vec<Taken>, claims: Vec<Claim>) -> (Vec<(Claim, Taken)>, Vec<Taken>) {
    let mut unused = taken;
    let mut claimed = Vec::with_capacity(claims.len());
    for claim in claims {
        let is_it = |taken: &Taken| taken.position.delivery == claim.delivery;
        let Some(place) = unused.iter().position(is_it) else { continue };
        let taken = unused.swap_remove(place);
        claimed.push((claim, taken));
    }
    (claimed, unused)
}

/// The next call that ends. What calls do is foreign: it may take long, and never come back.
async fn look_after(desk: &Desk, underway: &mut FuturesUnordered<Underway>) -> Looked {
    poll_fn(|context| {
        let (polled, is_ours) = desk.away(|| underway.poll_next_unpin(context));
        match polled.map(Option::transpose) {
            Poll::Ready(Ok(late)) if !is_ours => Poll::Ready(Looked::Replaced(late)),
            Poll::Ready(Err(_)) | Poll::Pending if !is_ours => Poll::Ready(Looked::Replaced(None)),
            Poll::Ready(Ok(Some(finished))) => Poll::Ready(Looked::Ended(Ok(finished))),
            Poll::Ready(Err(aside)) => Poll::Ready(Looked::Ended(Err(aside))),
            Poll::Ready(Ok(None)) | Poll::Pending => Poll::Pending,
        }
    })
    .await
}

pub(super) async fn claim(shared: Arc<Shared>, taken: Vec<Taken>, now: Timestamp, failures: u32) -> Claimed {
    let ids: Vec<DeliveryId> = taken.iter().map(|taken| taken.position.delivery).collect();
    let claims = shared.with.store.claim(&ids, now).await;
    if let Err(error) = &claims {
        tracing::error!(error = %error, "Could not claim deliveries; trying again.");
        let clock = &shared.with.clock;
        clock.wait_until(clock.now().after(store_wait(failures + 1))).await;
    }
    (taken, claims)
}
