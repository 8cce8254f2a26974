//! How many slots a channel may hold, so that one whose calls never end leaves some to the others.
//!
//! A channel may have one slot more while it holds fewer than [`SHARE_OF_FREE`] times what is free (the dynamic
//! threshold of shared-memory switches: Choudhury and Hahne, 1998). Nobody has to know who else will want some, and
//! whoever has none gets one as long as any is free. Of 224 slots a channel by itself has 200, two have 105 each, five
//! have 43 each; what is left over is there at once for whoever comes.

use super::channels::ChannelNumber;
use super::{Slot, SlotCounts};

/// A channel holds at most so many times what it leaves free: so one in nine stays free where one channel wants all.
const SHARE_OF_FREE: u32 = 8;

/// The slots of all workers, and who holds them. Until it is told how many there are, nobody is held to a share.
#[derive(Debug, Default)]
pub(super) struct Shares {
    general: Pool,
    reserved: Pool,
}

#[derive(Debug, Default)]
struct Pool {
    /// None where nobody counts.
    slots: Option<u32>,
    taken: u32,
    by_channel: Vec<u32>,
}

impl Shares {
    pub(super) fn set(&mut self, counts: SlotCounts) {
        self.general.slots = Some(counts.general);
        self.reserved.slots = Some(counts.reserved);
    }

    pub(super) fn may_take(&self, slot: Slot, channel: ChannelNumber) -> bool {
        self.pool(slot).may_take(channel)
    }

    pub(super) fn take(&mut self, slot: Slot, channel: ChannelNumber) {
        self.pool_mut(slot).take(channel);
    }

    pub(super) fn release(&mut self, slot: Slot, channel: ChannelNumber) {
        self.pool_mut(slot).release(channel);
    }

    const fn pool(&self, slot: Slot) -> &Pool {
        match slot {
            Slot::General => &self.general,
            Slot::Reserved => &self.reserved,
        }
    }

    const fn pool_mut(&mut self, slot: Slot) -> &mut Pool {
        match slot {
            Slot::General => &mut self.general,
            Slot::Reserved => &mut self.reserved,
        }
    }
}

impl Pool {
    fn may_take(&self, channel: ChannelNumber) -> bool {
        let Some(slots) = self.slots else { return true };
        let held = self.by_channel.get(channel as usize).copied().unwrap_or(0);
        // Whoever asks has a free slot in hand, so one with none may always have it.
        held == 0 || held < slots.saturating_sub(self.taken).saturating_mul(SHARE_OF_FREE)
    }

    fn take(&mut self, channel: ChannelNumber) {
        if self.slots.is_none() {
            return;
        }
        let channel = channel as usize;
        if channel >= self.by_channel.len() {
            self.by_channel.resize(channel + 1, 0);
        }
        self.by_channel[channel] += 1;
        self.taken += 1;
    }

    fn release(&mut self, channel: ChannelNumber) {
        if let Some(held) = self.by_channel.get_mut(channel as usize).filter(|held| **held > 0) {
            *held -= 1;
            self.taken -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(general: u32) -> Shares {
        let mut shares = Shares::default();
        shares.set(SlotCounts { general, reserved: 1 });
        shares
    }

    /// Each of so many channels takes what it can get, in turn: what each has in the end.
    fn all_take(slots: u32, channels: u32) -> Vec<u32> {
        let mut shares = shares(slots);
        loop {
            let taken = shares.general.taken;
            for channel in 0..channels {
                if shares.general.taken < slots && shares.may_take(Slot::General, channel) {
                    shares.take(Slot::General, channel);
                }
            }
            if shares.general.taken == taken {
                return shares.general.by_channel;
            }
        }
    }

    #[test]
    fn one_channel_alone_has_nearly_all_and_many_have_the_same() {
        assert_eq!(all_take(224, 1), [200]);
        assert_eq!(all_take(224, 2), [106, 105]);
        assert_eq!(all_take(224, 5), [44, 44, 44, 44, 43]);
        assert_eq!(all_take(1, 1), [1]);
        assert_eq!(all_take(8, 1), [8]);
        assert_eq!(all_take(9, 1), [8]);
    }

    #[test]
    fn a_slot_of_one_kind_says_nothing_of_the_other() {
        let mut shares = shares(9);
        (0..8).for_each(|_| shares.take(Slot::General, 0));
        assert!(!shares.may_take(Slot::General, 0));
        assert!(shares.may_take(Slot::Reserved, 0));
        shares.release(Slot::General, 0);
        assert!(shares.may_take(Slot::General, 0));
    }

    #[test]
    fn until_the_slots_are_known_nobody_is_held_to_a_share() {
        let mut shares = Shares::default();
        (0..1_000).for_each(|_| shares.take(Slot::General, 0));
        assert!(shares.may_take(Slot::General, 0));
    }

    #[test]
    fn what_a_greedy_channel_gives_back_goes_to_those_who_came_later() {
        let mut shares = shares(224);
        let fill = |shares: &mut Shares, channel| {
            while shares.general.taken < 224 && shares.may_take(Slot::General, channel) {
                shares.take(Slot::General, channel);
            }
        };
        (0..3).for_each(|channel| fill(&mut shares, channel));
        assert_eq!(shares.general.by_channel, [200, 22, 2]);
        // Whichever call ends, all three ask for its slot, the greedy one first.
        for round in 0..2_000_u32 {
            shares.release(Slot::General, round % 3);
            (0..3).for_each(|channel| fill(&mut shares, channel));
        }
        let held = &shares.general.by_channel;
        assert!(held.iter().all(|held| (60..=80).contains(held)), "{held:?}");
    }

    proptest! {
        /// Of nine slots or more, one is free for whoever comes, however greedy another is; and whoever holds none is
        /// never refused.
        #[test]
        fn whoever_comes_finds_a_free_slot(slots in 9_u32..400, acts in proptest::collection::vec(0_u8..4, 1..600)) {
            let mut shares = shares(slots);
            for act in acts {
                if act == 0 {
                    shares.release(Slot::General, 0);
                } else if shares.may_take(Slot::General, 0) {
                    shares.take(Slot::General, 0);
                }
                prop_assert!(shares.general.taken < slots, "a free slot is left");
                prop_assert!(shares.may_take(Slot::General, 1));
            }
        }
    }
}
