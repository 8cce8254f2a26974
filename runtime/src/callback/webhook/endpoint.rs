//! One receiver: how it is reached, with what its requests are signed, and what keeps it from being used.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::answer::judge;
use super::message::{Message, message};
use crate::callback::Failure;
use crate::capability::Section;
use crate::capability::http::{
    Allowed, Asked, Auth, BodyPart, Egress, EgressLimits, GrantError, HttpGrant, HttpRequest,
};
use crate::capability::secret::{CallSecrets, ChannelSecrets, Places, Secret, SecretError, SecretText};
use crate::capability::sign::check_webhook_key;
use crate::clock::{Clock, Entropy};
use crate::config::{SecretRef, WebhookConfig, format_duration};
use crate::domain::CallbackName;

/// The largest message. Receivers are advised to expect 20 KB; an event has less than one.
const REQUEST_MAX: u64 = 256 << 10;
/// What is read of a reply, in bytes, so that its connection can be used again.
const REPLY_MAX: u64 = 64 << 10;
/// Where in what stands for a plugin's config the URL is.
const URL_POINTER: &str = "config:/url";

/// Why a webhook cannot be used. `key` is one of its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointProblem {
    pub(crate) key: &'static str,
    /// To be read after the key. No secret.
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// Signs and sends, wherever to.
pub(super) struct Signer {
    name: CallbackName,
    timeout: Duration,
    /// The same in words.
    limit: String,
    secrets: CallSecrets,
    /// One for each signing key.
    keys: Vec<String>,
    clock: Arc<dyn Clock>,
}

/// A receiver of signed requests.
pub(crate) struct Endpoint {
    url: String,
    grant: Arc<HttpGrant>,
    signer: Signer,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("timeout", &self.signer.timeout).finish_non_exhaustive()
    }
}

/// With what endpoints are made.
#[derive(Clone)]
pub(crate) struct Way {
    /// Resolver, sockets and certificates.
    pub(crate) egress: Egress,
    pub(crate) entropy: Arc<Entropy>,
    /// Signatures hold its time.
    pub(crate) clock: Arc<dyn Clock>,
}

/// Reads the keys of every webhook and judges them and the addresses. Blocks: keys may lie on a slow disk.
///
/// # Errors
///
/// Everything that keeps one from being used, by its place in the list.
pub(crate) fn open(config: &[WebhookConfig], way: &Way) -> Result<Vec<Endpoint>, Vec<(usize, EndpointProblem)>> {
    let (mut opened, mut problems) = (Vec::new(), Vec::new());
    for (number, webhook) in config.iter().enumerate() {
        match Endpoint::open(webhook, way) {
            Ok(endpoint) => opened.push(endpoint),
            Err(found) => problems.extend(found.into_iter().map(|problem| (number, problem))),
        }
    }
    if problems.is_empty() { Ok(opened) } else { Err(problems) }
}

impl Endpoint {
    fn open(config: &WebhookConfig, way: &Way) -> Result<Self, Vec<EndpointProblem>> {
        let egress = way.egress.clone().with_clock(Arc::clone(&way.clock));
        let section = Section::of_webhook(&config.name);
        let limit = format!("{}, the webhook's `timeout`", format_duration(config.timeout));
        let signer = Signer::open(&config.name, &config.secrets, (config.timeout, limit), way);
        match (signer, reach(&section, &config.url, &config.allow_networks, &egress)) {
            (Ok(signer), Ok(grant)) => Ok(Self { url: config.url.clone(), grant: Arc::new(grant), signer }),
            (signer, grant) => Err(signer.err().into_iter().chain(grant.err()).flatten().collect()),
        }
    }

    /// Sends one event, as it is published, and judges the answer. The id is the same for every attempt; the time is the
    /// attempt's.
    pub(super) async fn tell(&self, published: Value) -> Result<(), Failure> {
        self.signer.send(&self.grant, &self.url, published).await
    }
}

