//! What works, and why what does not waits.

use std::collections::BTreeMap;

use super::channels::readiness_of;
use super::{ComponentHealth, ComponentState, NotificationRecord, PluginKind, PluginState, Runtime};
use crate::domain::{ChannelName, DeliveryId, DeliveryState, PluginName};
use crate::sandbox::OutOfUse;

impl Runtime {
    /// Channels whose deliveries wait because their plugin is quarantined, somebody paused them, their breakers are not
    /// closed, or they are disabled or not configured any more, each with the reason and what ends it.
    #[must_use]
    pub fn held_channels(&self) -> BTreeMap<ChannelName, String> {
        let plugins = self.plugins().into_iter();
        let held = plugins.filter_map(|plugin| match (plugin.state, plugin.name) {
            (PluginState::Quarantined { reason }, Some(name)) => {
                Some((plugin.channels, format!("plugin `{name}` is quarantined: {reason}")))
            }
            _ => None,
        });
        let held = held.flat_map(|(channels, why)| channels.into_iter().map(move |channel| (channel, why.clone())));
        let out_of_use = self.parts.registry.out_of_use().into_iter().map(|(channel, why)| (channel, why.to_string()));
        self.gated_channels().chain(held).chain(out_of_use).collect()
    }

    /// Template engines that are quarantined, so that what they have to render waits.
    fn held_engines(&self) -> BTreeMap<PluginName, String> {
        let plugins = self.plugins();
        // A file that is quarantined holds nobody up where another version serves.
        let serves = |name: &PluginName| {
            let mut versions = plugins.iter().filter(|other| other.name.as_ref() == Some(name));
            versions.any(|other| matches!(other.state, PluginState::Serving))
        };
        let engines = plugins.iter().filter(|plugin| plugin.kind == Some(PluginKind::TemplateEngine));
        let held = engines.filter_map(|plugin| match (&plugin.state, &plugin.name) {
            (PluginState::Quarantined { reason }, Some(name)) if !serves(name) => {
                Some((name.clone(), format!("template engine `{name}` is quarantined: {reason}")))
            }
            _ => None,
        });
        held.collect()
    }

    /// Whether something may wait for a template engine.
    pub(super) fn holds_by_engine(&self) -> bool {
        !self.held_engines().is_empty()
    }

    /// The deliveries of a notification that are held: by their channel, as in [`held_channels`](Self::held_channels),
    /// because the turn of their recipient or host comes later, or because the template engine is quarantined that has yet
    /// to render them. Each with the reason and what ends it.
    pub async fn held_deliveries(&self, record: &NotificationRecord) -> BTreeMap<DeliveryId, String> {
        let (channels, engines) = (self.held_channels(), self.held_engines());
        let mut held = BTreeMap::new();
        let waiting = record.deliveries.iter().filter(|delivery| matches!(delivery.state, DeliveryState::Waiting(_)));
        for delivery in waiting {
            let mut why = channels.get(&delivery.channel).cloned();
            // What its provider took is rendered no more, and no call is made for it.
            if why.is_none() && !delivery.state.is_accepted() {
                why = self.turn_awaited(delivery);
                if why.is_none() && !engines.is_empty() {
                    let engine = self.parts.renderer.engine_needed(&record.notification, &delivery.recipient).await;
                    why = engine.and_then(|engine| engines.get(&engine)).cloned();
                }
            }
            held.extend(why.map(|why| (delivery.id, why)));
        }
        held
    }

    /// Why nothing can be written, where the disk refused the last commit and refuses another.
    async fn unwritable(&self) -> Option<String> {
        let store = &self.parts.store;
        // Whoever is told not to send anything any more would otherwise never learn that there is room again.
        let error = if store.stats().is_refusing { store.probe().await.err() } else { None };
        error.map(|error| error.to_string())
    }

    /// Whether each part works. The runtime is ready for work where those that are essential do.
    pub async fn readiness(&self) -> Vec<ComponentHealth> {
        let lanes = self.parts.store.lanes().await;
        let store = match &lanes {
            Err(error) => Some(error.to_string()),
            Ok(_) => self.unwritable().await,
        };
        let state = ComponentState::works(store.is_none());
        let mut components = vec![ComponentHealth { name: "store".to_owned(), state, essential: true, detail: store }];
        let callbacks = self.callback_components().await;
        components.extend(self.components(&callbacks));
        let component = |name: &ChannelName, state: ComponentState, detail: Option<String>| {
            let name = format!("channel:{name}");
            ComponentHealth { name, state, essential: false, detail }
        };
        let mut waiting = BTreeMap::<ChannelName, u64>::new();
        for depth in lanes.unwrap_or_default() {
            *waiting.entry(depth.lane.channel).or_default() += depth.waiting;
        }
        let out_of_use = self.parts.registry.out_of_use();
        for gate in self.channel_gates() {
            let name = &gate.channel.name;
            // To be disabled is what somebody wanted it to be.
            let off = out_of_use.get(name).map(|why| (ComponentState::Ok, Some(told_waiting(why, waiting.get(name)))));
            let (state, detail) = off.unwrap_or_else(|| readiness_of(&gate));
            components.push(component(name, state, detail));
        }
        for (name, why) in &out_of_use {
            // Of one that is gone, and that nothing waits for, nobody has to hear.
            if let (OutOfUse::Gone(_), Some(count)) = (why, waiting.get(name)) {
                components.push(component(name, ComponentState::Failed, Some(told_waiting(why, Some(count)))));
            }
        }
        components.extend(self.plugins().into_iter().filter_map(|plugin| {
            let PluginState::Quarantined { reason } = plugin.state else { return None };
            let name = plugin.name.filter(|_| plugin.kind == Some(PluginKind::TemplateEngine))?;
            // Its reason says what lets it be called again.
            let detail = Some(format!("what it has to render waits: it is quarantined: {reason}"));
            let name = format!("template-engine:{name}");
            Some(ComponentHealth { name, state: ComponentState::Failed, essential: false, detail })
        }));
        components.extend(callbacks);
        components
    }
}

/// Why a channel is not called, and what waits for it.
fn told_waiting(why: &OutOfUse, waiting: Option<&u64>) -> String {
    match waiting {
        None | Some(0) => why.to_string(),
        Some(1) => format!("1 delivery waits: {why}"),
        Some(count) => format!("{count} deliveries wait: {why}"),
    }
}
