//! What is answered about plugins.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::runtime::PluginStatus;

/// Every plugin file there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::api) struct Plugins {
    /// By name.
    pub(in crate::api) plugins: Vec<PluginView>,
}

/// A plugin file, or a version of it that is still running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::api) struct PluginView {
    /// As it calls itself; where it could not be asked, its file's name.
    pub(in crate::api) name: String,
    /// Of the plugin; null where it could not be asked.
    pub(in crate::api) version: Option<String>,
    /// `channel` or `template-engine`; null where it is neither.
    pub(in crate::api) kind: Option<String>,
    /// `own` or `bundled`.
    pub(in crate::api) source: String,
    /// The file's name, without its folder.
    pub(in crate::api) file: String,
    /// Lower-case hex; null where the file was not read.
    pub(in crate::api) sha256: Option<String>,
    /// In bytes.
    pub(in crate::api) size: u64,
    /// `serving`, `available`, `canary`, `held`, `quarantined`, `rolled-back`, `refused` or `draining`.
    pub(in crate::api) state: String,
    /// Of `held`, `quarantined`, `rolled-back` and `refused`: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) reason: Option<String>,
    /// What speaks against it, though it is loaded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::api) warnings: Vec<String>,
    /// Channels that use it.
    pub(in crate::api) channels: Vec<String>,
    /// Of `canary`: how many in a hundred of each channel's notifications go to it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::api) shares: BTreeMap<String, u8>,
    /// Since when its state is what it is; RFC 3339.
    pub(in crate::api) since: String,
}

impl From<&PluginStatus> for PluginView {
    fn from(plugin: &PluginStatus) -> Self {
        let reason = plugin.state.reason().map(str::to_owned);
        Self {
            name: plugin.name.as_ref().map_or_else(|| plugin.file.clone(), ToString::to_string),
            version: plugin.version.as_ref().map(ToString::to_string),
            kind: plugin.kind.map(|kind| kind.as_str().to_owned()),
            source: plugin.source.as_str().to_owned(),
            file: plugin.file.clone(),
            sha256: plugin.sha256.map(|hash| hash.to_string()),
            size: plugin.size,
            state: plugin.state.as_str().to_owned(),
            reason,
            warnings: Vec::new(),
            channels: plugin.channels.iter().map(ToString::to_string).collect(),
            shares: plugin.shares.iter().map(|(name, percent)| (name.to_string(), *percent)).collect(),
            since: plugin.since.to_string(),
        }
    }
}
