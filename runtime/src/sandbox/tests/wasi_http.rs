//! `wasi:http` goes the way of all requests of a plugin. Asked as the library asks it for a guest.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks as _};

use super::rig::grant;
use crate::capability::secret::{ChannelSecrets, Places, Secret, SecretText};
use crate::clock::Entropy;
use crate::config::CallLimits;
use crate::sandbox::Grants;
use crate::sandbox::slices::Pause;
use crate::sandbox::state::{CallState, HttpState, Subject};
use crate::telemetry::Metrics;

/// A provider that repeats what it was sent, and says so.
async fn provider() -> String {
    let echo = |headers: HeaderMap, body: String| async move {
        let key = headers.get("x-key").map(|value| value.to_str().unwrap().to_owned());
        let told = format!("{} {body}", key.unwrap_or_default());
        (StatusCode::CREATED, [("x-length", key_length(&headers))], told)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(echo))).await });
    host
}

fn key_length(headers: &HeaderMap) -> String {
    headers.get("x-key").map_or(0, http::HeaderValue::len).to_string()
}

/// A call of a channel that may reach `host`, and a handle of its secret.
fn call(host: Option<&str>, limits: CallLimits) -> (HttpState, String) {
    let mut secrets = ChannelSecrets::none();
    let places = Places { headers: true, body: true, ..Places::default() };
    let value = SecretText::new("s3cr3t-canary");
    let secret = Secret { name: "token".into(), value, places, hosts: None };
    let handle = secrets.add(secret, &Entropy::fixed(5));
    let grants = host.map(|host| Arc::new(Grants::of_http(grant(&[host.to_owned()]), Arc::new(secrets))));
    let deadline = Instant::now() + Duration::from_secs(20);
    let state = CallState::new(Subject::default(), &limits, 1 << 20, grants, &Metrics::off(), deadline);
    (state.http, handle)
}

fn request(url: &str, key: &str, body: impl Into<Bytes>) -> Request<WasiBody> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    let request = Request::post(url).header("x-key", key).header("content-length", "3");
    request.body(body).unwrap()
}

async fn send(
    http: &mut HttpState,
    request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<Response<WasiBody>, Error> {
    let sent = http.send_request(request, options, Box::new(async { Ok(()) }));
    Ok(Pin::from(sent).await?.0)
}

#[tokio::test]
async fn a_handle_in_a_header_becomes_the_secret_and_does_not_come_back() {
    let host = provider().await;
    let (mut http, handle) = call(Some(&host), CallLimits::default());
    let answer = send(&mut http, request(&format!("http://{host}/"), &handle, "hello"), None).await.unwrap();
    assert_eq!((answer.status(), &answer.headers()["x-length"]), (StatusCode::CREATED, &http::HeaderValue::from(13)));
    assert!(!answer.headers().contains_key("content-length"), "it would be that of the secret");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(&body[..], b"*** hello");
}

/// Clients hand over bytes, whatever they hold. A handle in what is no text stays one.
#[tokio::test]
async fn a_handle_in_a_body_of_text_becomes_the_secret() {
    let received = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&received);
    let keeps = any(move |body: Bytes| async move { keep.lock().unwrap().push(body) });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(keeps)).await });
    let (mut http, handle) = call(Some(&host), CallLimits::default());
    let binary = [b"\xff", handle.as_bytes()].concat();
    for body in [format!("key={handle}").into_bytes(), binary.clone()] {
        send(&mut http, request(&format!("http://{host}/"), "", body), None).await.unwrap();
    }
    assert_eq!(*received.lock().unwrap(), [Bytes::from("key=s3cr3t-canary"), binary.into()]);
}

#[tokio::test]
async fn what_is_not_granted_is_denied() {
    let host = provider().await;
    let url = format!("http://{host}/");
    let (mut http, _) = call(None, CallLimits::default());
    assert!(matches!(send(&mut http, request(&url, "", ""), None).await, Err(Error::HttpRequestDenied)));
    let (mut http, _) = call(Some(&host), CallLimits::default());
    for url in ["http://127.0.0.1:1/", "http://other.example/", "https://169.254.169.254/"] {
        let answer = send(&mut http, request(url, "", ""), None).await;
        assert!(matches!(answer, Err(Error::HttpRequestDenied)), "{url}");
    }
}

#[tokio::test]
async fn limits_are_those_of_every_request() {
    let host = provider().await;
    let url = format!("http://{host}/");
    let (mut http, _) = call(Some(&host), CallLimits { egress_calls: 2, response_max: 4, ..CallLimits::default() });
    // No time at all is asked for: it gets a little, and is answered or not, but never refused as a defect of ours.
    let hurry = RequestOptions { first_byte_timeout: Some(Duration::ZERO), ..RequestOptions::default() };
    let hurried = send(&mut http, request(&url, "", ""), Some(hurry)).await;
    assert!(matches!(hurried, Ok(_) | Err(Error::HttpResponseTimeout)), "{hurried:?}");
    let cut = send(&mut http, request(&url, "", "long"), None).await.unwrap().into_body().collect().await;
    assert!(matches!(cut, Err(Error::HttpResponseBodySize(Some(4)))), "{cut:?}");
    let third = send(&mut http, request(&url, "", ""), None).await;
    assert!(matches!(third, Err(Error::ConnectionLimitReached)), "{third:?}");
}

#[tokio::test]
async fn a_deadline_is_the_providers_only_while_the_guest_waits() {
    let host = provider().await;
    let (mut http, _) = call(Some(&host), CallLimits::default());
    assert!(!http.waits(Pause::Waiting));
    let url = format!("http://{host}/");
    let on_its_way = http.send_request(request(&url, "", ""), None, Box::new(async { Ok(()) }));
    assert!(http.waits(Pause::Waiting) && !http.waits(Pause::Running));
    drop(on_its_way);
    assert!(!http.waits(Pause::Waiting));
}

#[test]
fn headers_of_the_connection_are_not_the_guests() {
    let (mut http, _) = call(None, CallLimits::default());
    for (name, forbidden) in [("host", true), ("transfer-encoding", true), ("content-length", false), ("x-key", false)]
    {
        assert_eq!(http.is_forbidden_header(&HeaderName::from_static(name)), forbidden, "{name}");
    }
}
