//! Exchanges with a real server on loopback, and names that resolve to what they should not.

use axum::Router;
use axum::routing::{any, get};
use serde_json::json;

use super::*;
use crate::capability::http::grant::{Asked, SystemResolver};

const LIMITS: EgressLimits = EgressLimits { calls: 2, request_max: 1_000, response_max: 10 };

struct Names(&'static [&'static str]);

#[async_trait::async_trait]
impl HostResolver for Names {
    async fn resolve(&self, _host: &str) -> std::io::Result<Vec<SocketAddr>> {
        Ok(self.0.iter().map(|ip| SocketAddr::new(ip.parse().expect("an address"), 0)).collect())
    }
}

fn grant(url: &str, networks: &[&str], resolver: Arc<dyn HostResolver>) -> Arc<HttpGrant> {
    let config = json!({ "url": url }).as_object().cloned().unwrap();
    let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
    let asked = ["config:/url".to_owned()];
    Arc::new(HttpGrant::check(&[Asked { scope: &asked, required: true }], &config, &[], &networks, resolver).unwrap())
}

fn open(grant: &Arc<HttpGrant>) -> OpenHttp {
    grant.open(LIMITS, Instant::now() + Duration::from_secs(5))
}

fn post(url: &str, body: &'static str) -> HttpRequest {
    HttpRequest { method: "POST".into(), url: url.into(), headers: vec![], body: Bytes::from(body), timeout: None }
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn an_exchange_brings_status_headers_and_body_and_cuts_what_is_too_long() {
    let url = serve(Router::new().route("/", any(|body: String| async move { ([("x-seen", "yes")], body) }))).await;
    let grant = grant(&url, &["127.0.0.1/32"], Arc::new(SystemResolver));
    let mut http = open(&grant);
    let reply = http.send(post(&url, "short")).await.unwrap();
    assert_eq!((reply.status, &*reply.body, reply.truncated), (200, &b"short"[..], false));
    assert!(reply.headers.contains(&("x-seen".into(), "yes".into())));
    let reply = http.send(post(&url, "longer than ten")).await.unwrap();
    assert_eq!((&*reply.body, reply.truncated), (&b"longer tha"[..], true));
    assert!(matches!(http.send(post(&url, "")).await, Err(HttpError::Exhausted(_))));
}

#[tokio::test]
async fn a_loopback_address_is_denied_until_its_range_is_granted() {
    let url = serve(Router::new().route("/", get(|| async { "no" }))).await;
    let grant = grant(&url, &[], Arc::new(SystemResolver));
    let error = open(&grant).send(post(&url, "")).await.unwrap_err();
    let HttpError::Denied(sentence) = error else { panic!("expected a denial, found {error:?}") };
    assert!(sentence.contains("allow_networks = [\"127.0.0.1/32\"]"), "{sentence}");
}

#[tokio::test]
async fn a_name_that_resolves_to_private_addresses_only_is_denied_and_never_dialled() {
    let url = "http://provider.example/";
    for addresses in [&["127.0.0.1"][..], &["169.254.169.254", "10.0.0.1"], &["::ffff:127.0.0.1"], &["64:ff9b::a00:1"]]
    {
        let grant = grant(url, &[], Arc::new(Names(addresses)));
        let error = open(&grant).send(post(url, "")).await.unwrap_err();
        assert!(matches!(error, HttpError::Denied(_)), "{addresses:?} gave {error:?}");
    }
}

#[tokio::test]
async fn a_name_with_one_granted_address_is_reached_at_that_address() {
    let server = serve(Router::new().route("/", any(|| async { "here" }))).await;
    let port = Url::parse(&server).unwrap().port().unwrap();
    let url = format!("http://provider.example:{port}/");
    let grant = grant(&url, &["127.0.0.1/32"], Arc::new(Names(&["10.0.0.1", "127.0.0.1"])));
    assert_eq!(&*open(&grant).send(post(&url, "")).await.unwrap().body, b"here");
}

#[tokio::test]
async fn a_redirect_is_handed_over_and_not_followed() {
    let router =
        Router::new().route("/", any(|| async { (http::StatusCode::FOUND, [("location", "http://10.0.0.1/")]) }));
    let url = serve(router).await;
    let grant = grant(&url, &["127.0.0.1/32"], Arc::new(SystemResolver));
    assert_eq!(open(&grant).send(post(&url, "")).await.unwrap().status, 302);
}

#[tokio::test]
async fn a_refused_connection_is_unreachable_and_a_broken_one_interrupted() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let grant = grant(&url, &["127.0.0.1/32"], Arc::new(SystemResolver));
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
    let grant = grant(&url, &["127.0.0.1/32"], Arc::new(SystemResolver));
    let mut http = grant.open(LIMITS, Instant::now() + Duration::from_millis(50));
    assert!(matches!(http.send(post(&url, "")).await, Err(HttpError::Timeout(_))));
    assert!(matches!(http.send(post(&url, "")).await, Err(HttpError::Timeout(_))), "no time is left");
}

#[tokio::test]
async fn a_bad_request_is_invalid_and_its_url_is_not_repeated() {
    let grant = grant("http://127.0.0.1:1/", &["127.0.0.1/32"], Arc::new(SystemResolver));
    let base = post("http://127.0.0.1:1/", "");
    let header = |name: &str, value: &str| HttpRequest { headers: vec![(name.into(), value.into())], ..base.clone() };
    for request in [
        post("/relative", ""),
        post("file:///canary", ""),
        post("http://user:canary@127.0.0.1:1/", ""),
        HttpRequest { method: "BAD METHOD".into(), ..base.clone() },
        HttpRequest { method: "CONNECT".into(), ..base.clone() },
        HttpRequest { body: Bytes::from(vec![0; 1_001]), ..base.clone() },
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
