//! Words for the operator: part of the attempt's record, capped per call.
//!
//! The message is a constant sentence, the data stands in the fields. Never log an address, content or a secret.
//!
//! ```
//! use campanile_plugin_sdk::{log, testing::MockHost};
//!
//! let ((), log) = MockHost::new().run(|| log::warn("Provider is slow.", &[("region", "eu")]));
//! assert_eq!(log.logs[0].message, "Provider is slow.");
//! ```

use crate::host;

/// How loud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For the plugin's author.
    Debug,
    /// An operator's action took effect.
    Info,
    /// The plugin recovered.
    Warn,
    /// Someone must act.
    Error,
}

/// Every step.
pub fn trace(message: &str, fields: &[(&str, &str)]) {
    host::log(Level::Trace, message, fields);
}

/// For the plugin's author.
pub fn debug(message: &str, fields: &[(&str, &str)]) {
    host::log(Level::Debug, message, fields);
}

/// An operator's action took effect.
pub fn info(message: &str, fields: &[(&str, &str)]) {
    host::log(Level::Info, message, fields);
}

/// The plugin recovered.
pub fn warn(message: &str, fields: &[(&str, &str)]) {
    host::log(Level::Warn, message, fields);
}

/// Someone must act.
pub fn error(message: &str, fields: &[(&str, &str)]) {
    host::log(Level::Error, message, fields);
}