impl Signer {
    /// Reads the keys. `limit` is what a call may take, also in words. Blocks.
    pub(super) fn open(
        name: &CallbackName,
        references: &[SecretRef],
        (timeout, limit): (Duration, String),
        way: &Way,
    ) -> Result<Self, Vec<EndpointProblem>> {
        let mut problems = Vec::new();
        let mut secrets = ChannelSecrets::none();
        let mut keys = Vec::new();
        for reference in references {
            match signing_key(&SecretText::read(reference), &reference.to_string()) {
                Ok(value) => {
                    let places = Places { sign: true, ..Places::default() };
                    let secret = Secret { name: reference.to_string(), value, places, hosts: None };
                    keys.push(secrets.add(secret, &way.entropy));
                }
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let (name, secrets) = (name.clone(), CallSecrets::of_channel(Arc::new(secrets)));
        Ok(Self { name, timeout, limit, secrets, keys, clock: Arc::clone(&way.clock) })
    }

    pub(super) async fn send(&self, grant: &Arc<HttpGrant>, url: &str, published: Value) -> Result<(), Failure> {
        let Message { id, body } = message(&self.name, published);
        let limits =
            EgressLimits { calls: 1, request_max: REQUEST_MAX, response_max: REPLY_MAX, timeout: self.timeout };
        let http = grant.open(limits, Instant::now() + self.timeout);
        let request = HttpRequest {
            method: "POST".to_owned(),
            url: url.to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: vec![BodyPart::Bytes(body)],
            auth: Auth::StandardWebhooks { id, keys: self.keys.clone() },
            timeout: None,
            redirects: 0,
        };
        let answer = http.send(request, &self.secrets).await;
        judge(&answer, &self.limit, self.clock.now())
    }
}

fn signing_key(read: &Result<SecretText, SecretError>, reference: &str) -> Result<SecretText, EndpointProblem> {
    let key = read.as_ref().map_err(|error| EndpointProblem {
        key: "secret",
        message: format!("has no key: {error}"),
        hint: None,
    })?;
    check_webhook_key(key.expose()).map_err(|error| EndpointProblem {
        key: "secret",
        message: format!("names `{reference}`, whose key {error}"),
        hint: Some(
            "write one there: `whsec_` and the base64 of 24 to 64 random bytes, as `openssl rand -base64 32` prints \
             them, or `whsk_` and the base64 of an Ed25519 key"
                .to_owned(),
        ),
    })?;
    Ok(key.clone())
}

/// The way to the host in the URL and to no other. `section` is where `networks` stand.
pub(super) fn reach(
    section: &Section,
    url: &str,
    networks: &[String],
    egress: &Egress,
) -> Result<HttpGrant, Vec<EndpointProblem>> {
    let scope = [URL_POINTER.to_owned()];
    let asked = [Asked { scope: &scope, required: true }];
    let of = |url: &str| Map::from_iter([("url".to_owned(), Value::from(url))]);
    let settings = of(url);
    let allowed = Allowed { section, hosts: &[], networks };
    let grant = HttpGrant::check(&asked, &settings, allowed, egress)
        .map_err(|errors| errors.0.iter().map(problem).collect::<Vec<_>>())?;
    // A name is judged when it is resolved. This one stands for the machine itself, whatever its name server says.
    let meant = match is_localhost(url) {
        true => vec![of("http://127.0.0.1/"), of("http://[::1]/")],
        false => vec![settings],
    };
    let beyond: Vec<_> = meant.iter().map(|settings| grant.out_of_reach(&asked, settings, settings)).collect();
    match beyond.first() {
        Some(errors) if beyond.iter().all(|errors| !errors.is_empty()) => Err(errors.iter().map(problem).collect()),
        _ => Ok(grant),
    }
}

fn is_localhost(url: &str) -> bool {
    let url = Url::parse(url).ok();
    url.is_some_and(|url| url.domain().is_some_and(|name| name == "localhost" || name.ends_with(".localhost")))
}

fn problem(error: &GrantError) -> EndpointProblem {
    match error {
        GrantError::NotPublic { what, .. } => EndpointProblem {
            key: "url",
            message: format!("leads to an address that is not public ({what})"),
            hint: error.hint(),
        },
        GrantError::NotANetwork(_) => {
            EndpointProblem { key: "allow_networks", message: format!("has a bad entry: {error}"), hint: None }
        }
        // Without repeating it: the URL may hold a secret.
        _ => EndpointProblem {
            key: "url",
            message: "is no http or https URL with a host".to_owned(),
            hint: Some("write `url = \"https://HOST/PATH\"`".to_owned()),
        },
    }
}
