//! The spelling of what a channel may reach. What it then reaches is judged per connection, elsewhere.

use std::net::IpAddr;

use url::Url;

/// `host`, `*.domain`, each also with `:port`; an IPv6 address stands in brackets.
pub(super) fn host_pattern(text: &str) -> Result<(), &'static str> {
    let expected = "expected `host`, `*.domain` or `host:port`";
    if text.contains('/') {
        return Err("which is a URL: write the host alone, such as `hooks.example.com`");
    }
    let host = text.strip_prefix("*.").unwrap_or(text);
    let port = host.rsplit_once(':').filter(|_| !host.ends_with(']')).map(|(_, port)| port);
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Err("whose port is not 1 to 65535");
    }
    // The URL parser knows every spelling of a host; what else a URL may hold is ruled out here.
    let plain = !host.contains(['*', '@', '?', '#', '\\']) && !host.contains(char::is_whitespace);
    match Url::parse(&format!("http://{host}/")) {
        Ok(_) if plain => Ok(()),
        Ok(_) | Err(_) => Err(expected),
    }
}

/// An address, or a range such as `10.0.0.0/8`.
pub(super) fn network(text: &str) -> Result<(), &'static str> {
    let expected = "expected an address or a range, such as `127.0.0.1/32` or `fd00::/8`";
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().map_err(|_| expected)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let fits = |prefix: &str| {
        prefix.bytes().all(|byte| byte.is_ascii_digit()) && prefix.parse().is_ok_and(|prefix: u8| prefix <= most)
    };
    if prefix.is_none_or(fits) { Ok(()) } else { Err(expected) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_taken_with_wildcard_and_port_and_as_addresses() {
        for text in [
            "localhost",
            "hooks.slack.com",
            "*.example.com",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:80",
            "a_b.c:1",
            "bücher.de",
        ] {
            assert_eq!(host_pattern(text), Ok(()), "{text}");
        }
        for text in
            ["", "*", "*.", "a.*.b", "https://a.b", "a.b/c", "a.b:", "a.b:0", "a.b:70000", "u@a", "[x]:1", "a b"]
        {
            assert!(host_pattern(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_need_an_address_and_a_prefix_that_fits() {
        for text in ["127.0.0.1", "127.0.0.1/32", "10.0.0.0/8", "0.0.0.0/0", "::1/128", "fd00::/8"] {
            assert_eq!(network(text), Ok(()), "{text}");
        }
        for text in ["", "127.0.0.1/", "127.0.0.1/33", "127.0.0.1/+8", "localhost/8", "::1/129"] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
