//! Every way to write a place that nobody granted, and that none of them is dialled.

use super::rig::{Names, Recorder, grant, open, post};
use crate::capability::http::{Egress, HttpError};

/// Hosts that are granted by name, so that only the judgement of their address stands in the way.
const FORBIDDEN: &[&str] = &[
    // Special and private ranges, plain.
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "172.16.0.1",
    "172.31.255.254",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.254",
    "198.18.0.1",
    "198.19.255.254",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    // Where clouds serve credentials and settings.
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "metadata.google.internal",
    "metadata",
    "instance-data",
    // Decimal, octal, hexadecimal, short and mixed.
    "2130706433",
    "0",
    "017700000001",
    "0x7f000001",
    "0X7F000001",
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0177.0.0.1",
    "0x7f.0.0.0x1",
    "00000177.0.0.1",
    "10.1",
    "0xa.0.0.1",
    "192.168.257",
    "3232235777",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "127.0.0.1.",
    "0x7f.1.",
    // Other digits, percent-encoding and case.
    "127。0。0。1",
    "\u{ff11}\u{ff12}\u{ff17}.\u{ff10}.\u{ff10}.\u{ff11}",
    "①②⑦.⓪.⓪.①",
    "%31%32%37.0.0.1",
    "%6c%6fcalhost",
    "localhost",
    "LOCALHOST",
    "LocalHost.",
    "localhost.",
    "ⓛocalhost",
    "loc\u{ad}alhost",
    "printer.local",
    "box.localhost",
    // IPv6 itself.
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::0001]",
    "[100::1]",
    "[100:0:0:1::1]",
    "[2001:db8::1]",
    "[2001:2::1]",
    "[2001:20::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[fc00::1]",
    "[fdff:ffff::1]",
    "[FE80::1]",
    "[febf::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[4000::1]",
    // IPv6 that carries IPv4: mapped, compatible, translated.
    "[::ffff:127.0.0.1]",
    "[::FFFF:7F00:1]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:10.0.0.1]",
    "[::127.0.0.1]",
    "[::a00:1]",
    "[::ffff:0:127.0.0.1]",
    // NAT64, public and local prefix.
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::10.0.0.1]",
    "[64:ff9b:1:7f00:0:100::]",
    // 6to4; Teredo by its server and by its (inverted) client; ISATAP.
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2002:c0a8:101::1]",
    "[2001:0:7f00:1::1]",
    "[2001:0:808:808:0:ffff:80ff:fffe]",
    "[2606:4700::5efe:10.0.0.1]",
    "[2606:4700::200:5efe:7f00:1]",
    "[2002:808:808::5efe:127.0.0.1]",
    // Names whose owner points them inwards.
    "inward.example",
    "mapped.example",
    "nat64.example",
    "mixed-inward.example",
];

const NAMES: &[(&str, &[&[&str]])] = &[
    ("localhost", &[&["127.0.0.1", "::1"]]),
    ("localhost.", &[&["127.0.0.1", "::1"]]),
    ("box.localhost", &[&["127.0.0.1"]]),
    ("metadata", &[&["169.254.169.254"]]),
    ("instance-data", &[&["169.254.169.254"]]),
    ("metadata.google.internal", &[&["169.254.169.254"]]),
    ("printer.local", &[&["192.168.1.9"]]),
    ("inward.example", &[&["10.1.2.3"]]),
    ("mapped.example", &[&["::ffff:10.1.2.3"]]),
    ("nat64.example", &[&["64:ff9b::a01:203"]]),
    ("mixed-inward.example", &[&["127.0.0.1", "fe80::1", "169.254.169.254"]]),
    ("granted.example", &[&["93.184.216.34"]]),
];

