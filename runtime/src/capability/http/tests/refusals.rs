//! Every refusal says what was asked, what the limit is, and what changes it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::rig::{LIMITS, Names, Recorder, grant, open, open_with, ops, post};
use crate::capability::Section;
use crate::capability::http::connect::ConnectError;
use crate::capability::http::{Allowed, Asked, BodyPart, Egress, EgressLimits, GrantError, HttpGrant, HttpRequest};
use crate::config::CallLimits;

#[tokio::test]
async fn a_request_over_a_limit_is_told_the_limit_and_what_changes_it() {
    let url = "http://127.0.0.1:1/";
    let grant = grant(url, &["127.0.0.1/32"], &Egress::system());
    let base = post(url, "");
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let requests = [
        post(&format!("{url}{}", "a".repeat(9_000)), ""),
        post("http://other.example:8080/", ""),
        post("ftp://127.0.0.1:1/", ""),
        HttpRequest { method: "TRACE".into(), ..base.clone() },
        HttpRequest { body: vec![BodyPart::Bytes(Bytes::from(vec![0; 1_001]))], ..base.clone() },
        HttpRequest { headers: vec![header("x", "y"); 65], ..base.clone() },
        HttpRequest { headers: vec![header("x", &"y".repeat(40_000))], ..base.clone() },
        HttpRequest { headers: vec![header("host", "elsewhere")], ..base.clone() },
        HttpRequest { redirects: 6, ..base.clone() },
        HttpRequest { timeout: Some(Duration::ZERO), ..base.clone() },
    ];
    let mut told = Vec::new();
    for request in requests {
        told.push(open(&grant).send(request).await.expect_err("it is refused").to_string());
    }
    for calls in [0, 8, 600, CallLimits::EGRESS_CALLS_MAX] {
        let mut http = open_with(&grant, EgressLimits { calls, ..LIMITS }, Duration::from_secs(20));
        for _ in 0..calls {
            // Each is refused, and counted.
            let _ = http.send(post("ftp://127.0.0.1:1/", "")).await;
        }
        told.push(http.send(base.clone()).await.expect_err("it is one too many").to_string());
    }
    http_of_no_time(&grant, &base, &mut told).await;
    insta::assert_snapshot!(told.join("\n"), @r#"
    invalid request: the URL has 9019 bytes, the limit is 8192; no setting changes that
    denied: host `other.example:8080` is not granted, and its plugin asks for the host in `config.url` under [channels.ops], not for it; no `allow_hosts` changes that: its author adds it to `describe`
    invalid request: the URL is not an absolute http or https URL
    invalid request: the method is no token, or `CONNECT` or `TRACE`, which are never sent
    invalid request: the body has 1001 bytes, the limit is 1000; no setting changes that
    invalid request: 65 headers of 130 bytes, the limits are 64 and 32768; no setting changes that
    invalid request: 1 headers of 40001 bytes, the limits are 64 and 32768; no setting changes that
    invalid request: the header `host` belongs to the connection: leave it out, the host sets it
    invalid request: 6 redirects are too many, the limit is 5; no setting changes that
    timed out: the request gives itself no time, so that nothing was sent: its plugin asks for more
    exhausted: a call may make 0 requests, this is one more; set `egress_calls = 1` under [channels.ops] to allow more
    exhausted: a call may make 8 requests, this is one more; set `egress_calls = 16` under [channels.ops] to allow more
    exhausted: a call may make 600 requests, this is one more; set `egress_calls = 1000` under [channels.ops] to allow more
    exhausted: a call may make 1000 requests, this is one more; no setting allows more
    timed out: no time is left of the call's 10s, so that nothing was sent; set `timeout = "20s"` under [channels.ops] to allow more
    timed out: no time is left of the call's 1h, so that nothing was sent; no setting allows more
    "#);
}

/// Requests of calls whose time is over.
async fn http_of_no_time(grant: &Arc<HttpGrant>, request: &HttpRequest, told: &mut Vec<String>) {
    for timeout in [LIMITS.timeout, CallLimits::TIMEOUT_MAX] {
        let mut http = open_with(grant, EgressLimits { timeout, ..LIMITS }, Duration::ZERO);
        told.push(http.send(request.clone()).await.expect_err("its time is over").to_string());
    }
}

#[tokio::test]
async fn a_host_that_its_plugin_asks_for_is_told_the_whole_line_that_grants_it() {
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (scope, hosts) = (texts(&["*.acme.example", "api.example:8443"]), texts(&["eu.acme.example"]));
    let asked = [Asked { scope: &scope, required: false }];
    let allowed = Allowed { section: &ops(), hosts: &hosts, networks: &[] };
    let grant = HttpGrant::check(&asked, &serde_json::Map::new(), allowed, &Egress::system()).expect("all is optional");
    let grant = Arc::new(grant);
    let mut told = Vec::new();
    for url in ["https://us.acme.example/", "https://api.example:8443/", "https://api.example/"] {
        told.push(open(&grant).send(post(url, "")).await.expect_err("it is denied").to_string());
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
    denied: host `us.acme.example` is not granted; write `allow_hosts = ["eu.acme.example", "us.acme.example"]` under [channels.ops]
    denied: host `api.example:8443` is not granted; write `allow_hosts = ["eu.acme.example", "api.example:8443"]` under [channels.ops]
    denied: host `api.example` is not granted, and its plugin does not ask for it; no `allow_hosts` changes that: its author adds it to `describe`
    "#);
}

#[tokio::test]
async fn a_special_address_behind_a_name_is_told_the_line_that_grants_it() {
    let url = "https://hooks.example.com/";
    let mut told = Vec::new();
    for address in ["10.1.2.3", "169.254.169.254", "fd00::1"] {
        let names = Names::new(&[("hooks.example.com", &[&[address]])]);
        let egress = Egress::new(names, Recorder::new());
        let grant = grant(url, &["10.0.0.0/16"], &egress);
        told.push(open(&grant).send(post(url, "")).await.expect_err("it is denied").to_string());
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
    denied: the address `10.1.2.3` is not public (private); write `allow_networks = ["10.0.0.0/16", "10.1.2.3/32"]` under [channels.ops] to allow it
    denied: the address `169.254.169.254` is not public (link-local, where cloud metadata is served); write `allow_networks = ["10.0.0.0/16", "169.254.169.254/32"]` under [channels.ops] to allow it
    denied: the address `fd00::1` is not public (private); write `allow_networks = ["10.0.0.0/16", "fd00::1/128"]` under [channels.ops] to allow it
    "#);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_too_long_is_told_whose_limit_that_is() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let grant = grant(&url, &["127.0.0.1/32"], &Egress::system());
    let mut told = Vec::new();
    for timeout in [Some(Duration::from_secs(2)), Some(Duration::from_secs(60)), None] {
        let mut http = open_with(&grant, LIMITS, Duration::from_secs(4));
        let request = HttpRequest { timeout, ..post(&url, "") };
        told.push(http.send(request).await.expect_err("nobody answers").to_string());
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
    timed out: no complete answer within 2s, the time that its plugin gives it
    timed out: no complete answer within 4s, what was left of the call's 10s; set `timeout = "20s"` under [channels.ops] to allow more
    timed out: no complete answer within 4s, what was left of the call's 10s; set `timeout = "20s"` under [channels.ops] to allow more
    "#);
}

fn refused(asked: &[Asked<'_>], hosts: &[String], networks: &[String]) -> GrantError {
    let allowed = Allowed { section: &ops(), hosts, networks };
    let checked = HttpGrant::check(asked, &serde_json::Map::new(), allowed, &Egress::system());
    checked.expect_err("it is not granted").0.remove(0)
}

#[test]
fn every_reason_for_no_grant_names_the_line_that_would_grant_it() {
    let mut errors = Vec::new();
    loop {
        errors.push(match errors.last() {
            None => {
                let (scope, hosts) = (["api.example.com".to_owned()], ["eu.example.com".to_owned()]);
                refused(&[Asked { scope: &scope, required: true }], &hosts, &[])
            }
            Some(GrantError::NotGranted { .. }) => GrantError::NotAPattern { text: "https://a.b".to_owned() },
            Some(GrantError::NotAPattern { .. }) => {
                let networks = ["10.0.0.0/64".to_owned()];
                let asked = [Asked { scope: &[], required: false }];
                refused(&asked, &[], &networks)
            }
            Some(GrantError::NotANetwork(_)) => GrantError::NoUrl { pointer: "/url".to_owned() },
            Some(GrantError::NoUrl { .. }) => GrantError::TooMany { count: 65 },
            Some(GrantError::TooMany { .. }) => GrantError::NotPublic {
                pointer: "/url".to_owned(),
                what: "loopback",
                line: "allow_networks = [\"ADDRESS/32\"]".to_owned(),
                section: Section::of_any_channel(),
            },
            Some(GrantError::NotPublic { .. }) => break,
        });
        let error = errors.last().expect("one was added");
        assert!(error.to_string().ends_with(&error.hint().unwrap_or_default()), "{error}");
    }
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    its plugin needs to reach `api.example.com`, which is not granted; write `allow_hosts = ["eu.example.com", "api.example.com"]` under [channels.ops]
    `https://a.b` is not a host pattern: write `host`, `*.domain` or `host:port`, without scheme or path
    `10.0.0.0/64` is not an address range: write an address, or an address, `/` and a prefix length, as in `127.0.0.1/32`
    the config has no http or https URL with a host at `/url`; write one there, such as `"https://HOST/"`
    65 hosts are granted to one channel, the limit is 64; no setting changes that: `*.domain` is one
    the host in `config.url` is an address that is not public (loopback); write `allow_networks = ["ADDRESS/32"]` with that address under [channels.NAME] to allow it
    "#);
}

#[test]
fn every_reason_for_no_connection_says_what_it_is() {
    let mut errors = Vec::new();
    loop {
        errors.push(match errors.last() {
            None => ConnectError::Forbidden("the sentence of the policy".to_owned()),
            Some(ConnectError::Forbidden(_)) => ConnectError::NoHost,
            Some(ConnectError::NoHost) => ConnectError::Name(std::io::Error::other("no such name")),
            Some(ConnectError::Name(_)) => ConnectError::NoAddress,
            Some(ConnectError::NoAddress) => ConnectError::Dial(std::io::Error::other("connection refused")),
            Some(ConnectError::Dial(_)) => ConnectError::TooSlow,
            Some(ConnectError::TooSlow) => break,
        });
    }
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    the sentence of the policy
    the URL has no host
    its name cannot be resolved: no such name
    its name stands for no address
    no connection: connection refused
    no connection within 5 s, the limit; no setting changes that
    ");
}
