//! Which addresses are special: not somewhere on the public Internet.
//!
//! Source: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates). An IPv6 address
//! that carries an IPv4 address is judged by the address it carries, whatever the spelling. One address is special
//! though no registry says so: 168.63.129.16, where Azure serves its virtual machines.

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
    (Network::v4(168, 63, 129, 16, 32), "platform service of a cloud"),
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
    (Network::v6([0x0064, 0xff9b, 1], 48), "local NAT64"),
    (Network::v6([0x0100, 0, 0], 63), "discard-only or dummy"),
    (Network::v6([0x2001, 0, 0], 23), "protocol assignments, Teredo among them"),
    (Network::v6([0x2001, 0x0db8, 0], 32), "documentation"),
    (Network::v6([0x3fff, 0, 0], 20), "documentation"),
    (Network::v6([0x5f00, 0, 0], 16), "segment routing"),
    (Network::v6([0xfc00, 0, 0], 7), "private"),
    (Network::v6([0xfe80, 0, 0], 10), "link-local"),
    (Network::v6([0xfec0, 0, 0], 10), "site-local"),
    (Network::v6([0xff00, 0, 0], 8), "multicast"),
];

/// What IANA has given to the public Internet of IPv6 (RFC 4291, section 2.4); all else is not, or not yet.
const GLOBAL_UNICAST: Network = Network::v6([0x2000, 0, 0], 3);

/// Why `address` is special, or `None` where it is an ordinary public address.
#[must_use]
pub fn special_use(address: IpAddr) -> Option<&'static str> {
    let listed = |address| SPECIAL.iter().find(|(network, _)| network.contains(address)).map(|(_, what)| *what);
    let IpAddr::V6(v6) = address else { return listed(address) };
    if v6.is_loopback() {
        return Some("loopback");
    }
    if v6.is_unspecified() {
        return Some("unspecified");
    }
    let low = |shift: u32| IpAddr::V4(Ipv4Addr::from_bits((v6.to_bits() >> shift) as u32));
    if stands_for_v4(v6) {
        return listed(low(0));
    }
    if !GLOBAL_UNICAST.contains(address) {
        return listed(address).or(Some("not global unicast"));
    }
    let [prefix, .., tag_high, tag_low, _, _] = v6.segments();
    // 6to4 (RFC 3056), and ISATAP (RFC 5214) as the interface's part of any prefix: behind both stands an IPv4 address.
    let six_to_four = (prefix == 0x2002).then(|| low(80));
    let isatap = (matches!(tag_high, 0 | 0x0200) && tag_low == 0x5efe).then(|| low(0));
    listed(address).or_else(|| six_to_four.and_then(listed)).or_else(|| isatap.and_then(listed))
}

fn stands_for_v4(address: Ipv6Addr) -> bool {
    match address.segments() {
        // IPv4-mapped (RFC 4291), IPv4-translated (RFC 2765) and the public NAT64 prefix (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => true,
        // IPv4-compatible (RFC 4291, deprecated); `::` and `::1` are their own.
        [0, 0, 0, 0, 0, 0, high, low] => high != 0 || low > 1,
        _ => false,
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
