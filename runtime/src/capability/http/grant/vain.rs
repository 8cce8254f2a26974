//! Grants that can never come to anything: told when a channel is loaded, not when its first call is refused.
//!
//! *Invariant:* no host that stands in a secret is quoted.

use std::net::IpAddr;

use serde_json::{Map, Value};
use url::Host;

use super::{Asked, GrantError, HIDDEN_ADDRESS, HostPattern, HttpGrant, host_in_config, write_line};
use crate::capability::http::networks::{Networks, longest};
use crate::capability::section::Section;

/// An entry of `allow_hosts` that lets nothing through. It does no harm, so the channel works without it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VainGrant {
    /// The plugin asks for no such host.
    #[error("`allow_hosts` has `{host}`, which its plugin does not ask to reach ({asked}); {}", take_out(.host))]
    NotAsked {
        /// The entry.
        host: String,
        /// What the plugin asks for, for people.
        asked: String,
    },
    /// It is an address that is not public, and no entry of `allow_networks` covers it.
    #[error(
        "`allow_hosts` has `{host}`, an address that is not public ({what}), and `allow_networks` does not cover it; {}",
        write_line(.line, .section)
    )]
    NotPublic {
        /// The entry.
        host: String,
        /// What the address is for.
        what: &'static str,
        /// What `allow_networks` has to be, with what stands there already.
        line: String,
        /// Where.
        section: Section,
    },
}

fn take_out(host: &str) -> String {
    format!("take `{host}` out of `allow_hosts`")
}

impl VainGrant {
    /// What to do about it, as it stands at the end of the sentence.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotAsked { host, .. } => take_out(host),
            Self::NotPublic { line, section, .. } => write_line(line, section),
        }
    }
}

