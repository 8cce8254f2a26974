//! A sandbox, a guest, a channel, and a call to make.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::call::{Call, Report};
use crate::capability::Section;
use crate::capability::http::{Allowed, Asked, Egress, HttpGrant};
use crate::config::CallLimits;
use crate::domain::{
    Action, ActionStyle, AttemptEnd, ChannelName, Content, Fault, Notification, NotificationId, Outcome, Part,
    Priority, Recipient, Timestamp,
};
use crate::sandbox::{ConsoleSink, Grants, Plugin, PrepareError, PreparedChannel, Sandbox, SandboxSettings};
use crate::telemetry::Metrics;

/// Keeps what guests print.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<Vec<String>>);

impl ConsoleSink for Lines {
    fn line(&self, channel: Option<&ChannelName>, line: &str) {
        let channel = channel.map_or("?", ChannelName::as_str);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{channel}: {line}"));
    }
}

impl Lines {
    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The component of a test guest.
pub(super) fn guest(name: &str) -> Vec<u8> {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests/wasm32-wasip2/release"));
    let folder = std::env::var_os("CAMPANILE_GUESTS").map_or_else(default, PathBuf::from);
    let path = folder.join(name).with_extension("wasm");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make guests` first", path.display()))
}

pub(super) struct Rig {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) console: Arc<Lines>,
    pub(super) plugin: Plugin,
    pub(super) channel: PreparedChannel,
}

pub(super) fn sandbox(in_flight: u32) -> (Arc<Sandbox>, Arc<Lines>) {
    let console = Arc::new(Lines::default());
    let settings = SandboxSettings {
        in_flight,
        memory_max: 64 << 20,
        console: Arc::clone(&console) as _,
        metrics: Metrics::off(),
    };
    (Sandbox::new(settings).expect("the engine runs here"), console)
}

pub(super) async fn prepare(name: &str) -> Result<Plugin, PrepareError> {
    sandbox(2).0.compile(guest(name), [0; 32]).await
}

impl Rig {
    /// The unruly guest with budgets that keep a test short.
    pub(super) async fn unruly() -> Self {
        Self::with_in_flight(2).await
    }

    pub(super) async fn with_in_flight(in_flight: u32) -> Self {
        let (sandbox, console) = sandbox(in_flight);
        let plugin = sandbox.compile(guest("unruly"), [7; 32]).await.expect("the guest is a plugin");
        let limits = CallLimits {
            fuel: Some(200_000_000),
            memory: 16 << 20,
            timeout: Duration::from_secs(60),
            ..CallLimits::default()
        };
        let channel = PreparedChannel {
            name: ChannelName::new("belfry").expect("it is a name"),
            config_json: r#"{"tone":"c"}"#.to_owned(),
            grants: grants(&[]),
            limits,
        };
        Self { sandbox, console, plugin, channel }
    }

    /// Asks the guest to do what `text` names.
    pub(super) async fn send(&self, text: &str) -> Report {
        self.plugin.send(&self.channel, &call(text, "")).await
    }

    /// The fault that it ends in, with its message.
    pub(super) async fn fault(&self, text: &str) -> (Fault, String) {
        match self.send(text).await.end {
            AttemptEnd::Fault { fault, message } => (fault, message),
            other => panic!("`{text}` should be a fault, it is {other:?}"),
        }
    }

    /// A fact of the receipt that it ends in.
    pub(super) async fn fact(&self, text: &str, name: &str) -> String {
        match self.send(text).await.end {
            AttemptEnd::Outcome(Outcome::Sent(receipt)) => {
                receipt.facts.into_iter().find_map(|(key, value)| (key == name).then_some(value)).expect("it is told")
            }
            other => panic!("`{text}` should be sent, it is {other:?}"),
        }
    }
}

/// Everything that a channel with these loopback hosts may do.
pub(super) fn grants(hosts: &[String]) -> Arc<Grants> {
    Arc::new(Grants::of_http(grant(hosts), Arc::default()))
}

/// A grant of the loopback hosts given.
pub(super) fn grant(hosts: &[String]) -> Arc<HttpGrant> {
    let asked = [Asked { scope: hosts, required: true }];
    let networks = ["127.0.0.1/32".to_owned()];
    let section = Section::of_channel(&ChannelName::new("belfry").expect("it is a name"));
    let allowed = Allowed { section: &section, hosts, networks: &networks };
    let grant = HttpGrant::check(&asked, &serde_json::Map::new(), allowed, &Egress::system());
    Arc::new(grant.expect("the grant is a good one"))
}

pub(super) fn call(text: &str, address: &str) -> Call {
    let id = NotificationId::from_bytes([1; 16]);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let content = Arc::new(Content {
        title: Some("Bells".to_owned()),
        text: text.to_owned(),
        html: None,
        markdown: Some("**Bells**".to_owned()),
        parts: vec![Part { name: "preheader".to_owned(), value: "ding".to_owned() }],
    });
    let action = Action {
        id: "open".to_owned(),
        label: "Open".to_owned(),
        url: Some("https://example.com/".to_owned()),
        style: ActionStyle::Primary,
    };
    let notification = Notification {
        id,
        kind: "info".to_owned(),
        priority: Priority::High,
        content: Arc::clone(&content),
        actions: vec![action],
        template: None,
        data: None,
        metadata: vec![pair("team", "infra")],
        correlation_id: None,
        group_key: None,
        created_at: Timestamp::from_millis(900),
        scheduled_at: None,
        expires_at: None,
    };
    let recipient =
        Recipient { address: address.to_owned(), attributes: vec![pair("mood", "calm")], ..Recipient::default() };
    Call {
        channel: ChannelName::new("belfry").expect("it is a name"),
        delivery: id.delivery(3),
        attempt: 2,
        recipient: Arc::new(recipient),
        notification: Arc::new(notification),
        content,
        now: Timestamp::from_millis(1_000),
    }
}
