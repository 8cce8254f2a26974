//! The workers there are: they come up one after the other, and go when they have nothing left to do.
//!
//! *Invariants:* tasks that are there, those that end included, are never more than `max`: who is to come comes from
//! those who are about to go first. One slot in eight of those who stay takes only critical and high, whatever their
//! number is.
//!
//! *Not here:* when there are too few or too many (`scaler`), when that is looked at (`monitor`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::balance::Seat;
use super::desk::{Desk, Left, Papers};
use super::slots::Slots;
use super::statistics::{PoolStatus, WorkerStatus};
use super::worker::{Order, Worker};
use super::{Mode, Shared};
use crate::config::WorkersConfig;
use crate::domain::{EventBody, PoolScaled, ScaleReason, Timestamp, WorkerChange, WorkerEvent, WorkerNumber};
use crate::queue::Slot;

/// Workers that have ended and are still shown.
const STOPPED_MAX: usize = 8;

pub(super) struct Pool {
    pub(super) shared: Arc<Shared>,
    pub(super) mode: watch::Sender<Mode>,
    crew: Mutex<Crew>,
}

/// The workers, and how many there should be.
pub(super) struct Crew {
    members: BTreeMap<WorkerNumber, Member>,
    /// Tasks that were replaced and may come back from where they are stuck.
    left: Vec<AbortHandle>,
    stopped: VecDeque<WorkerStatus>,
    newest: u32,
    wanted: u32,
    /// The size that somebody has set by hand.
    pub(super) pinned: Option<u32>,
    pub(super) load: Option<f64>,
    /// Nobody comes any more.
    is_over: bool,
}

struct Member {
    desk: Arc<Desk>,
    order: watch::Sender<Order>,
    task: AbortHandle,
    is_draining: bool,
    started_at: Timestamp,
    /// Of its desk, when it was last looked at.
    area: u64,
}

/// Tells that a task has ended, however it did.
struct Presence {
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    ended_well: bool,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.desk.ended(self.ended_well);
        self.shared.ended.send_modify(|ended| *ended += 1);
        self.shared.stir.notify_one();
    }
}

impl Pool {
    pub(super) fn new(shared: Arc<Shared>, mode: Mode) -> Arc<Self> {
        let crew = Crew {
            members: BTreeMap::new(),
            left: Vec::new(),
            stopped: VecDeque::new(),
            newest: 0,
            // A start finds what waited meanwhile: all hands, and those who are too many go when it is quiet.
            wanted: shared.workers.get().max,
            pinned: None,
            load: None,
            is_over: false,
        };
        let pool = Arc::new(Self { shared, mode: watch::Sender::new(mode), crew: Mutex::new(crew) });
        pool.lock().start_next(&pool);
        pool
    }

    /// All workers are to do this from here on.
    pub(super) fn order(&self, mode: Mode) {
        self.order_if(|_| true, mode);
    }

    /// The same, if what they do now is so.
    pub(super) fn order_if(&self, is_so: impl FnOnce(Mode) -> bool, mode: Mode) {
        let crew = self.lock();
        if !is_so(*self.mode.borrow()) {
            return;
        }
        self.mode.send_replace(mode);
        for member in crew.members.values().filter(|member| !member.is_draining || mode == Mode::Ending) {
            member.order.send_modify(|order| order.mode = mode);
        }
    }

    /// Returns once every worker has ended.
    pub(super) async fn ended(&self) {
        let mut ended = self.shared.ended.subscribe();
        loop {
            ended.borrow_and_update();
            let is_over = self.lock().all_gone(self);
            if is_over || ended.changed().await.is_err() {
                return;
            }
        }
    }

    /// Sets the size by hand, or lets it follow the load again.
    pub(super) fn pin(&self, workers: Option<u32>) {
        let mut crew = self.lock();
        crew.pinned = workers;
        crew.follow(self, ScaleReason::ByHand);
        drop(crew);
        self.shared.stir.notify_one();
    }

