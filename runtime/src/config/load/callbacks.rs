//! `[callbacks]`.

use super::section::Section;
use super::{value, webhook};
use crate::config::{CallbackUrlConfig, CallbacksConfig, Config};

pub(super) fn callbacks(section: &mut Section<'_>, into: &mut Config) {
    let CallbacksConfig { workers, queue, when_full, wait, timeout, retry, retention, dead_letters_max } =
        &mut into.callbacks;
    section.key("workers", workers, value::integer);
    section.key("queue", queue, value::integer);
    section.key("when_full", when_full, value::when_full);
    section.key("wait", wait, value::duration);
    section.key("timeout", timeout, value::duration);
    section.key("retry", retry, value::string);
    section.key("retention", retention, value::duration);
    section.key("dead_letters_max", dead_letters_max, value::integer);
    let CallbackUrlConfig { secrets, events, allow_networks } = &mut into.callback_urls;
    section.key("secret", secrets, webhook::secrets);
    section.entries("events", events, webhook::event);
    section.key("allow_networks", allow_networks, value::list);
    webhook::webhooks(section, &mut into.webhooks);
}