/// URLs sent with a grant for `granted.example` on port 80 only: what stands where the host seems to be is not it.
const TRICKS: &[(&str, Verdict)] = &[
    ("http://granted.example@127.0.0.1/", Verdict::Invalid),
    ("http://granted.example:80@127.0.0.1/", Verdict::Invalid),
    ("http://granted.example%40127.0.0.1/", Verdict::Invalid),
    ("http://127.0.0.1@granted.example/", Verdict::Invalid),
    ("http://:@granted.example/", Verdict::Granted),
    ("http://granted.example\\@127.0.0.1/", Verdict::Granted),
    ("http://127.0.0.1\\@granted.example/", Verdict::Elsewhere("127.0.0.1")),
    ("http:\\\\127.0.0.1\\granted.example", Verdict::Elsewhere("127.0.0.1")),
    ("http:127.0.0.1/granted.example", Verdict::Elsewhere("127.0.0.1")),
    ("http:///127.0.0.1/", Verdict::Elsewhere("127.0.0.1")),
    ("http:////127.0.0.1/", Verdict::Elsewhere("127.0.0.1")),
    ("//127.0.0.1/", Verdict::Invalid),
    ("http://127.0.0.1#granted.example/", Verdict::Elsewhere("127.0.0.1")),
    ("http://127.0.0.1?granted.example/", Verdict::Elsewhere("127.0.0.1")),
    ("http://127.0.0.1;granted.example/", Verdict::Elsewhere("127.0.0.1;granted.example")),
    ("http://127.0.0.1,granted.example/", Verdict::Elsewhere("127.0.0.1,granted.example")),
    ("http://127.0.0.1\t/", Verdict::Elsewhere("127.0.0.1")),
    ("http://127.0.\n0.1/", Verdict::Elsewhere("127.0.0.1")),
    ("\u{1} http://127.0.0.1/", Verdict::Elsewhere("127.0.0.1")),
    ("http://127.0.0.1\u{0}granted.example/", Verdict::Invalid),
    ("http://127.0.0.1 granted.example/", Verdict::Invalid),
    ("http://granted.example%00.evil.example/", Verdict::Invalid),
    ("http://granted.example%2f@127.0.0.1/", Verdict::Invalid),
    ("http://granted.example.evil.example/", Verdict::Elsewhere("granted.example.evil.example")),
    ("http://evilgranted.example/", Verdict::Elsewhere("evilgranted.example")),
    ("http://granted.example./", Verdict::Elsewhere("granted.example.")),
    ("http://gr\u{430}nted.example/", Verdict::Elsewhere("xn--grnted-4nf.example")),
    ("http://granted.example:81/", Verdict::Elsewhere("granted.example:81")),
    ("http://granted.example:0/", Verdict::Elsewhere("granted.example:0")),
    ("http://granted.example:65616/", Verdict::Invalid),
    ("http://granted.example:-1/", Verdict::Invalid),
    ("http://granted.example:80:22/", Verdict::Invalid),
    ("http://granted.example: 80/", Verdict::Invalid),
    ("https://granted.example/", Verdict::Elsewhere("granted.example")),
    ("http://[::1%25lo]/", Verdict::Invalid),
    ("http://[fe80::1%eth0]/", Verdict::Invalid),
    ("http://[::1/", Verdict::Invalid),
    ("http://::1/", Verdict::Invalid),
    ("http://[[::1]]/", Verdict::Invalid),
    ("http://[::1].granted.example/", Verdict::Invalid),
    ("http://[granted.example]/", Verdict::Invalid),
    ("http://[v1.fe80::1]/", Verdict::Invalid),
    ("http://127.0.0.256/", Verdict::Invalid),
    ("http://127.0.0.0x100/", Verdict::Invalid),
    ("http://4294967296/", Verdict::Invalid),
    ("http://1.2.3.4.5/", Verdict::Invalid),
    ("http://0x/", Verdict::Elsewhere("0.0.0.0")),
    ("ftp://granted.example/", Verdict::Invalid),
    ("gopher://granted.example/", Verdict::Invalid),
    ("file:///etc/passwd", Verdict::Invalid),
    ("unix:///run/granted.example", Verdict::Invalid),
    ("data:,granted.example", Verdict::Invalid),
    ("javascript://granted.example/", Verdict::Invalid),
    ("http://", Verdict::Invalid),
    ("http:///", Verdict::Invalid),
    ("", Verdict::Invalid),
];

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Invalid,
    /// It means this host, and the refusal says so.
    Elsewhere(&'static str),
    /// It does mean the granted host, which is dialled.
    Granted,
}

