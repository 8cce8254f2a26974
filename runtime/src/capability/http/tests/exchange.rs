//! Exchanges with a real server on loopback.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use bytes::Bytes;

use super::rig::{LIMITS, Plain, grant, open, open_with, post, serve};
use crate::capability::http::{BodyPart, Egress, EgressLimits, HttpError, HttpGrant, HttpRequest};

const SMALL: EgressLimits = EgressLimits { calls: 2, response_max: 10, ..LIMITS };

fn small(grant: &Arc<HttpGrant>) -> Plain {
    open_with(grant, SMALL, Duration::from_secs(20))
}

async fn url_of(router: Router) -> String {
    format!("http://{}/", serve(router).await)
}

#[tokio::test]
async fn an_exchange_brings_status_headers_and_body_and_cuts_what_is_too_long() {
    let url = url_of(Router::new().route("/", any(|body: String| async move { ([("x-seen", "yes")], body) }))).await;
    let grant = grant(&url, &["127.0.0.1/32"], &Egress::system());
    let mut http = small(&grant);
    let reply = http.send(post(&url, "short")).await.unwrap();
    assert_eq!((reply.status, &*reply.body, reply.truncated), (200, &b"short"[..], false));
    assert!(reply.headers.contains(&("x-seen".into(), "yes".into())));
    let reply = http.send(post(&url, "longer than ten")).await.unwrap();
    assert_eq!((&*reply.body, reply.truncated), (&b"longer tha"[..], true));
    assert!(matches!(http.send(post(&url, "")).await, Err(HttpError::Exhausted(_))));
}

#[tokio::test]
async fn a_loopback_address_is_denied_until_its_range_is_granted() {
    let url = url_of(Router::new().route("/", get(|| async { "no" }))).await;
    let grant = grant(&url, &[], &Egress::system());
    let error = open(&grant).send(post(&url, "")).await.unwrap_err();
    let HttpError::Denied(sentence) = error else { panic!("expected a denial, found {error:?}") };
    assert!(sentence.contains("allow_networks = [\"127.0.0.1/32\"]"), "{sentence}");
}

#[tokio::test]
async fn a_refused_connection_is_unreachable_and_a_broken_one_interrupted() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let grant = grant(&url, &["127.0.0.1/32"], &Egress::system());
    let breaker = tokio::spawn(async move {
        let _ = listener.accept().await;
    });
    let error = open(&grant).send(post(&url, "hello")).await.unwrap_err();
    assert!(matches!(error, HttpError::Interrupted(_)), "{error:?}");
    breaker.await.unwrap();
    let error = open(&grant).send(post(&url, "hello")).await.unwrap_err();
    assert!(matches!(error, HttpError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_silent_server_costs_no_more_than_the_time_that_is_left() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let grant = grant(&url, &["127.0.0.1/32"], &Egress::system());
    let mut http = open_with(&grant, SMALL, Duration::from_millis(50));
    assert!(matches!(http.send(post(&url, "")).await, Err(HttpError::Timeout(_))));
    assert!(matches!(http.send(post(&url, "")).await, Err(HttpError::Timeout(_))), "no time is left");
}

#[tokio::test]
async fn a_bad_request_is_invalid_and_its_url_is_not_repeated() {
    let grant = grant("http://127.0.0.1:1/", &["127.0.0.1/32"], &Egress::system());
    let base = post("http://127.0.0.1:1/", "");
    let header = |name: &str, value: &str| HttpRequest { headers: vec![(name.into(), value.into())], ..base.clone() };
    for request in [
        post("/relative", ""),
        post("file:///canary", ""),
        post("http://user:canary@127.0.0.1:1/", ""),
        HttpRequest { method: "BAD METHOD".into(), ..base.clone() },
        HttpRequest { method: "CONNECT".into(), ..base.clone() },
        HttpRequest { body: vec![BodyPart::Bytes(Bytes::from(vec![0; 1_001]))], ..base.clone() },
        header("Host", "elsewhere"),
        header("content-length", "1"),
        header("x\r\ny", "1"),
        header("x", "a\r\nb"),
    ] {
        let error = open(&grant).send(request.clone()).await.unwrap_err();
        assert!(matches!(error, HttpError::Invalid(_)), "{request:?} gave {error:?}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}
