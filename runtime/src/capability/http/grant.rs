//! What a channel may reach: what its plugin asks for ∩ what the operator grants.

mod vain;

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use url::{Host, Url};

use super::address::ParseNetworkError;
use super::connect::{self, Pool};
use super::egress::Egress;
use super::networks::Networks;
use super::played::PlayedProvider;
use crate::capability::section::{Section, list_line};
use crate::clock::Clock;

pub use vain::{VainGrant, asked_for};

/// Hosts that one channel may be granted. A channel speaks to one provider; this bounds what is matched per request.
const HOSTS_MAX: usize = 64;

/// One thing a plugin asks of `http`, as in its descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Host patterns, or `config:/pointer` for the host in the URL that stands there.
    pub scope: &'a [String],
    /// The channel cannot work without it.
    pub required: bool,
}

/// What the operator lets a channel reach, as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Allowed<'a> {
    /// Where it is written: refusals name it.
    pub section: &'a Section,
    /// `allow_hosts`: `host`, `*.domain`, either with `:port`.
    pub hosts: &'a [String],
    /// `allow_networks`: ranges of special and private addresses.
    pub networks: &'a [String],
}

/// Why a channel does not get what its plugin needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// The plugin needs hosts that are not granted. All of them, since they go into one line.
    #[error(
        "its plugin needs to reach `{}`, which {} not granted; {}",
        .hosts.join("`, `"), if .hosts.len() == 1 { "is" } else { "are" }, write_line(.line, .section)
    )]
    NotGranted {
        /// The patterns asked for.
        hosts: Vec<String>,
        /// What `allow_hosts` has to be, with what stands there already.
        line: String,
        /// Where.
        section: Section,
    },
    /// An entry of `allow_hosts`, or a pattern that the plugin asks for, is not a host pattern.
    #[error("`{text}` is not a host pattern: write `host`, `*.domain` or `host:port`, without scheme or path")]
    NotAPattern {
        /// The entry.
        text: String,
    },
    /// An entry of `allow_networks` is not a range.
    #[error(transparent)]
    NotANetwork(#[from] ParseNetworkError),
    /// The config has no usable URL where the plugin looks for its host.
    #[error("the config has no http or https URL with a host at `{pointer}`; {WRITE_URL}")]
    NoUrl {
        /// A JSON Pointer.
        pointer: String,
    },
    /// Over 64 hosts.
    #[error(
        "{count} hosts are granted to one channel, the limit is {HOSTS_MAX}; no setting changes that: `*.domain` is one"
    )]
    TooMany {
        /// How many.
        count: usize,
    },
    /// The plugin needs the host in the config, which is an address that is not public, and its range is not granted.
    /// The address itself is not told where it stands in a secret.
    #[error(
        "the host in `config{}` is an address that is not public ({what}); {}",
        .pointer.replace('/', "."), write_address(.line, .section)
    )]
    NotPublic {
        /// A JSON Pointer.
        pointer: String,
        /// What the address is for.
        what: &'static str,
        /// What `allow_networks` has to be, with what stands there already; `ADDRESS` where it is not told.
        line: String,
        /// Where.
        section: Section,
    },
}

/// What stands in a line for an address that is part of a secret.
const HIDDEN_ADDRESS: &str = "ADDRESS/";

/// What to do about a config without the URL that is asked for.
const WRITE_URL: &str = "write one there, such as `\"https://HOST/\"`";

fn write_line(line: &str, section: &Section) -> String {
    format!("write `{line}` under {section}")
}

fn write_address(line: &str, section: &Section) -> String {
    let in_place = if line.contains(HIDDEN_ADDRESS) { " with that address" } else { "" };
    format!("write `{line}`{in_place} under {section} to allow it")
}

impl GrantError {
    /// What to do about it, as it stands at the end of the sentence; none where the sentence is one piece.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotGranted { line, section, .. } => Some(write_line(line, section)),
            Self::NoUrl { .. } => Some(WRITE_URL.to_owned()),
            Self::NotPublic { line, section, .. } => Some(write_address(line, section)),
            Self::NotAPattern { .. } | Self::NotANetwork(_) | Self::TooMany { .. } => None,
        }
    }
}

/// Every reason why a channel does not get what its plugin needs, in the order found; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct GrantErrors(pub Vec<GrantError>);

/// `host`, `*.domain`, either with `:port`.
#[derive(Clone, PartialEq, Eq)]
struct HostPattern {
    /// Lower case; without the `*.`.
    name: String,
    /// Any name below `name`, not `name` itself.
    below: bool,
    /// None: the default port of the scheme.
    port: Option<u16>,
}

