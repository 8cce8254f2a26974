//! What dispatch works with.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::builder::{policies, templates, time_limits};
use super::{gates, rates};
use crate::call::TemplateCaller;
use crate::clock::{Clock, Entropy};
use crate::config::Config;
use crate::dispatch::{Neighbours, RetryPolicies};
use crate::intake::TemplatePins;
use crate::queue::QueueHandle;
use crate::render::Renderer;
use crate::sandbox::Registry;
use crate::store::Store;
use crate::telemetry::Metrics;

/// Which templates there are, and who makes content of them.
pub(super) fn rendering(
    config: &Config,
    registry: &Arc<Registry>,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
) -> (Arc<dyn TemplatePins>, Arc<Renderer>) {
    let engines: Arc<dyn TemplateCaller> = Arc::clone(registry) as _;
    let templates = templates(&config.templates, &engines, store, clock);
    let renderer = Renderer::new(Arc::clone(store), engines, Arc::clone(clock), config.templates.strict);
    (templates, Arc::new(renderer))
}

pub(super) fn retry_policies(config: &Config) -> RetryPolicies {
    let (default, by_channel) = policies(config);
    RetryPolicies::new(default, by_channel)
}

/// All that is beside the dispatcher.
pub(super) fn neighbours(
    config: &Config,
    registry: &Arc<Registry>,
    renderer: &Arc<Renderer>,
    policies: &RetryPolicies,
    (store, queue): (&Arc<dyn Store>, &QueueHandle),
    (clock, entropy, metrics): (&Arc<dyn Clock>, Arc<Entropy>, &Arc<Metrics>),
) -> Neighbours {
    Neighbours {
        store: Arc::clone(store),
        queue: queue.clone(),
        caller: Arc::clone(registry) as _,
        content: Arc::clone(renderer) as _,
        clock: Arc::clone(clock),
        entropy,
        policies: policies.clone(),
        paces: gates::paces(config, &rates::said(registry)),
        hosts: BTreeMap::new(),
        time_limits: time_limits(config),
        channels: Arc::clone(registry) as _,
        fallbacks: gates::fallbacks(config),
        metrics: Arc::clone(metrics),
    }
}
