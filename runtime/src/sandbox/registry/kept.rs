//! What a channel may keep: `cache` and `kv` are granted to whoever asks, unless the operator takes them away.

use std::sync::Arc;

use crate::capability::cache::ChannelCache;
use crate::capability::kv::{KvGrant, KvStore};
use crate::clock::Clock;
use crate::config::ChannelConfig;
use crate::domain::ChannelName;
use crate::sandbox::Need;
use crate::sandbox::grants::{Granted, NotGranted};

pub(super) const CACHE: &str = "cache";
pub(super) const KV: &str = "kv";

/// Its plugin cannot do without an ability that the channel's `deny` takes away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its plugin needs `{ability}` ({reason}), which is taken away; {}", self.hint())]
pub(super) struct TakenAway {
    ability: &'static str,
    /// The plugin's own words.
    reason: String,
    channel: ChannelName,
}

impl TakenAway {
    /// What to do about it, as it stands at the end of the sentence.
    pub(super) fn hint(&self) -> String {
        format!("take `{}` out of `deny` in [channels.{}]", self.ability, self.channel)
    }
}

/// A cache of its own, which starts empty.
pub(super) fn cache(
    needs: &[Need],
    name: &ChannelName,
    config: &ChannelConfig,
    clock: &Arc<dyn Clock>,
) -> Result<Granted<ChannelCache>, TakenAway> {
    Ok(decide(CACHE, needs, name, config)?.map(|()| ChannelCache::new(Arc::clone(clock))))
}

/// What the channel kept before, and its quota.
pub(super) fn kv(
    needs: &[Need],
    name: &ChannelName,
    config: &ChannelConfig,
    store: &Arc<dyn KvStore>,
) -> Result<Granted<Arc<KvGrant>>, TakenAway> {
    let grant = || Arc::new(KvGrant::new(Arc::clone(store), name.clone(), config.kv_max));
    Ok(decide(KV, needs, name, config)?.map(|()| grant()))
}

/// The error is why no channel can be made; the inner one is what a call is told.
fn decide(
    ability: &'static str,
    needs: &[Need],
    name: &ChannelName,
    config: &ChannelConfig,
) -> Result<Granted<()>, TakenAway> {
    let mut asked = needs.iter().filter(|need| need.capability == ability).peekable();
    if asked.peek().is_none() {
        return Ok(Err(NotGranted::new(format!(
            "the plugin does not ask for `{ability}`; its author adds it to the needs of `describe`"
        ))));
    }
    if !config.deny.iter().any(|denied| denied == ability) {
        return Ok(Ok(()));
    }
    match asked.find(|need| need.required) {
        Some(need) => Err(TakenAway { ability, reason: need.reason.clone(), channel: name.clone() }),
        None => Ok(Err(NotGranted::new(format!(
            "`{ability}` is not granted; take `{ability}` out of `deny` in [channels.{name}]"
        )))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CallLimits;

    fn need(capability: &str, required: bool) -> Need {
        Need {
            capability: capability.to_owned(),
            scope: Vec::new(),
            required,
            reason: "counts what it sent".to_owned(),
        }
    }

    fn decided(needs: &[Need], deny: &[&str]) -> String {
        let mut config = ChannelConfig::new("bell".parse().unwrap(), CallLimits::default());
        config.deny = deny.iter().map(ToString::to_string).collect();
        match decide(KV, needs, &ChannelName::new("front-door").unwrap(), &config) {
            Ok(Ok(())) => "granted".to_owned(),
            Ok(Err(denied)) => format!("denied: {denied}"),
            Err(refusal) => format!("refused: {refusal}"),
        }
    }

    #[test]
    fn who_asks_is_granted_unless_the_operator_takes_it_away() {
        let table = [
            decided(&[need("cache", true)], &[]),
            decided(&[need("kv", true)], &["cache"]),
            decided(&[need("kv", false)], &["cache", "kv"]),
            decided(&[need("kv", false), need("kv", true)], &["kv"]),
        ];
        insta::assert_snapshot!(table.join("\n"), @r"
        denied: the plugin does not ask for `kv`; its author adds it to the needs of `describe`
        granted
        denied: `kv` is not granted; take `kv` out of `deny` in [channels.front-door]
        refused: its plugin needs `kv` (counts what it sent), which is taken away; take `kv` out of `deny` in [channels.front-door]
        ");
    }
}
