//! `[callbacks]`.

use super::section::Section;
use super::{value, webhook};
use crate::config::{CallbacksConfig, WebhookConfig};

pub(super) fn callbacks(section: &mut Section<'_>, into: &mut CallbacksConfig, webhooks: &mut Vec<WebhookConfig>) {
    let CallbacksConfig { workers, queue, when_full, wait, timeout, retry, retention, dead_letters_max } = into;
    section.key("workers", workers, value::integer);
    section.key("queue", queue, value::integer);
    section.key("when_full", when_full, value::when_full);
    section.key("wait", wait, value::duration);
    section.key("timeout", timeout, value::duration);
    section.key("retry", retry, value::string);
    section.key("retention", retention, value::duration);
    section.key("dead_letters_max", dead_letters_max, value::integer);
    webhook::webhooks(section, webhooks);
}
