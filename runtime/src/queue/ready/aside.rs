//! What was taken, cannot be called with yet, and is not worth asking about again: what it needs is held, or it is its
//! own turn that comes later, as where its recipient gets so many an hour.
//!
//! *Invariants:* memory is bounded by [`WindowLimits::total`]. A lane that would bring more waits as a whole until
//! something is let go: others on its channel pay for that, but only behind a million.

use std::collections::{BTreeMap, BTreeSet};

use super::{LaneNumber, PRIORITIES, ReadyQueue, Taken, rank_of};
use crate::domain::{ChannelName, DeliveryId, PluginName, Timestamp};
#[cfg(doc)]
use crate::queue::WindowLimits;
use crate::queue::channels::ChannelNumber;

/// Deliveries that are set aside, by the template engine that they wait for.
#[derive(Debug, Default)]
pub(super) struct Aside {
    held: BTreeSet<PluginName>,
    waiting: BTreeMap<PluginName, Vec<Taken>>,
    /// Nothing keeps them aside any more: they are about to be in their lanes.
    let_go: Vec<Taken>,
    /// Deliveries whose own turn comes at an instant.
    deferred: BTreeMap<(Timestamp, DeliveryId), Taken>,
    by_rank: [u64; PRIORITIES],
    /// How many of each channel, by its number.
    by_channel: Vec<Kept>,
    /// Lanes wait as a whole.
    are_clogged: bool,
}

/// How many deliveries of one channel are set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// All of them.
    pub(super) all: u64,
    /// Those whose own turn comes at an instant.
    pub(super) deferred: u64,
}

/// How many of those that come next are looked through for the first of each channel.
const LOOKED_AT_MAX: usize = 4_096;

impl Aside {
    fn len(&self) -> u64 {
        self.by_rank.iter().sum()
    }

    /// When the first of those comes that are deferred.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.deferred.first_key_value().map(|((until, _), _)| *until)
    }

    /// How many of one priority.
    pub(super) const fn in_rank(&self, rank: usize) -> u64 {
        self.by_rank[rank]
    }

    /// How many of one channel.
    pub(super) fn of(&self, channel: ChannelNumber) -> Kept {
        self.by_channel.get(channel as usize).copied().unwrap_or_default()
    }

    fn kept(&mut self, channel: ChannelNumber) -> &mut Kept {
        let place = channel as usize;
        if self.by_channel.len() <= place {
            self.by_channel.resize(place + 1, Kept::default());
        }
        &mut self.by_channel[place]
    }
}

/// A delivery that is [deferred](ReadyQueue::defer) and is to come earlier, because somebody before it does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called {
    /// Which.
    pub delivery: DeliveryId,
    /// Until when it was deferred.
    pub from: Timestamp,
    /// When it is to come.
    pub to: Timestamp,
}

impl ReadyQueue {
    /// What was taken waits until this template engine is held no longer, or as before where it is not held. Tells
    /// whether there may be something to take.
    pub fn set_aside(&mut self, engine: &PluginName, taken: Taken, now: Timestamp) -> bool {
        self.advance(now);
        if !self.aside.held.contains(engine) {
            self.enter(taken.lane, taken.position);
            return true;
        }
        if self.has_room_for(&taken) {
            self.aside.waiting.entry(engine.clone()).or_default().push(taken);
        }
        false
    }

    /// What was taken waits until `until`, or as before where that has come. Tells whether there may be something to
    /// take.
    pub fn defer(&mut self, taken: Taken, until: Timestamp, now: Timestamp) -> bool {
        self.advance(now);
        if until <= self.now {
            self.enter(taken.lane, taken.position);
            return true;
        }
        if self.has_room_for(&taken) {
            let channel = self.channel_of(taken.lane);
            self.aside.kept(channel).deferred += 1;
            self.aside.deferred.insert((until, taken.position.delivery), taken);
        }
        false
    }

    /// These come at another instant. One that is not deferred until the instant it was said to be stays as it is. Tells
    /// whether there may be something to take.
    pub fn call_up(&mut self, called: &[Called], now: Timestamp) -> bool {
        for Called { delivery, from, to } in called {
            if let Some(taken) = self.aside.deferred.remove(&(*from, *delivery)) {
                self.aside.deferred.insert((*to, *delivery), taken);
            }
        }
        self.advance(now)
    }

    /// What is deferred on these channels, whatever until, is to be [taken in](Self::take_in).
    pub fn let_go_of(&mut self, is_one: impl Fn(&ChannelName) -> bool) {
        let Self { aside, lanes, channels, .. } = self;
        let is_one = |taken: &Taken| is_one(channels.name(lanes[taken.lane as usize].channel));
        let let_go: Vec<Taken> =
            aside.deferred.extract_if(.., |_, taken| is_one(taken)).map(|(_, taken)| taken).collect();
        for taken in &let_go {
            aside.kept(lanes[taken.lane as usize].channel).deferred -= 1;
        }
        aside.let_go.extend(let_go);
    }

