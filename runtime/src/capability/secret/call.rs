//! The secrets of one call: those of its channel, and what was made with them.

use std::collections::HashMap;
use std::sync::Arc;

use super::{ChannelSecrets, Secret, new_handle};
use crate::clock::Entropy;

/// What the handles stand for that a guest holds during one call. Gone with the call.
#[derive(Clone, Debug, Default)]
pub struct CallSecrets {
    channel: Arc<ChannelSecrets>,
    /// Tokens, mostly: none in most calls.
    made: HashMap<String, Secret>,
}

impl CallSecrets {
    /// Those of a channel.
    #[must_use]
    pub fn of_channel(channel: Arc<ChannelSecrets>) -> Self {
        Self { channel, made: HashMap::new() }
    }

    /// What a handle stands for; none: neither of this channel nor made in this call.
    #[must_use]
    pub fn get(&self, handle: &str) -> Option<&Secret> {
        self.channel.get(handle).or_else(|| self.made.get(handle))
    }

    /// Takes in what was made in this call and answers its handle.
    pub fn add(&mut self, secret: Secret, entropy: &Entropy) -> String {
        let handle = new_handle(entropy);
        self.made.insert(handle.clone(), secret);
        handle
    }

    /// Every secret, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Secret> {
        self.channel.all().chain(self.made.values())
    }
}