#[tokio::test]
async fn no_spelling_of_a_special_address_is_dialled() {
    let mut wrong = Vec::new();
    for host in FORBIDDEN {
        for scheme in ["http", "https"] {
            let recorder = Recorder::new();
            let url = format!("{scheme}://{host}/latest/meta-data");
            let grant = grant(&url, &[], &Egress::new(Names::new(NAMES), recorder.clone()));
            let answer = open(&grant).send(post(&url, "")).await;
            let said = match &answer {
                Err(HttpError::Denied(sentence)) => sentence.contains("allow_networks = [\""),
                _ => false,
            };
            if !said || !recorder.dialled().is_empty() {
                wrong.push(format!("{url}: {answer:?}, dialled {:?}", recorder.dialled()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn no_trick_with_a_url_gets_past_the_granted_host() {
    let mut wrong = Vec::new();
    for (url, expected) in TRICKS {
        let recorder = Recorder::new();
        let egress = Egress::new(Names::new(NAMES), recorder.clone());
        let grant = grant("http://granted.example/", &["127.0.0.0/8", "0.0.0.0"], &egress);
        let answer = open(&grant).send(post(url, "")).await;
        let dialled = recorder.dialled();
        let right = match (expected, &answer) {
            (Verdict::Invalid, Err(HttpError::Invalid(_))) => dialled.is_empty(),
            (Verdict::Elsewhere(host), Err(HttpError::Denied(sentence))) => {
                dialled.is_empty() && sentence.starts_with(&format!("host `{host}` is not granted"))
            }
            (Verdict::Granted, Err(HttpError::Unreachable(_))) => dialled == ["93.184.216.34:80"],
            _ => false,
        };
        if !right {
            wrong.push(format!("{url:?}: expected {expected:?}, found {answer:?}, dialled {dialled:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_public_address_is_dialled_as_it_was_checked() {
    for (url, expected) in [
        ("http://granted.example/", "93.184.216.34:80"),
        ("HTTP://GRANTED.Example:80/", "93.184.216.34:80"),
        ("https://granted.example/", "93.184.216.34:443"),
        ("https://granted.example:8443/", "93.184.216.34:8443"),
        ("http://1.1.1.1/", "1.1.1.1:80"),
        ("http://0x01010101:8080/", "1.1.1.1:8080"),
        ("http://1.1/", "1.0.0.1:80"),
        ("https://[2606:4700::1111]/", "[2606:4700::1111]:443"),
        ("http://[::ffff:8.8.8.8]/", "[::ffff:8.8.8.8]:80"),
        ("http://[64:ff9b::808:808]/", "[64:ff9b::808:808]:80"),
        ("http://172.32.0.1/", "172.32.0.1:80"),
        ("http://100.128.0.1/", "100.128.0.1:80"),
    ] {
        let recorder = Recorder::new();
        let grant = grant(url, &[], &Egress::new(Names::new(NAMES), recorder.clone()));
        let answer = open(&grant).send(post(url, "")).await;
        assert!(matches!(answer, Err(HttpError::Unreachable(_))), "{url} gave {answer:?}");
        assert_eq!(recorder.dialled(), [expected], "{url}");
    }
}

#[tokio::test]
async fn exactly_the_granted_range_is_opened() {
    for (network, inside, outside) in [
        ("10.1.0.0/16", "10.1.2.3", "10.2.0.1"),
        ("127.0.0.1/32", "127.0.0.1", "127.0.0.2"),
        ("127.0.0.1", "[::ffff:127.0.0.1]", "[::1]"),
        ("fd12::/16", "[fd12::1]", "[fd13::1]"),
        ("64:ff9b::a00:0/104", "[64:ff9b::a01:203]", "10.1.2.3"),
        ("10.0.0.0/8", "10.1.2.3", "[64:ff9b::a01:203]"),
        ("2002:a00::/24", "[2002:a00:1::1]", "[2002:7f00:1::1]"),
    ] {
        for (host, reached) in [(inside, true), (outside, false)] {
            let recorder = Recorder::new();
            let url = format!("http://{host}/");
            let grant = grant(&url, &[network], &Egress::new(Names::new(NAMES), recorder.clone()));
            let answer = open(&grant).send(post(&url, "")).await;
            assert_eq!(matches!(answer, Err(HttpError::Unreachable(_))), reached, "{network} and {host}: {answer:?}");
            assert_eq!(recorder.dialled().len(), usize::from(reached), "{network} and {host}");
        }
    }
}
