//! Channels by number: what the queue keeps of each stands in an array.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::domain::ChannelName;

/// A channel's number, from 0 without gaps. Channels are configured, so there are few: none is ever taken out.
pub(super) type ChannelNumber = u32;

#[derive(Debug, Default)]
pub(super) struct Channels {
    numbers: HashMap<ChannelName, ChannelNumber, BuildHasherDefault<NameHasher>>,
    names: Vec<ChannelName>,
}

impl Channels {
    pub(super) fn get(&self, name: &ChannelName) -> Option<ChannelNumber> {
        self.numbers.get(name).copied()
    }

    /// One that was not known.
    pub(super) fn add(&mut self, name: &ChannelName) -> ChannelNumber {
        let number = self.names.len() as ChannelNumber;
        self.numbers.insert(name.clone(), number);
        self.names.push(name.clone());
        number
    }

    pub(super) fn name(&self, number: ChannelNumber) -> &ChannelName {
        &self.names[number as usize]
    }
}

/// Multiplies and rotates, eight bytes at a time. Names come from the operator, not from strangers, and a lookup
/// happens on every offer: the standard hasher costs a tenth of the whole.
#[derive(Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn finish(&self) -> u64 {
        // The table uses the upper bits and the lower ones; a product's lower bits know little.
        self.0 ^ (self.0 >> 32)
    }
}
