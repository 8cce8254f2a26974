//! The spelling of what a channel may reach. What it then reaches is judged per connection, elsewhere.

use std::net::IpAddr;

/// `host`, `*.domain`, each also with `:port`; an IPv6 address stands in brackets.
pub(super) fn host_pattern(text: &str) -> Result<(), &'static str> {
    if text.contains("://") || text.contains('/') {
        return Err("which is a URL: write the host alone, such as `hooks.example.com`");
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return Err("whose port is not 1 to 65535");
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().map(|_| ()).map_err(|_| "which is no IPv6 address in brackets");
    }
    let name = host.strip_prefix("*.").unwrap_or(host);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        Ok(())
    } else {
        Err("expected `host`, `*.domain` or `host:port`")
    }
}

/// An address range such as `127.0.0.1/32`.
pub(super) fn network(text: &str) -> Result<(), &'static str> {
    let expected = "expected an address and a prefix, such as `127.0.0.1/32` or `fd00::/8`";
    let (address, prefix) = text.split_once('/').ok_or(expected)?;
    let address: IpAddr = address.parse().map_err(|_| expected)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    match prefix.parse::<u8>() {
        Ok(prefix) if digits && prefix <= most => Ok(()),
        Ok(_) | Err(_) => Err(expected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_taken_with_wildcard_and_port_and_as_addresses() {
        for text in ["localhost", "hooks.slack.com", "*.example.com", "127.0.0.1:8080", "[::1]", "[::1]:80", "a_b.c:1"]
        {
            assert_eq!(host_pattern(text), Ok(()), "{text}");
        }
        for text in
            ["", "*", "*.", "a.*.b", "https://a.b", "a.b/c", "a.b:", "a.b:0", "a.b:70000", "a..b", "-a", "[x]:1", "a b"]
        {
            assert!(host_pattern(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_need_a_prefix_that_fits() {
        for text in ["127.0.0.1/32", "10.0.0.0/8", "0.0.0.0/0", "::1/128", "fd00::/8"] {
            assert_eq!(network(text), Ok(()), "{text}");
        }
        for text in ["", "127.0.0.1", "127.0.0.1/", "127.0.0.1/33", "127.0.0.1/+8", "localhost/8", "::1/129"] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
