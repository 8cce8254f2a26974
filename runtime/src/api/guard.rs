//! Who may speak to this server while no API key is configured: programs on this machine, and not web pages in its
//! browser.
//!
//! A page of another origin cannot read an answer nor send JSON, but the name of its own host may be made to resolve
//! to 127.0.0.1 (DNS rebinding). Its requests then still carry that name, so the name is checked. And it can send what
//! a form sends, to any address: a browser says of every such request from where it comes, so that is checked, too.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{HOST, ORIGIN};
use http::uri::Authority;

/// Whether the request is for a loopback address, `localhost`, or the address this server listens on.
pub(super) fn is_ours(headers: &HeaderMap, uri: &http::Uri, listen: IpAddr) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let named = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    let named_is_ours = named.is_some_and(|authority| host_is_ours(&authority, listen));
    named_is_ours && uri.authority().is_none_or(|authority| host_is_ours(authority, listen))
}

/// Whether the page that a browser sends this for, if it is one, is of an origin of ours. Other programs name none.
pub(super) fn is_from_us(headers: &HeaderMap, listen: IpAddr) -> bool {
    headers.get_all(ORIGIN).iter().all(|origin| {
        let host = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        let authority = host.and_then(|(_, authority)| authority.parse::<Authority>().ok());
        // `null` is the origin of a page that hides it.
        authority.is_some_and(|authority| host_is_ours(&authority, listen))
    })
}

fn host_is_ours(authority: &Authority, listen: IpAddr) -> bool {
    let host = authority.host();
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == listen)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn asked_of(host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().expect("a header"));
        is_ours(&headers, &http::Uri::from_static("/healthz"), IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    #[test]
    fn loopback_by_name_or_number_is_ours_at_any_port() {
        for host in ["localhost", "LOCALHOST:7433", "127.0.0.1:7433", "127.9.9.9", "[::1]:7433"] {
            assert!(asked_of(host), "{host}");
        }
    }

    #[test]
    fn any_other_name_is_not_even_where_it_looks_alike() {
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:7433", "10.0.0.1", "[::2]", ""] {
            assert!(!asked_of(host), "{host}");
        }
        assert!(!is_ours(&HeaderMap::new(), &http::Uri::from_static("/"), IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }

    #[test]
    fn a_page_of_another_origin_is_known_by_what_its_browser_says() {
        let sent_by = |origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().expect("a header"));
            }
            is_from_us(&headers, IpAddr::V4(Ipv4Addr::LOCALHOST))
        };
        for ours in [None, Some("http://127.0.0.1:7433"), Some("http://localhost:3000"), Some("http://[::1]:7433")] {
            assert!(sent_by(ours), "{ours:?}");
        }
        for theirs in ["https://evil.example", "null", "http://127.0.0.1.evil.example", "", "file://"] {
            assert!(!sent_by(Some(theirs)), "{theirs}");
        }
    }

    #[test]
    fn two_hosts_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, "localhost".parse().expect("a header"));
        headers.append(HOST, "evil.example".parse().expect("a header"));
        assert!(!is_ours(&headers, &http::Uri::from_static("/"), IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
}
