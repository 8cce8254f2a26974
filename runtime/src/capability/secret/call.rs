//! The secrets of one call: those of its channel, and what was made with them.

use std::collections::HashMap;
use std::sync::Arc;

use super::{ChannelSecrets, Scrubber, Secret, new_handle};
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

    /// What blanks out the secrets in replies: what was made in this call together with `more`, and
    /// those of the channel, found by what is made once for all its calls.
    pub(crate) fn scrubbers(&self, more: &[String]) -> [Option<Arc<Scrubber>>; 2] {
        let made = self.made.values().map(|secret| secret.value.expose()).chain(more.iter().map(String::as_str));
        // The longer first: what was made may hold a secret of the channel.
        [Scrubber::new(made).map(Arc::new), self.channel.scrubber().cloned()]
    }

    /// Every secret, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Secret> {
        self.channel.all().chain(self.made.values())
    }
}
