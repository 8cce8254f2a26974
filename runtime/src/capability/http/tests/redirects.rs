//! Where redirects may lead, and what they leave behind.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::any;
use http::{HeaderMap, Method, StatusCode};

use super::rig::{LIMITS, Names, Recorder, grants, open, open_with, post, serve};
use crate::capability::http::{Egress, EgressLimits, HttpError, HttpGrant, HttpReply, HttpRequest, REDIRECTS_MAX};

const HOME: &str = "http://home.example/";

/// `/to/<status>/<location in hex>` redirects; everything else tells what it was sent.
async fn provider() -> SocketAddr {
    async fn redirect(Path((status, location)): Path<(u16, String)>) -> (StatusCode, [(&'static str, String); 1]) {
        let location = String::from_utf8(hex::decode(location).unwrap()).unwrap();
        (StatusCode::from_u16(status).unwrap(), [("location", location)])
    }
    async fn tell(State(()): State<()>, method: Method, headers: HeaderMap, body: String) -> String {
        let mut lines = vec![format!("{method} {}", headers["host"].to_str().unwrap())];
        let told = ["authorization", "cookie", "content-type", "x-own"];
        lines.extend(told.iter().filter(|name| headers.contains_key(**name)).map(ToString::to_string));
        lines.push(body);
        lines.join(" ").trim_end().to_owned()
    }
    let router = Router::new().route("/to/{status}/{location}", any(redirect)).fallback(any(tell)).with_state(());
    serve(router).await
}

struct Place {
    grant: Arc<HttpGrant>,
    recorder: Arc<Recorder>,
}

/// `home.example` and `other.example` are granted and lead to the provider; `inward.example` is granted and does not.
async fn place() -> Place {
    let server = provider().await;
    let names = Names::new(&[
        ("home.example", &[&["93.184.216.34"]]),
        ("other.example", &[&["93.184.216.35"]]),
        ("inward.example", &[&["10.0.0.1"]]),
        ("closed.example", &[&["93.184.216.36"]]),
    ]);
    let recorder = Recorder::new();
    for address in ["93.184.216.34:80", "93.184.216.35:80", "93.184.216.34:8080"] {
        recorder.lead(address, server);
    }
    let hosts = ["other.example", "inward.example", "127.0.0.1", "closed.example", "home.example:8080"];
    let grant = grants(HOME, &hosts, &[], &Egress::new(names, recorder.clone()));
    Place { grant, recorder }
}

fn to(status: u16, location: &str) -> String {
    format!("{HOME}to/{status}/{}", hex::encode(location))
}

fn request(url: &str, redirects: u32) -> HttpRequest {
    let headers = [("authorization", "Bearer x"), ("cookie", "a=b"), ("content-type", "text/plain"), ("x-own", "1")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    HttpRequest { headers, redirects, ..post(url, "body") }
}

fn text(reply: &HttpReply) -> String {
    String::from_utf8(reply.body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_redirect_is_handed_over_unless_the_plugin_asks_to_follow() {
    let place = place().await;
    let reply = open(&place.grant).send(request(&to(302, "/there"), 0)).await.unwrap();
    assert_eq!(reply.status, 302);
    assert!(reply.headers.contains(&("location".into(), "/there".into())));
    let reply = open(&place.grant).send(request(&to(302, "/there"), 1)).await.unwrap();
    assert_eq!((reply.status, text(&reply)), (200, "GET home.example authorization cookie x-own".into()));
}

#[tokio::test]
async fn method_and_body_change_as_in_fetch() {
    let place = place().await;
    for (status, method, expected) in [
        (301, "POST", "GET home.example authorization cookie x-own"),
        (302, "POST", "GET home.example authorization cookie x-own"),
        (303, "POST", "GET home.example authorization cookie x-own"),
        (303, "PUT", "GET home.example authorization cookie x-own"),
        (301, "PUT", "PUT home.example authorization cookie content-type x-own body"),
        (307, "POST", "POST home.example authorization cookie content-type x-own body"),
        (308, "PATCH", "PATCH home.example authorization cookie content-type x-own body"),
    ] {
        let request = HttpRequest { method: method.into(), ..request(&to(status, "/there"), 1) };
        let reply = open(&place.grant).send(request).await.unwrap();
        assert_eq!(text(&reply), expected, "{status} {method}");
    }
    let reply = open(&place.grant).send(request(&to(304, "/there"), 1)).await.unwrap();
    assert_eq!(reply.status, 304, "not a status that leads anywhere");
}

#[tokio::test]
async fn credentials_stay_at_their_origin() {
    let place = place().await;
    for (location, host) in [("//other.example/x", "other.example"), ("http://home.example:8080/", "home.example:8080")]
    {
        let reply = open(&place.grant).send(request(&to(307, location), 1)).await.unwrap();
        assert_eq!(text(&reply), format!("POST {host} content-type x-own body"));
    }
}

#[tokio::test]
async fn a_redirect_to_a_place_that_is_not_granted_is_denied_and_not_dialled() {
    let place = place().await;
    for location in [
        "http://elsewhere.example/",
        "http://127.0.0.1/",
        "http://0x7f.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://inward.example/",
        "http://home.example:81/",
        "https://home.example/",
        "http://user:password@home.example/",
        "file:///etc/passwd",
        "ftp://home.example/",
        "javascript:alert(1)",
        "http://[",
    ] {
        let answer = open(&place.grant).send(request(&to(307, location), 1)).await;
        let Err(HttpError::Denied(sentence)) = answer else { panic!("{location} gave {answer:?}") };
        assert!(sentence.contains("redirect") && !sentence.contains("password"), "{sentence}");
    }
    assert_eq!(place.recorder.dialled(), ["93.184.216.34:80"], "only the first hop, over one connection");
}

#[tokio::test]
async fn each_hop_counts_as_a_call_and_five_are_the_most() {
    let place = place().await;
    let twice = to(302, &to(302, "/there"));
    let limits = EgressLimits { calls: 2, ..LIMITS };
    let mut http = open_with(&place.grant, limits, std::time::Duration::from_secs(20));
    assert!(matches!(http.send(request(&twice, 5)).await, Err(HttpError::Exhausted(_))));
    let reply = open(&place.grant).send(request(&twice, 1)).await.unwrap();
    assert_eq!(reply.status, 302, "the second is handed over");
    assert!(matches!(open(&place.grant).send(request(HOME, REDIRECTS_MAX + 1)).await, Err(HttpError::Invalid(_))));
}

#[tokio::test]
async fn what_breaks_after_a_redirect_is_not_safe_to_repeat() {
    let place = place().await;
    let answer = open(&place.grant).send(request(&to(307, "http://closed.example/"), 1)).await;
    assert!(matches!(answer, Err(HttpError::Interrupted(_))), "{answer:?}");
}