    /// Follows these settings from here on.
    pub(super) fn reconfigure(&self, config: WorkersConfig) {
        let mut crew = self.lock();
        if config == self.config() {
            return;
        }
        self.shared.workers.set(config);
        crew.follow(self, ScaleReason::Configuration);
        crew.share_out(self);
        // After the desks were looked at under their locks: what is handed over by the old strategy lies there by now.
        for member in crew.members.values() {
            member.order.send_modify(|_| {});
        }
        drop(crew);
        self.shared.stir.notify_one();
    }

    /// The settings in force.
    pub(super) fn config(&self) -> WorkersConfig {
        self.shared.workers.get()
    }

    /// The pool as it is now.
    pub(super) fn status(&self) -> PoolStatus {
        let crew = self.lock();
        let alive = crew
            .members
            .iter()
            .map(|(number, member)| member.desk.status(*number, member.started_at, member.is_draining));
        let workers: Vec<WorkerStatus> = alive.chain(crew.stopped.iter().cloned()).collect();
        let (in_flight, slots) = (self.shared.in_flight(), crew.slots(self));
        let WorkersConfig { min, max, strategy, .. } = self.config();
        PoolStatus {
            size: crew.wanted,
            min,
            max,
            pinned: crew.pinned,
            // The last sample is as old as what was in flight then: nobody measures while nothing is.
            load: crew.load.filter(|_| in_flight > 0).unwrap_or(in_flight as f64 / slots.max(1) as f64),
            in_flight,
            slots,
            strategy,
            workers,
        }
    }

    /// Free slots of those who stay.
    pub(super) fn room(&self) -> Slots {
        let crew = self.lock();
        crew.staying().fold(Slots::default(), |sum, (_, member)| {
            let free = member.desk.lock().free();
            Slots { general: sum.general + free.general, reserved: sum.reserved + free.reserved }
        })
    }

    /// Those who stay, in order, as a choice sees them.
    pub(super) fn seats(&self, slot: Slot) -> (Vec<Seat>, Vec<Arc<Desk>>) {
        let now = self.shared.with.clock.now();
        let crew = self.lock();
        let seat = |(number, member): (&WorkerNumber, &Member)| {
            let mut papers = member.desk.lock();
            let busy_ms = papers.area(now);
            let has_room = *papers.free().of(slot) > 0;
            let latency = papers.record.latency().map(|latency| latency.mean).unwrap_or_default();
            let throughput = papers.record.throughput(busy_ms);
            let seat = Seat { worker: *number, in_flight: papers.used(), has_room, latency, throughput };
            (seat, Arc::clone(&member.desk))
        };
        crew.staying().map(seat).unzip()
    }

