//! Which addresses are special: not somewhere on the public Internet.
//!
//! Source: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates). An IPv6 address
//! that carries an IPv4 address is judged by the address it carries, whatever the spelling.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses, such as `127.0.0.1/32` or `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

/// The text is not a range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an address range: write an address, or an address, `/` and a prefix length, as in `127.0.0.1/32`"
)]
pub struct ParseNetworkError(String);

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let error = || ParseNetworkError(text.chars().take(64).collect());
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix.parse::<u8>().map_err(|_| error())?)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| error())?;
        let longest = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        if prefix > longest {
            return Err(error());
        }
        Ok(Self { base, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl Network {
    const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Self {
        Self { base: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    const fn v6(segments: [u16; 3], prefix: u8) -> Self {
        let [a, b, c] = segments;
        Self { base: IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)), prefix }
    }

    /// Whether `address` lies in this range. Families never match each other.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

const SPECIAL: &[(Network, &str)] = &[
    (Network::v4(0, 0, 0, 0, 8), "this network"),
    (Network::v4(10, 0, 0, 0, 8), "private"),
    (Network::v4(100, 64, 0, 0, 10), "carrier-grade NAT"),
    (Network::v4(127, 0, 0, 0, 8), "loopback"),
    (Network::v4(169, 254, 0, 0, 16), "link-local, where cloud metadata is served"),
    (Network::v4(172, 16, 0, 0, 12), "private"),
    (Network::v4(192, 0, 0, 0, 24), "protocol assignments"),
    (Network::v4(192, 0, 2, 0, 24), "documentation"),
    (Network::v4(192, 88, 99, 0, 24), "6to4 relay"),
    (Network::v4(192, 168, 0, 0, 16), "private"),
    (Network::v4(198, 18, 0, 0, 15), "benchmarking"),
    (Network::v4(198, 51, 100, 0, 24), "documentation"),
    (Network::v4(203, 0, 113, 0, 24), "documentation"),
    (Network::v4(224, 0, 0, 0, 4), "multicast"),
    (Network::v4(240, 0, 0, 0, 4), "reserved or broadcast"),
    (Network::v6([0x0100, 0, 0], 64), "discard-only"),
    (Network::v6([0x2001, 0, 0], 23), "protocol assignments, Teredo among them"),
    (Network::v6([0x2001, 0x0db8, 0], 32), "documentation"),
    (Network::v6([0x3fff, 0, 0], 20), "documentation"),
    (Network::v6([0x5f00, 0, 0], 16), "segment routing"),
    (Network::v6([0xfc00, 0, 0], 7), "private"),
    (Network::v6([0xfe80, 0, 0], 10), "link-local"),
    (Network::v6([0xfec0, 0, 0], 10), "site-local"),
    (Network::v6([0xff00, 0, 0], 8), "multicast"),
];

/// Why `address` is special, or `None` where it is an ordinary public address.
#[must_use]
pub fn special_use(address: IpAddr) -> Option<&'static str> {
    let judged = carried(address);
    if judged == IpAddr::V6(Ipv6Addr::LOCALHOST) {
        return Some("loopback");
    }
    if judged == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        return Some("unspecified");
    }
    SPECIAL.iter().find(|(network, _)| network.contains(judged)).map(|(_, what)| *what)
}

/// The IPv4 address that an IPv6 address carries, else the address itself.
fn carried(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let low = |shift: u32| IpAddr::V4(Ipv4Addr::from_bits((v6.to_bits() >> shift) as u32));
    match v6.segments() {
        // IPv4-mapped (RFC 4291), IPv4-translated (RFC 2765) and the two NAT64 prefixes (RFC 6052, RFC 8215).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => low(0),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => low(0),
        // IPv4-compatible (RFC 4291, deprecated); `::` and `::1` are their own.
        [0, 0, 0, 0, 0, 0, high, low_half] if high != 0 || low_half > 1 => low(0),
        // 6to4 (RFC 3056).
        [0x2002, ..] => low(80),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_known_in_every_spelling() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::10.0.0.1",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
            "2001:0:0:0:0:0:80ff:fffe",
            "::ffff:0:127.0.0.1",
        ] {
            assert!(special_use(text.parse().unwrap()).is_some(), "{text} passed as public");
        }
    }

    #[test]
    fn public_addresses_are_not_special() {
        for text in
            ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "2002:808:808::"]
        {
            assert_eq!(special_use(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn a_range_holds_what_lies_in_it() {
        let loopback: Network = "127.0.0.0/8".parse().unwrap();
        assert!(loopback.contains("127.9.9.9".parse().unwrap()));
        assert!(!loopback.contains("128.0.0.1".parse().unwrap()));
        assert!(!loopback.contains("::ffff:127.0.0.1".parse().unwrap()));
        let all: Network = "::/0".parse().unwrap();
        assert!(all.contains("2001:db8::1".parse().unwrap()));
        for bad in ["", "127.0.0.1/33", "host/8", "1.2.3/8", "::/129", "1.2.3.4/"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
