//! Answers about the configuration.

use serde::Serialize;

use super::ProblemItem;
use crate::domain::ChannelName;
use crate::runtime::{ChannelChanges, ConfigFinding, Reloaded};

/// What took effect of a configuration. Channels are named, settings by their whole key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::api) struct ReloadView {
    /// The file it was read from, if there was one.
    file: Option<String>,
    /// Channels that are there now.
    added: Vec<String>,
    /// Channels whose settings or secrets are others now.
    changed: Vec<String>,
    /// Channels that are there no longer; their deliveries wait.
    removed: Vec<String>,
    /// Channels that are not called; their deliveries wait.
    disabled: Vec<String>,
    /// Channels that are called again.
    enabled: Vec<String>,
    /// Other settings that are others now.
    settings: Vec<String>,
    /// Settings that are others only after a restart.
    restart_needed: Vec<String>,
    /// What is good and cannot be meant.
    warnings: Vec<ProblemItem>,
}

/// Where a setting stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::api) struct SettingItem {
    /// Its whole key; empty where a whole file or variable is meant.
    key: String,
    /// The channel it is about.
    channel: Option<String>,
    /// The line in its file, from 1.
    line: Option<usize>,
}

impl From<&Reloaded> for ReloadView {
    fn from(reloaded: &Reloaded) -> Self {
        let Reloaded { file, channels, settings, restart_needed, warnings } = reloaded;
        let ChannelChanges { added, changed, removed, disabled, enabled } = channels;
        let names = |names: &[ChannelName]| names.iter().map(ToString::to_string).collect();
        Self {
            file: file.as_ref().map(|file| file.display().to_string()),
            added: names(added),
            changed: names(changed),
            removed: names(removed),
            disabled: names(disabled),
            enabled: names(enabled),
            settings: settings.clone(),
            restart_needed: restart_needed.clone(),
            warnings: warnings.iter().map(ProblemItem::from).collect(),
        }
    }
}

impl From<&ConfigFinding> for ProblemItem {
    fn from(finding: &ConfigFinding) -> Self {
        Self {
            at: finding.place.to_string(),
            code: "configuration".to_owned(),
            message: finding.sentence(),
            hint: finding.hint.clone(),
            setting: Some(SettingItem {
                key: finding.key.clone(),
                channel: finding.channel.clone(),
                line: finding.line(),
            }),
        }
    }
}