    /// How many deliveries of this channel are deferred.
    #[must_use]
    pub fn deferred(&self, channel: &ChannelName) -> usize {
        let number = self.channels.get(channel);
        number.map_or(0, |number| self.aside.of(number).deferred as usize)
    }

    /// When the first delivery of each channel is looked at again that is deferred, as far as that is soon.
    pub(super) fn first_deferred(&self) -> BTreeMap<ChannelNumber, Timestamp> {
        let mut first = BTreeMap::new();
        for ((until, _), taken) in self.aside.deferred.iter().take(LOOKED_AT_MAX) {
            first.entry(self.channel_of(taken.lane)).or_insert(*until);
        }
        first
    }

    /// It is in its lane again.
    fn back(&mut self, taken: &Taken, was_deferred: bool) {
        let kept = self.aside.kept(self.lanes[taken.lane as usize].channel);
        kept.all -= 1;
        kept.deferred -= u64::from(was_deferred);
        self.aside.by_rank[rank_of(taken.priority)] -= 1;
        self.enter(taken.lane, taken.position);
    }

    /// Counts it as set aside, or has its lane wait as a whole where there is too much.
    fn has_room_for(&mut self, taken: &Taken) -> bool {
        let has_room = self.aside.len() < self.limits.total as u64;
        if has_room {
            self.aside.by_rank[rank_of(taken.priority)] += 1;
            self.aside.kept(self.lanes[taken.lane as usize].channel).all += 1;
        } else {
            self.aside.are_clogged = true;
            self.lanes[taken.lane as usize].clogged = true;
            self.enter(taken.lane, taken.position);
            self.place(taken.lane);
        }
        has_room
    }

    /// Puts those back into their lanes whose turn has come. Tells whether there were any.
    pub(super) fn take_in_deferred(&mut self) -> bool {
        let mut woken = false;
        while let Some(first) = self.aside.deferred.first_entry()
            && first.key().0 <= self.now
        {
            let taken = first.remove();
            self.back(&taken, true);
            woken = true;
        }
        if woken {
            self.unclog();
        }
        woken
    }

    /// Holds these template engines and no others. What waited for another is to be [taken in](Self::take_in).
    pub fn hold_engines_only(&mut self, engines: &BTreeSet<PluginName>) {
        let aside = &mut self.aside;
        aside.held.clone_from(engines);
        for (_, let_go) in aside.waiting.extract_if(.., |engine, _| !engines.contains(engine)) {
            aside.let_go.extend(let_go);
        }
    }

    /// Puts up to `most` deliveries back into their lanes that nothing keeps aside any more. Tells whether there were
    /// any.
    pub fn take_in(&mut self, most: usize, now: Timestamp) -> bool {
        self.advance(now);
        let from = self.aside.let_go.len().saturating_sub(most);
        let back = self.aside.let_go.split_off(from);
        for taken in &back {
            self.back(taken, false);
        }
        if from == 0 {
            self.aside.let_go = Vec::new();
            self.unclog();
        }
        !back.is_empty()
    }