/// What a plugin asks to reach, for people: `it asks for …`.
pub fn asked_for(asked: &[Asked<'_>]) -> String {
    let item = |item: &String| match item.strip_prefix("config:") {
        Some(pointer) => format!("the host in `config{}`", pointer.replace('/', ".")),
        None => format!("`{item}`"),
    };
    let all: Vec<_> = asked.iter().flat_map(|asked| asked.scope).map(item).collect();
    format!("it asks for {}", if all.is_empty() { "no host".to_owned() } else { all.join(", ") })
}

impl HostPattern {
    /// Whether there is a URL that both match.
    fn meets(&self, other: &Self) -> bool {
        let is_below = |name: &str, domain: &str| name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        let name = match (self.below, other.below) {
            (false, false) => self.name == other.name,
            (true, false) => is_below(&other.name, &self.name),
            (false, true) => is_below(&self.name, &other.name),
            (true, true) => {
                self.name == other.name || is_below(&self.name, &other.name) || is_below(&other.name, &self.name)
            }
        };
        // None is the default of the scheme: either of the two.
        let port = match (self.port, other.port) {
            (None, None) => true,
            (None, Some(port)) | (Some(port), None) => matches!(port, 80 | 443),
            (Some(one), Some(another)) => one == another,
        };
        name && port
    }

    /// What its address is for, where it is one that is not public and that `networks` do not cover.
    fn out_of_reach(&self, networks: &Networks) -> Option<(IpAddr, &'static str)> {
        let address = match Host::parse(&self.name).ok()? {
            Host::Ipv4(ip) => IpAddr::from(ip),
            Host::Ipv6(ip) => IpAddr::from(ip).to_canonical(),
            Host::Domain(_) => return None,
        };
        Some((address, networks.forbidden(address)?))
    }
}

impl HttpGrant {
    /// Hosts in the config that the plugin needs and that no call could reach: addresses that are not public, without a
    /// range that grants them. Those that stand in `written`, where no secret does, are named.
    #[must_use]
    pub fn out_of_reach(
        &self,
        asked: &[Asked<'_>],
        config: &Map<String, Value>,
        written: &Map<String, Value>,
    ) -> Vec<GrantError> {
        let required = asked.iter().filter(|asked| asked.required).flat_map(|asked| asked.scope);
        let mut pointers: Vec<_> = required.filter_map(|item| item.strip_prefix("config:")).collect();
        pointers.dedup();
        let error = |pointer: &str| {
            let (address, what) = host_in_config(config, pointer)?.out_of_reach(&self.networks)?;
            let range = match host_in_config(written, pointer) {
                Some(_) => format!("{address}/{}", longest(address)),
                None => format!("{HIDDEN_ADDRESS}{}", longest(address)),
            };
            let (line, section) = self.networks.with(range);
            Some(GrantError::NotPublic { pointer: pointer.to_owned(), what, line, section })
        };
        pointers.into_iter().filter_map(error).collect()
    }

    /// Entries of `allow_hosts` that let nothing through.
    #[must_use]
    pub fn vain(&self, asked: &[Asked<'_>], allow_hosts: &[String]) -> Vec<VainGrant> {
        let items = asked.iter().flat_map(|asked| asked.scope);
        let wanted: Vec<_> = items.filter_map(|item| HostPattern::parse(item).ok()).collect();
        let vain = |text: &String| {
            let entry = HostPattern::parse(text).ok()?;
            let is_asked = wanted.iter().any(|wanted| entry.covers(wanted) || wanted.covers(&entry));
            if !is_asked && !self.hosts.iter().any(|host| host.meets(&entry)) {
                return Some(VainGrant::NotAsked { host: text.clone(), asked: asked_for(asked) });
            }
            let (address, what) = entry.out_of_reach(&self.networks)?;
            let (line, section) = self.networks.with(format!("{address}/{}", longest(address)));
            Some(VainGrant::NotPublic { host: text.clone(), what, line, section })
        };
        allow_hosts.iter().filter_map(vain).collect()
    }

    /// Whether what may go to `patterns` alone can go anywhere. True of a channel that reaches nobody at all: that is
    /// another matter.
    #[must_use]
    pub fn reaches_any(&self, patterns: &[String]) -> bool {
        let is_reached = |pattern: HostPattern| self.hosts.iter().any(|host| host.meets(&pattern));
        self.hosts.is_empty() || patterns.iter().filter_map(|text| HostPattern::parse(text).ok()).any(is_reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::http::{Allowed, Egress};

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    /// What is said of a channel whose plugin asks for `scope`, with this URL in its config.
    fn said(scope: &[&str], required: bool, url: &str, hosts: &[&str], networks: &[&str]) -> String {
        said_of(scope, required, (url, false), hosts, networks)
    }

    fn said_of(
        scope: &[&str],
        required: bool,
        (url, is_secret): (&str, bool),
        hosts: &[&str],
        networks: &[&str],
    ) -> String {
        let scope = owned(scope);
        let asked = [Asked { scope: &scope, required }];
        let Value::Object(config) = serde_json::json!({ "url": url }) else { panic!("an object") };
        let section = Section::of_any_channel();
        let allowed = Allowed { section: &section, hosts: &owned(hosts), networks: &owned(networks) };
        let grant = HttpGrant::check(&asked, &config, allowed, &Egress::system()).unwrap();
        let written = if is_secret { Map::new() } else { config.clone() };
        let errors = grant.out_of_reach(&asked, &config, &written).iter().map(ToString::to_string).collect::<Vec<_>>();
        let vain = grant.vain(&asked, &owned(hosts));
        assert!(vain.iter().all(|vain| vain.to_string().ends_with(&vain.hint())), "{vain:?}");
        errors.into_iter().chain(vain.iter().map(ToString::to_string)).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_entry_that_the_plugin_does_not_ask_for_is_told_with_what_it_asks_for() {
        let hosts = ["api.example.com", "other.org", "api.example.com:8443"];
        insta::assert_snapshot!(said(&["*.example.com", "config:/url"], false, "https://own.example.net/", &hosts, &[]), @r"
        `allow_hosts` has `other.org`, which its plugin does not ask to reach (it asks for `*.example.com`, the host in `config.url`); take `other.org` out of `allow_hosts`
        `allow_hosts` has `api.example.com:8443`, which its plugin does not ask to reach (it asks for `*.example.com`, the host in `config.url`); take `api.example.com:8443` out of `allow_hosts`
        ");
        insta::assert_snapshot!(said(&[], false, "", &["other.org"], &[]), @"`allow_hosts` has `other.org`, which its plugin does not ask to reach (it asks for no host); take `other.org` out of `allow_hosts`");
    }

    #[test]
    fn an_entry_that_lets_something_through_is_no_news() {
        for (scope, required, entry) in [
            ("a.example.com", true, "a.example.com"),
            ("a.example.com", true, "*.example.com"),
            ("*.example.com", false, "a.example.com"),
            ("config:/url", true, "own.example.net"),
            ("config:/url", true, "*.example.net"),
        ] {
            assert_eq!(said(&[scope], required, "https://own.example.net/", &[entry], &[]), "", "{scope} {entry}");
        }
    }

    #[test]
    fn a_private_address_without_its_range_is_told_and_not_quoted_where_it_stands_in_a_secret() {
        for (url, network) in [("http://10.1.2.3:81/", "10.0.0.0/8"), ("http://[::ffff:10.1.2.3]/", "10.1.2.3")] {
            insta::allow_duplicates! {
                insta::assert_snapshot!(said_of(&["config:/url"], true, (url, true), &[], &[]), @r#"the host in `config.url` is an address that is not public (private); write `allow_networks = ["ADDRESS/32"]` with that address under [channels.NAME] to allow it"#);
                insta::assert_snapshot!(said(&["config:/url"], true, url, &[], &[]), @r#"the host in `config.url` is an address that is not public (private); write `allow_networks = ["10.1.2.3/32"]` under [channels.NAME] to allow it"#);
            }
            assert_eq!(said(&["config:/url"], true, url, &[], &[network]), "");
        }
        insta::assert_snapshot!(said(&["[fd00::1]:80", "10.0.0.1"], false, "", &["[fd00::1]:80", "10.0.0.1"], &["10.0.0.1/32"]), @r#"`allow_hosts` has `[fd00::1]:80`, an address that is not public (private), and `allow_networks` does not cover it; write `allow_networks = ["10.0.0.1/32", "fd00::1/128"]` under [channels.NAME]"#);
        assert_eq!(said(&["config:/url"], true, "https://192.0.1.1/", &[], &[]), "", "a public one");
    }

    #[test]
    fn patterns_that_some_url_fits_meet() {
        let reaches = |granted: &str, pattern: &str| {
            let scope = owned(&[granted]);
            let asked = [Asked { scope: &scope, required: true }];
            let Value::Object(config) = serde_json::json!({ "url": "https://own.example.net/" }) else { panic!() };
            let hosts: &[&str] = if granted.starts_with("config:") { &[] } else { &[granted] };
            let section = Section::of_any_channel();
            let allowed = Allowed { section: &section, hosts: &owned(hosts), networks: &[] };
            let grant = HttpGrant::check(&asked, &config, allowed, &Egress::system()).unwrap();
            grant.reaches_any(&owned(&[pattern]))
        };
        for (granted, pattern) in [
            ("config:/url", "own.example.net"),
            ("config:/url", "own.example.net:443"),
            ("config:/url", "*.example.net"),
            ("*.example.com", "a.b.example.com"),
            ("*.example.com", "*.b.example.com"),
            ("a.b.example.com", "*.example.com"),
            ("a.example.com:8443", "a.example.com:8443"),
        ] {
            assert!(reaches(granted, pattern), "{granted} {pattern}");
        }
        for (granted, pattern) in [
            ("config:/url", "own.example.net:8443"),
            ("config:/url", "example.net"),
            ("*.example.com", "example.com"),
            ("*.example.com", "badexample.com"),
            ("a.example.com:8443", "a.example.com"),
        ] {
            assert!(!reaches(granted, pattern), "{granted} {pattern}");
        }
    }
}
