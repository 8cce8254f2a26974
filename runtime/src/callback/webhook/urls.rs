//! `callback_url`: each notification says itself where it is told of.
//!
//! *Flow:* [`open_urls`] reads the keys → [`UrlReach::permits`] judges a URL when its notification comes in → the queue has
//! the host of each event from [`UrlTeller`], which signs and sends as a webhook does.
//!
//! *Invariants:* a URL goes to a public address, or to one that the operator permits: said when it comes in as far as that
//! can be seen, and held when it is dialled. Which URL a notification has is the store's to know: nothing is kept here of
//! notifications.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use url::{Host as UrlHost, Url};

use super::endpoint::{EndpointProblem, Signer, Way, reach};
use super::hosts::Host;
use super::{Feeds, Means, Prepared, Receivers};
use crate::callback::{Execution, Failure, Target};
use crate::capability::Section;
use crate::capability::http::{Egress, HttpGrant, Network};
use crate::config::{CallbackUrlConfig, WebhookConfig, format_duration};
use crate::domain::{CallbackName, CallbackUrl, NotificationId, RetryPolicy};
use crate::store::{Store, StoreError};

/// How long a call may take: that of a webhook which says nothing else.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Calls in flight at once, to all hosts together.
const CALLS_MAX: usize = 64;
/// Hosts whose connections are kept ready.
const GRANTS_MAX: usize = 256;

/// Who may be called, and with what calls are signed.
pub(crate) struct UrlReach {
    signer: Signer,
    egress: Egress,
    section: Section,
    networks: Vec<String>,
    ranges: Vec<Network>,
    /// By scheme, host and port.
    grants: Mutex<HashMap<String, Arc<HttpGrant>>>,
}

impl fmt::Debug for UrlReach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlReach").field("networks", &self.networks).finish_non_exhaustive()
    }
}

/// Reads the keys that calls are signed with; none where the configuration has none. Blocks.
///
/// # Errors
///
/// Everything that keeps them from being used.
pub(crate) fn open_urls(config: &CallbackUrlConfig, way: &Way) -> Result<Option<Arc<UrlReach>>, Vec<EndpointProblem>> {
    if !config.is_on() {
        return Ok(None);
    }
    let name = CallbackName::of_callback_urls();
    let signer = Signer::open(&name, &config.secrets, (TIMEOUT, format_duration(TIMEOUT)), way)?;
    Ok(Some(Arc::new(UrlReach {
        signer,
        egress: way.egress.clone().with_clock(Arc::clone(&way.clock)),
        section: Section::of_callback_urls(),
        networks: config.allow_networks.clone(),
        // `check` has seen that they are ranges.
        ranges: config.allow_networks.iter().filter_map(|text| text.parse().ok()).collect(),
        grants: Mutex::default(),
    })))
}

impl UrlReach {
    /// Whether a URL may be called, as far as that can be said without resolving its host.
    ///
    /// # Errors
    ///
    /// Why not, to be read after the name of the field. Quotes nothing but an address and the line that permits it.
    pub(crate) fn permits(&self, url: &CallbackUrl) -> Result<(), EndpointProblem> {
        self.grant(url).map(drop)
    }

    fn grant(&self, url: &CallbackUrl) -> Result<Arc<HttpGrant>, EndpointProblem> {
        let parsed = Url::parse(url.as_str()).map_err(|_| not_permitted("is no URL", None))?;
        let origin = parsed.origin().ascii_serialization();
        let known = self.grants.lock().unwrap_or_else(PoisonError::into_inner).get(&origin).cloned();
        if let Some(grant) = known {
            return Ok(grant);
        }
        let grant = reach(&self.section, url.as_str(), &self.networks, &self.egress)
            .map_err(|mut found| found.pop().unwrap_or_else(|| not_permitted("cannot be called", None)))?;
        if parsed.scheme() == "http" && !self.is_granted(&parsed) {
            let hint = "write `https://`, or have `allow_networks` under `[callbacks]` permit the address";
            let message = "must begin with `https://`: `http` is for addresses that `allow_networks` permits";
            return Err(not_permitted(message, Some(hint)));
        }
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        if grants.len() >= GRANTS_MAX {
            // Whoever is called with one of them keeps it until the call has ended.
            grants.clear();
        }
        Ok(Arc::clone(grants.entry(origin).or_insert_with(|| Arc::new(grant))))
    }

    /// Whether the host is an address that the operator wrote down.
    fn is_granted(&self, url: &Url) -> bool {
        let address = match url.host() {
            Some(UrlHost::Ipv4(ip)) => IpAddr::from(ip),
            Some(UrlHost::Ipv6(ip)) => IpAddr::from(ip).to_canonical(),
            // `reach` has seen that this machine may be called.
            Some(UrlHost::Domain(name)) => return name == "localhost" || name.ends_with(".localhost"),
            None => return false,
        };
        self.ranges.iter().any(|range| range.contains(address))
    }
}

fn not_permitted(message: &str, hint: Option<&str>) -> EndpointProblem {
    EndpointProblem { key: "url", message: message.to_owned(), hint: hint.map(str::to_owned) }
}

/// Tells the URL of each notification what happened to it.
pub(crate) struct UrlTeller {
    pub(crate) reach: Arc<UrlReach>,
    pub(crate) feeds: Arc<dyn Feeds>,
    pub(crate) store: Arc<dyn Store>,
}

impl UrlTeller {
    /// Joined to what is to be told, and when it is tried again.
    pub(crate) fn prepare(self, config: &CallbackUrlConfig, policy: impl Fn(&str) -> RetryPolicy) -> Prepared {
        let teller = Arc::new(self);
        let means = Means {
            target: Arc::clone(&teller) as _,
            receivers: Some(teller),
            wanted: config.events.clone(),
            policy: Arc::new(policy(WebhookConfig::RETRY)),
            concurrency: CALLS_MAX,
        };
        Prepared { name: CallbackName::of_callback_urls(), means }
    }
}

#[async_trait]
impl Target for UrlTeller {
    async fn call(&self, execution: &Execution) -> Result<(), Failure> {
        let ids = execution.event.event.body.notification().into_iter().collect();
        let found = self.store.callback_urls(ids).await;
        let retry = |reason| Failure::Retry { reason, after: None };
        let Some((_, url)) = found.map_err(|error| retry(error.to_string()))?.pop() else {
            let reason = "its notification is not kept any more, or its receiver answered 410".to_owned();
            return Err(Failure::GiveUp { reason });
        };
        // What is not permitted now was when the notification came in, and may be again after a reload.
        let grant = self.reach.grant(&url).map_err(|problem| retry(format!("its URL {}", problem.message)))?;
        self.reach.signer.send(&grant, url.as_str(), self.feeds.published(&execution.event)).await
    }
}

#[async_trait]
impl Receivers for UrlTeller {
    async fn hosts(&self, of: Vec<NotificationId>) -> Result<HashMap<NotificationId, Host>, StoreError> {
        if of.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self.store.callback_urls(of).await?;
        Ok(found.into_iter().map(|(id, url)| (id, url.place().into())).collect())
    }
}