    /// There is room again: of what still has to wait, the first one that finds none says so.
    fn unclog(&mut self) {
        if !self.aside.are_clogged || self.aside.len() >= self.limits.total as u64 {
            return;
        }
        self.aside.are_clogged = false;
        for number in 0..self.lanes.len() {
            if std::mem::take(&mut self.lanes[number].clogged) {
                self.place(number as LaneNumber);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{Lane, NotificationId, Position, Priority, Queued};
    use crate::queue::{GateSettings, Slot, WindowLimits};

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn delivery(number: u8) -> DeliveryId {
        NotificationId::from_bytes([number; 16]).delivery(0)
    }

    fn queue_of(numbers: std::ops::RangeInclusive<u8>, total: usize) -> ReadyQueue {
        let mut queue = ReadyQueue::new(WindowLimits { lane: 64, total });
        let lane = Lane::shared(Priority::Normal, ChannelName::new("ops").expect("a name"));
        for number in numbers {
            let position = Position { due: START, delivery: delivery(number) };
            queue.offer(&Queued { lane: lane.clone(), position }, START);
        }
        queue
    }

    fn engine(name: &str) -> PluginName {
        PluginName::new(name).expect("a name")
    }

    fn hold(queue: &mut ReadyQueue, names: &[&str]) {
        queue.hold_engines_only(&names.iter().map(|name| engine(name)).collect());
        while queue.take_in(2, START) {}
    }

    fn take(queue: &mut ReadyQueue) -> Taken {
        queue.take(Slot::General, START).expect("one waits")
    }

    fn left(queue: &mut ReadyQueue) -> Vec<DeliveryId> {
        std::iter::from_fn(|| queue.take(Slot::General, START)).map(|taken| taken.position.delivery).collect()
    }

    #[test]
    fn what_is_set_aside_is_not_taken_until_its_engine_is_let_go() {
        let mut queue = queue_of(1..=4, 64);
        hold(&mut queue, &["mini", "other"]);
        for name in ["mini", "mini", "other"] {
            let taken = take(&mut queue);
            assert!(!queue.set_aside(&engine(name), taken, START));
        }
        assert_eq!(left(&mut queue), [delivery(4)], "what needs no engine goes on");
        assert_eq!(queue.next_due(), None, "nothing is asked meanwhile");
        assert_eq!(queue.depths()[2].waiting, 3, "they wait all the same");
        hold(&mut queue, &["other"]);
        assert_eq!(left(&mut queue), [delivery(1), delivery(2)]);
        hold(&mut queue, &[]);
        assert_eq!((left(&mut queue), queue.depths()[2].waiting), (vec![delivery(3)], 0));
    }

    #[test]
    fn what_is_deferred_is_not_taken_before_its_instant_and_goes_where_it_was() {
        let mut queue = queue_of(1..=3, 64);
        let (first, second) = (take(&mut queue), take(&mut queue));
        let (soon, later) = (START.after(Duration::from_secs(1)), START.after(Duration::from_secs(2)));
        assert!(!queue.defer(second, later, START));
        assert!(!queue.defer(first, soon, START));
        assert_eq!(left(&mut queue), [delivery(3)]);
        assert_eq!((queue.next_due(), queue.depths()[2].waiting), (Some(soon), 2));
        queue.set_gate(&ChannelName::new("ops").expect("a name"), GateSettings::default(), START);
        let status = queue.gates().remove(0);
        assert_eq!((status.waiting, status.deferred, status.deferred_until), (2, 2, Some(soon)), "they are told of");
        assert!(queue.advance(soon));
        assert_eq!(left(&mut queue), [delivery(1)]);
        assert!(queue.advance(later));
        assert_eq!((left(&mut queue), queue.next_due()), (vec![delivery(2)], None));
        let status = queue.gates().remove(0);
        assert_eq!((status.waiting, status.deferred, status.deferred_until), (0, 0, None));
    }

    #[test]
    fn of_too_many_that_are_deferred_the_lane_waits_until_one_has_come() {
        let mut queue = queue_of(1..=3, 1);
        let taken: Vec<Taken> = (0..2).map(|_| take(&mut queue)).collect();
        let soon = START.after(Duration::from_secs(1));
        for taken in taken {
            assert!(!queue.defer(taken, soon, START));
        }
        assert_eq!(left(&mut queue), [], "the third waits with them");
        queue.advance(soon);
        assert_eq!(left(&mut queue), (1..=3).map(delivery).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_deferred_comes_earlier_where_it_is_called_or_its_channel_let_go() {
        let mut queue = queue_of(1..=3, 64);
        let later = |seconds| START.after(Duration::from_secs(seconds));
        for seconds in 1..=3 {
            let taken = take(&mut queue);
            assert!(!queue.defer(taken, later(10 * seconds), START));
        }
        let called = |number, from, to| Called { delivery: delivery(number), from: later(from), to };
        assert!(
            !queue.call_up(&[called(3, 30, later(5)), called(2, 30, START)], START),
            "the second waits for another"
        );
        assert_eq!(queue.next_due(), Some(later(5)));
        assert!(queue.call_up(&[called(3, 5, START)], START));
        assert_eq!(left(&mut queue), [delivery(3)]);
        let ops = ChannelName::new("ops").expect("a name");
        assert_eq!(queue.deferred(&ops), 2);
        queue.let_go_of(|name| *name != ops);
        assert!(!queue.take_in(64, START));
        queue.let_go_of(|name| *name == ops);
        assert!(queue.take_in(64, START) && queue.deferred(&ops) == 0);
        assert_eq!(left(&mut queue), [delivery(1), delivery(2)]);
        assert_eq!((queue.next_due(), queue.depths()[2].waiting), (None, 0));
    }

    #[test]
    fn what_comes_after_its_engine_was_let_go_waits_as_before() {
        let mut queue = queue_of(1..=1, 64);
        let taken = take(&mut queue);
        assert!(queue.set_aside(&engine("mini"), taken, START));
        assert_eq!(left(&mut queue), [delivery(1)]);
    }

    #[test]
    fn a_lane_that_brings_more_than_memory_holds_waits_as_a_whole() {
        let mut queue = queue_of(1..=5, 2);
        hold(&mut queue, &["mini"]);
        for _ in 0..3 {
            let taken = take(&mut queue);
            assert!(!queue.set_aside(&engine("mini"), taken, START));
        }
        assert_eq!((left(&mut queue), queue.depths()[2].waiting), (vec![], 5));
        hold(&mut queue, &[]);
        assert_eq!(left(&mut queue), (1..=5).map(delivery).collect::<Vec<_>>());
    }
}