    /// Ends everything where it stands.
    pub(super) fn abort(&self) {
        let mut crew = self.lock();
        crew.is_over = true;
        crew.members.values().map(|member| &member.task).chain(&crew.left).for_each(AbortHandle::abort);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Crew> {
        self.crew.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Crew {
    fn staying(&self) -> impl DoubleEndedIterator<Item = (&WorkerNumber, &Member)> {
        self.members.iter().filter(|(_, member)| !member.is_draining && !member.desk.is_gone())
    }

    /// Workers that stay.
    pub(super) fn size(&self) -> u32 {
        u32::try_from(self.staying().count()).unwrap_or(u32::MAX)
    }

    fn slots(&self, pool: &Pool) -> usize {
        self.staying().count() * pool.config().per_worker as usize
    }

    /// Starts one of those who are wanted, unless one is coming up already.
    pub(super) fn start_next(&mut self, pool: &Pool) {
        let is_complete = self.size() >= self.wanted || self.members.len() >= pool.config().max as usize;
        if self.is_over
            || is_complete
            || self.members.values().any(|member| !member.desk.is_up() && !member.desk.is_gone())
        {
            return;
        }
        let now = pool.shared.with.clock.now();
        let order = watch::Sender::new(Order { mode: *pool.mode.borrow(), asked: 0 });
        self.employ(pool, Desk::new(Slots::default(), now), order, Left::default(), now);
        self.share_out(pool);
    }

    fn employ(
        &mut self,
        pool: &Pool,
        desk: Desk,
        order: watch::Sender<Order>,
        left: Left,
        now: Timestamp,
    ) -> WorkerNumber {
        self.newest += 1;
        let (number, desk, shared) = (WorkerNumber(self.newest), Arc::new(desk), Arc::clone(&pool.shared));
        let mut worker = Worker::new(Arc::clone(&shared), number, order.subscribe(), Arc::clone(&desk));
        worker.inherit(left);
        let presence = Presence { shared, desk: Arc::clone(&desk), ended_well: false };
        let task = tokio::spawn(async move {
            // The whole of it, so that it lives as long as the task.
            let mut presence = presence;
            worker.run().await;
            presence.ended_well = true;
        });
        let member = Member { desk, order, task: task.abort_handle(), is_draining: false, started_at: now, area: 0 };
        self.members.insert(number, member);
        pool.shared.tell_of(number, WorkerChange::Started, None, now);
        number
    }

    /// Has as many workers as the settings and who sets them by hand allow.
    fn follow(&mut self, pool: &Pool, reason: ScaleReason) {
        let WorkersConfig { min, max, .. } = pool.config();
        let to = match self.pinned {
            Some(workers) => workers.min(max),
            None => self.wanted.clamp(min, max),
        };
        if let Some(workers) = self.pinned.filter(|workers| *workers > max) {
            tracing::warn!(
                workers,
                max,
                "More workers were set by hand than `max` in [workers] allows: there are {max}. Set `max = {workers}`, or \
                 let the pool follow the load: `campanile workers scale auto`."
            );
        }
        self.resize(pool, to, reason, None, pool.shared.with.clock.now());
    }

    /// Has as many workers as are wanted from here on. Those who are too many end with what they have, `idle` first.
    pub(super) fn resize(
        &mut self,
        pool: &Pool,
        to: u32,
        reason: ScaleReason,
        idle: Option<WorkerNumber>,
        now: Timestamp,
    ) {
        let from = std::mem::replace(&mut self.wanted, to);
        if from == to {
            return;
        }
        let load_percent = (self.load.unwrap_or_default() * 100.0).round().clamp(0.0, 100.0) as u8;
        tracing::info!(from, to, reason = reason.as_str(), load_percent, "The pool of workers has another size.");
        pool.shared.news.tell(now, EventBody::PoolScaled(PoolScaled { from, to, reason, load_percent }));
        let mut missing = i64::from(to) - i64::from(self.size());
        let mode = *pool.mode.borrow();
        for member in self.members.values_mut().filter(|member| member.is_draining) {
            if missing > 0 && !member.desk.is_closed() {
                member.is_draining = false;
                member.order.send_modify(|order| order.mode = mode);
                missing -= 1;
            }
        }
        let newest = self.staying().map(|(number, _)| *number).rev().filter(|number| Some(*number) != idle);
        let leaving: Vec<WorkerNumber> = idle.into_iter().chain(newest).take((-missing).max(0) as usize).collect();
        for number in leaving {
            if let Some(member) = self.members.get_mut(&number) {
                member.is_draining = true;
                member.order.send_modify(|order| order.mode = Mode::Draining);
            }
        }
        self.share_out(pool);
        self.start_next(pool);
    }

    /// Shares the slots out among those who stay.
    fn share_out(&self, pool: &Pool) {
        let staying: Vec<&Member> = self.staying().map(|(_, member)| member).collect();
        let shares = Slots::shared_out(staying.len().try_into().unwrap_or(u32::MAX), pool.config().per_worker);
        pool.shared.with.queue.set_slots(Slots::count(&shares));
        for (member, share) in staying.iter().zip(shares) {
            let before = std::mem::replace(&mut member.desk.lock().slots, share);
            if before != share {
                // It may have had none, and does not wait for work then.
                member.order.send_modify(|_| {});
            }
        }
        pool.shared.with.queue.wake();
        pool.shared.freed.notify_one();
    }

    /// Lets those go who have ended in order.
    pub(super) fn bury(&mut self, now: Timestamp, shared: &Shared) {
        let ended = |(number, member): (&WorkerNumber, &Member)| {
            (member.desk.is_gone() && member.desk.ended_well()).then_some(*number)
        };
        for number in self.members.iter().filter_map(ended).collect::<Vec<_>>() {
            if let Some(member) = self.members.remove(&number) {
                self.stopped.push_back(member.desk.status(number, member.started_at, true));
                shared.tell_of(number, WorkerChange::Stopped, None, now);
            }
        }
        let too_many = self.stopped.len().saturating_sub(STOPPED_MAX);
        self.stopped.drain(..too_many);
    }

    /// Whether nobody is left. For the end: who broke is not replaced.
    fn all_gone(&mut self, pool: &Pool) -> bool {
        self.bury(pool.shared.with.clock.now(), &pool.shared);
        for worker in self.broken() {
            // Nobody is left to take its claims over; the next start finds them waiting.
            tracing::error!(worker = %worker, "A worker ended by a defect.");
            self.members.remove(&worker);
        }
        self.members.is_empty()
    }

    /// Those whose task has ended by a defect.
    pub(super) fn broken(&self) -> Vec<WorkerNumber> {
        let is_broken = |member: &Member| member.desk.is_gone() && !member.desk.ended_well();
        self.members.iter().filter(|(_, member)| is_broken(member)).map(|(number, _)| *number).collect()
    }

    /// Asks every worker whether it is well.
    pub(super) fn ask(&self, question: u64) {
        for member in self.members.values() {
            member.order.send_modify(|order| order.asked = question);
        }
    }

    /// Those who were asked and have not answered.
    pub(super) fn silent(&self) -> Vec<WorkerNumber> {
        let is_silent = |member: &Member| member.desk.answered() < member.order.borrow().asked;
        self.members.iter().filter(|(_, member)| is_silent(member)).map(|(number, _)| *number).collect()
    }

    /// Puts another worker in the place of one that is stuck or broken, with all that it had.
    pub(super) fn replace(&mut self, pool: &Pool, number: WorkerNumber, why: &str, now: Timestamp) {
        if self.is_over {
            return;
        }
        let Some((desk, left)) = self.members.get(&number).and_then(|member| member.desk.take_over(now)) else {
            return;
        };
        let Some(Member { order, task, is_draining, .. }) = self.members.remove(&number) else { return };
        self.left.retain(|task| !task.is_finished());
        self.left.push(task);
        tracing::error!(worker = %number, calls = left.calls.len(), why, "A worker was replaced.");
        // What was asked of the other one is not asked of this one.
        order.send_modify(|order| order.asked = 0);
        let successor = self.employ(pool, desk, order, left, now);
        if let Some(member) = self.members.get_mut(&successor) {
            member.is_draining = is_draining;
        }
        let reason = format!("{why}; worker {successor} has what it had");
        pool.shared.tell_of(number, WorkerChange::Replaced, Some(reason), now);
        self.share_out(pool);
    }

    /// Slots in use since the last time, in slots × milliseconds, of those who stay.
    pub(super) fn area(&mut self, now: Timestamp) -> u64 {
        let mut sum = 0_u64;
        for member in self.members.values_mut() {
            let area = member.desk.lock().area(now);
            let passed = area.saturating_sub(std::mem::replace(&mut member.area, area));
            sum = sum.saturating_add(if member.is_draining { 0 } else { passed });
        }
        sum
    }

    /// Who stays and has had nothing for the longest, and since when.
    pub(super) fn most_idle(&self) -> Option<(WorkerNumber, Timestamp)> {
        let idle = self.staying().filter_map(|(number, member)| {
            let papers = member.desk.lock();
            let since = papers.record.last_activity.unwrap_or(member.started_at);
            Papers::is_empty(&papers).then_some((*number, since))
        });
        idle.min_by_key(|(_, since)| *since)
    }
}

impl Shared {
    pub(super) fn tell_of(&self, worker: WorkerNumber, change: WorkerChange, reason: Option<String>, at: Timestamp) {
        self.news.tell(at, EventBody::Worker(WorkerEvent { change, worker, reason }));
    }
}
