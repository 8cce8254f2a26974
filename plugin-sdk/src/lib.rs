//! What an author of Campanile plugins depends on.
//!
//! A channel is a config type, one `send`, and a macro:
//!
//! ```
//! use campanile_plugin_sdk::{export_channel, http, json, About, Call, Channel, Config, Need, Outcome};
//!
//! #[derive(Config)]
//! pub struct Chat {
//!     /// URL of the room's webhook.
//!     #[config(format = "uri")]
//!     url: String,
//! }
//!
//! impl Channel for Chat {
//!     const ABOUT: About = About {
//!         name: "chat",
//!         version: "0.1.0",
//!         summary: "Posts to a chat room",
//!         needs: &[Need::http(&["config:/url"], "posts to the room's webhook")],
//!         ..About::NONE
//!     };
//!
//!     fn send(&self, call: &Call) -> Outcome {
//!         http::post(&self.url).json(&json!({ "text": call.content().text })).send()?.judge()
//!     }
//! }
//!
//! export_channel!(Chat);
//! ```
//!
//! *Flow*: the host calls an export → `guest` turns the contract's values into plain ones → the plugin's code runs →
//! its [`Outcome`] goes back. A native build has no `guest`: there `testing::MockHost` stands in for the host, so
//! that a plugin's tests need no sandbox.
//!
//! *Not here*: retries, deadlines, grants. They are the host's.

// The derive names this crate by its own name; so do this crate's tests.
extern crate self as campanile_plugin_sdk;

mod about;
pub mod cache;
mod call;
mod channel;
pub mod config;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
mod host;
pub mod http;
pub mod kv;
pub mod log;
mod macros;
pub mod outcome;
pub mod retry_after;
mod secret;
pub mod sign;
mod template;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod time;

pub use about::{About, Address, EngineAbout, LengthUnit, Need};
pub use call::{Action, ActionStyle, Call, Content, Context, Notification, Pairs, Part, Priority, Recipient};
pub use campanile_plugin_sdk_derive::Config;
pub use channel::{Channel, Health};
pub use config::{Config, ConfigProblem};
pub use host::print_line;
pub use outcome::{Failure, FailureKind, Finality, Outcome, Receipt, Scope, Sent, Trouble};
pub use secret::{Places, Secret, SecretKey};
pub use serde_json::{Value, json};
pub use template::{RenderOptions, Template, TemplateEngine, TemplateInfo, TemplateProblem, Variable};

/// For the macros alone.
#[doc(hidden)]
pub mod __private {
    use crate::{Channel, TemplateEngine};

    pub const fn assert_channel<T: Channel>() {}
    pub const fn assert_template_engine<T: TemplateEngine>() {}
}
