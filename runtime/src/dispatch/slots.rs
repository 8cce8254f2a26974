//! Slots: how many deliveries a worker may have, and which.

use crate::queue::{Hold, Slot, SlotCounts};

/// One slot in this many takes only critical and high.
const RESERVED_EVERY: u32 = 8;

/// Slots, by what they may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slots {
    pub(super) general: usize,
    pub(super) reserved: usize,
}

impl Slots {
    /// The slots of each of `count` workers. Of all together one in eight is reserved, and at least one; a pool of one
    /// slot has none to spare.
    pub(super) fn shared_out(count: u32, each: u32) -> Vec<Self> {
        let (count, each) = (count.max(1), each.max(1));
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

    pub(super) const fn total(self) -> usize {
        self.general + self.reserved
    }

    /// What is left of these while `used` are in use. Where the shares of a pool have just changed, more of one kind may
    /// be in use than there are now: then there are fewer of the other for as long.
    pub(super) fn without(self, used: Self) -> Self {
        let all = self.total().saturating_sub(used.total());
        let reserved = self.reserved.saturating_sub(used.reserved).min(all);
        Self { general: self.general.saturating_sub(used.general).min(all - reserved), reserved }
    }

    pub(super) fn add(&mut self, hold: Hold) {
        *self.of(hold.slot) += 1;
    }

    pub(super) fn remove(&mut self, hold: Hold) {
        *self.of(hold.slot) -= 1;
    }

    pub(super) const fn of(&mut self, slot: Slot) -> &mut usize {
        match slot {
            Slot::General => &mut self.general,
            Slot::Reserved => &mut self.reserved,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slots(count: u32, each: u32) -> (usize, usize) {
        let all = Slots::shared_out(count, each);
        assert!(all.iter().all(|slots| slots.total() == each as usize));
        (all.iter().map(|slots| slots.general).sum(), all.iter().map(|slots| slots.reserved).sum())
    }

    #[test]
    fn one_slot_in_eight_and_at_least_one_is_reserved() {
        assert_eq!(slots(4, 64), (224, 32));
        assert_eq!(slots(3, 5), (14, 1));
        assert_eq!(slots(1, 2), (1, 1));
        assert_eq!(slots(2, 1), (1, 1));
        assert_eq!(slots(100, 64), (5_600, 800));
    }

    #[test]
    fn a_single_slot_takes_anything() {
        assert_eq!(slots(1, 1), (1, 0));
    }

    proptest! {
        /// However the shares change while slots are in use, a worker never has more deliveries than it has slots, and what
        /// general deliveries leave free of the reserved ones stays with critical and high.
        #[test]
        fn what_is_free_fits_what_there_is(slots in (0_usize..70, 0_usize..70), used in (0_usize..70, 0_usize..70)) {
            let slots = Slots { general: slots.0, reserved: slots.1 };
            let used = Slots { general: used.0, reserved: used.1 };
            let free = slots.without(used);
            prop_assert!(free.total() + used.total() <= slots.total().max(used.total()));
            prop_assert!(free.general == 0 || used.general + free.general <= slots.general);
            prop_assert!(free.reserved == 0 || used.reserved + free.reserved <= slots.reserved);
            if used.general <= slots.general && used.reserved <= slots.reserved {
                prop_assert_eq!(free.total() + used.total(), slots.total(), "all of it can be used");
            }
        }
    }
}