impl HostPattern {
    fn parse(text: &str) -> Result<Self, GrantError> {
        let error = || GrantError::NotAPattern { text: text.chars().take(255).collect() };
        let (below, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        // The URL parser knows every spelling of a host, so it has the word on what is one. The leading slashes keep
        // a path, a query or credentials from slipping in unnoticed.
        let url = Url::parse(&format!("http://{rest}/")).map_err(|_| error())?;
        let plain = url.path() == "/" && url.username().is_empty() && url.password().is_none();
        if !plain || url.query().is_some() || url.fragment().is_some() || rest.contains(['/', '*', '@']) {
            return Err(error());
        }
        let port = match rest.rsplit_once(':') {
            Some((_, port)) if !rest.ends_with(']') => Some(port.parse().map_err(|_| error())?),
            _ => None,
        };
        let name = url.host_str().ok_or_else(error)?.to_owned();
        Ok(Self { name, below, port })
    }

    fn of_url(url: &Url) -> Option<Self> {
        // The port as written, or the scheme's own: a config that names a URL means that port and no other.
        Some(Self { name: url.host_str()?.to_owned(), below: false, port: url.port_or_known_default() })
    }

    fn matches(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let name = match url.host() {
            // Labels mean nothing in an address.
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => !self.below && host == self.name,
            _ if self.below => host.strip_suffix(&self.name).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            _ => host == self.name,
        };
        let port = url.port_or_known_default();
        let default = if url.scheme() == "https" { Some(443) } else { Some(80) };
        name && port == self.port.or(default)
    }

    /// Whether all that `other` matches is matched by this.
    fn covers(&self, other: &Self) -> bool {
        let name = if self.below {
            let suffix = format!(".{}", self.name);
            other.name.ends_with(&suffix) || (other.below && other.name == self.name)
        } else {
            !other.below && other.name == self.name
        };
        name && (self.port == other.port)
    }
}

/// Whether a plugin can ask for this: a host pattern, or `config:/pointer`.
///
/// # Errors
///
/// [`GrantError::NotAPattern`].
pub fn check_scope(text: &str) -> Result<(), GrantError> {
    if text.starts_with("config:") { Ok(()) } else { HostPattern::parse(text).map(drop) }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.below { "*." } else { "" };
        write!(f, "{star}{}", self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// What one channel may reach, with a connection pool of its own. Made when the channel is loaded.
pub struct HttpGrant {
    hosts: Vec<HostPattern>,
    networks: Arc<Networks>,
    /// What a refusal names.
    said: Said,
    pub(super) pool: Pool,
    /// What time signatures are of.
    pub(super) clock: Arc<dyn Clock>,
    /// Answers in the place of the network.
    pub(super) played: Option<Arc<dyn PlayedProvider>>,
}

impl fmt::Debug for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        f.debug_struct("HttpGrant").field("hosts", &hosts).field("networks", &self.networks).finish_non_exhaustive()
    }
}

impl HttpGrant {
    /// Checks what a plugin asks for against what the operator grants with `allow_hosts` and `allow_networks`.
    ///
    /// A host that stands in the channel's own config at a place the plugin asks for is granted by standing there:
    /// the operator wrote it. A special or private address is not: that takes `allow_networks`.
    ///
    /// # Errors
    ///
    /// [`GrantErrors`] names everything that is missing, each with the line that would grant it.
    pub fn check(
        asked: &[Asked<'_>],
        config: &Map<String, Value>,
        allowed: Allowed<'_>,
        egress: &Egress,
    ) -> Result<Self, GrantErrors> {
        let mut problems = Vec::new();
        let mut note = |problem| {
            // Two needs may ask for one host.
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        };
        let Allowed { section, .. } = allowed;
        let parsed = allowed.hosts.iter().map(|text| Ok((HostPattern::parse(text)?, text.clone())));
        let (patterns, written): (Vec<_>, Vec<_>) = parsed.filter_map(|parsed| parsed.map_err(&mut note).ok()).unzip();
        let parsed = allowed.networks.iter().map(|text| Ok((text.parse()?, text.clone())));
        let networks = parsed.filter_map(|parsed| parsed.map_err(|error| note(GrantError::NotANetwork(error))).ok());
        let networks = Networks::new(networks.collect(), section.clone());
        let (mut hosts, mut lacking) = (Vec::new(), Vec::new());
        for (item, required) in asked.iter().flat_map(|asked| asked.scope.iter().map(|item| (item, asked.required))) {
            match granted(item, required, config, &patterns) {
                Ok(Granted::Hosts(found)) => hosts.extend(found),
                Ok(Granted::Lacking(host)) if lacking.contains(&host) => {}
                Ok(Granted::Lacking(host)) => lacking.push(host),
                Err(problem) => note(problem),
            }
        }
        if !lacking.is_empty() {
            let line = list_line("allow_hosts", &written, &lacking);
            note(GrantError::NotGranted { hosts: lacking, line, section: section.clone() });
        }
        if hosts.len() > HOSTS_MAX {
            note(GrantError::TooMany { count: hosts.len() });
        }
        if !problems.is_empty() {
            return Err(GrantErrors(problems));
        }
        let networks = Arc::new(networks);
        let pool = connect::pool(egress, Arc::clone(&networks));
        let said = Said::new(asked, written, section.clone());
        Ok(Self { hosts, networks, said, pool, clock: Arc::clone(&egress.clock), played: None })
    }

    /// As [`check`](Self::check), with a provider that is played: for trials of a plugin.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn played(
        asked: &[Asked<'_>],
        config: &Map<String, Value>,
        allowed: Allowed<'_>,
        (egress, provider): (&Egress, Arc<dyn PlayedProvider>),
    ) -> Result<Self, GrantErrors> {
        let grant = Self::check(asked, config, allowed, egress)?;
        Ok(Self { played: Some(provider), ..grant })
    }

    /// Whether `url` goes to one of `patterns`.
    pub(super) fn is_among(patterns: &[String], url: &Url) -> bool {
        patterns.iter().any(|text| HostPattern::parse(text).is_ok_and(|host| host.matches(url)))
    }

    /// Whether `url` goes to a granted host and, where its host is an address, to one that may be reached.
    pub(super) fn permits(&self, url: &Url) -> Result<(), String> {
        if !self.hosts.iter().any(|host| host.matches(url)) {
            return Err(self.said.not_granted(url));
        }
        match url.host() {
            Some(Host::Ipv4(ip)) => self.networks.permits(ip.into()),
            Some(Host::Ipv6(ip)) => self.networks.permits(ip.into()),
            // Judged when it is resolved.
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    /// Where in the configuration it stands.
    pub(super) fn section(&self) -> &Section {
        &self.said.section
    }
}

/// The host of a URL as `allow_hosts` has it: with its port, where that is not the scheme's own.
pub(super) fn host_of(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

/// What was asked for and what was written, for who is refused.
struct Said {
    /// Hosts that the plugin asks for, granted or not.
    asked: Vec<HostPattern>,
    /// Places in the config whose hosts it asks for, as people write them.
    keys: Vec<String>,
    /// `allow_hosts`, without what is no pattern.
    allow_hosts: Vec<String>,
    section: Section,
}

impl Said {
    fn new(asked: &[Asked<'_>], allow_hosts: Vec<String>, section: Section) -> Self {
        let items = || asked.iter().flat_map(|asked| asked.scope);
        let key = |pointer: &str| format!("`config{}`", pointer.replace('/', "."));
        Self {
            // A place in the config is none: its slash keeps it from being one.
            asked: items().filter_map(|item| HostPattern::parse(item).ok()).collect(),
            keys: items().filter_map(|item| item.strip_prefix("config:")).map(key).collect(),
            allow_hosts,
            section,
        }
    }

    fn not_granted(&self, url: &Url) -> String {
        let (host, section) = (host_of(url), &self.section);
        if self.asked.iter().any(|asked| asked.matches(url)) {
            let line = list_line("allow_hosts", &self.allow_hosts, std::slice::from_ref(&host));
            return format!("host `{host}` is not granted; write `{line}` under {section}");
        }
        // To allow what nobody asks for would change nothing.
        let what = match self.keys.as_slice() {
            [] => "and its plugin does not ask for it".to_owned(),
            keys => format!("and its plugin asks for the host in {} under {section}, not for it", keys.join(" and ")),
        };
        format!("host `{host}` is not granted, {what}; no `allow_hosts` changes that: its author adds it to `describe`")
    }
}

/// What one entry of a scope comes to.
enum Granted {
    /// These hosts.
    Hosts(Vec<HostPattern>),
    /// The channel cannot do without this one, and nobody allows it.
    Lacking(String),
}

fn granted(
    item: &str,
    required: bool,
    config: &Map<String, Value>,
    allowed: &[HostPattern],
) -> Result<Granted, GrantError> {
    if let Some(pointer) = item.strip_prefix("config:") {
        return match host_in_config(config, pointer) {
            None if required => Err(GrantError::NoUrl { pointer: pointer.to_owned() }),
            host => Ok(Granted::Hosts(host.into_iter().collect())),
        };
    }
    let wanted = HostPattern::parse(item)?;
    if allowed.iter().any(|allowed| allowed.covers(&wanted)) {
        Ok(Granted::Hosts(vec![wanted]))
    } else if required {
        Ok(Granted::Lacking(wanted.to_string()))
    } else {
        // The operator may grant less than was asked for.
        Ok(Granted::Hosts(allowed.iter().filter(|allowed| wanted.covers(allowed)).cloned().collect()))
    }
}

fn host_in_config(config: &Map<String, Value>, pointer: &str) -> Option<HostPattern> {
    let mut keys = pointer.strip_prefix('/')?.split('/').map(|key| key.replace("~1", "/").replace("~0", "~"));
    let first = config.get(&keys.next()?)?;
    let value = keys.try_fold(first, |value, key| value.get(key))?;
    let url = Url::parse(value.as_str()?).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| HostPattern::of_url(&url)).flatten()
}

#[cfg(test)]
mod tests;
