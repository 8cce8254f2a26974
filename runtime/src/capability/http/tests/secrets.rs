//! Where secrets are put, where they are not, and that none comes back.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use axum::routing::any;
use http::StatusCode;
use tokio::time::Instant;

use super::rig::{LIMITS, Names, Recorder, grants, post, serve};
use crate::capability::http::{
    Auth, BodyPart, Egress, EgressLimits, HttpError, HttpGrant, HttpReply, HttpRequest, OpenHttp,
};
use crate::capability::secret::{CallSecrets, ChannelSecrets, Places, Secret, SecretHosts, SecretText};
use crate::clock::{Entropy, ManualClock};
use crate::domain::Timestamp;

const HOME: &str = "http://home.example/";
/// Written differently in a URL, in JSON, and in plain text.
const CANARY: &str = "can/ary \"7\"";
const ALL: Places = Places { url: true, headers: true, body: true, auth: true, sign: true };
const NONE: Places = Places { url: false, headers: false, body: false, auth: false, sign: false };

/// What the provider was sent, as one text in hexadecimal, so that nothing in it is blanked out on its way back.
async fn provider() -> std::net::SocketAddr {
    async fn tell(request: Request) -> axum::response::Response {
        let (head, body) = request.into_parts();
        let target = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        if let Some(location) = target.strip_prefix("/to/") {
            let location =
                String::from_utf8(hex::decode(&location[..location.find('?').unwrap_or(location.len())]).unwrap());
            return (StatusCode::TEMPORARY_REDIRECT, [("location", location.unwrap())]).into_response();
        }
        let body = axum::body::to_bytes(body, 10_000).await.unwrap();
        if target == "/echo" {
            let value = head.headers.get("authorization").cloned().unwrap_or(http::HeaderValue::from_static("none"));
            return ([("x-echo", value)], body).into_response();
        }
        let mut told = format!("{} {target}\n", head.method);
        for (name, value) in &head.headers {
            told.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        }
        told.push_str(&String::from_utf8_lossy(&body));
        hex::encode(told).into_response()
    }
    serve(Router::new().fallback(any(tell))).await
}

struct Place {
    grant: Arc<HttpGrant>,
    recorder: Arc<Recorder>,
}

async fn place() -> Place {
    let server = provider().await;
    let names = Names::new(&[("home.example", &[&["93.184.216.34"]]), ("other.example", &[&["93.184.216.35"]])]);
    let recorder = Recorder::new();
    recorder.lead("93.184.216.34:80", server);
    recorder.lead("93.184.216.35:80", server);
    let clock = ManualClock::at(Timestamp::from_millis(1_700_000_000_000));
    let egress = Egress::new(names, recorder.clone()).with_clock(Arc::new(clock));
    Place { grant: grants(HOME, &["other.example"], &[], &egress), recorder }
}

impl Place {
    fn open(&self) -> OpenHttp {
        self.open_with(LIMITS)
    }

    fn open_with(&self, limits: EgressLimits) -> OpenHttp {
        self.grant.open(limits, Instant::now() + Duration::from_secs(20))
    }

    /// What the provider was told.
    async fn told(&self, request: HttpRequest, secrets: &CallSecrets) -> String {
        let reply =
            self.open_with(EgressLimits { response_max: 20_000, ..LIMITS }).send(request, secrets).await.unwrap();
        String::from_utf8(hex::decode(&reply.body).unwrap()).unwrap()
    }

    async fn refused(&self, request: HttpRequest, secrets: &CallSecrets) -> HttpError {
        let error = self.open().send(request, secrets).await.unwrap_err();
        assert!(!error.to_string().contains("can/ary") && !format!("{error:?}").contains("can/ary"), "{error}");
        assert_eq!(self.recorder.dialled(), [""; 0], "nothing was sent");
        error
    }
}

/// One secret, and its handle.
fn secret(value: &str, places: Places, hosts: Option<&[&str]>) -> (CallSecrets, String) {
    let mut secrets = ChannelSecrets::none();
    let patterns = |hosts: &[&str]| hosts.iter().map(ToString::to_string).collect();
    let hosts = hosts.map(|hosts| Arc::new(SecretHosts { key: "/token".into(), patterns: patterns(hosts) }));
    let secret = Secret { name: "token".into(), value: SecretText::new(value), places, hosts };
    let handle = secrets.add(secret, &Entropy::fixed(3));
    (CallSecrets::of_channel(Arc::new(secrets)), handle)
}

fn with_header(name: &str, value: String, request: HttpRequest) -> HttpRequest {
    HttpRequest { headers: vec![(name.to_owned(), value)], ..request }
}

fn with_body(content_type: &str, text: String) -> HttpRequest {
    let request = with_header("content-type", content_type.to_owned(), post(HOME, ""));
    HttpRequest { body: vec![BodyPart::Text(text)], ..request }
}

fn with_auth(auth: Auth) -> HttpRequest {
    HttpRequest { auth, ..post(HOME, "hello") }
}

fn text(reply: &HttpReply) -> String {
    String::from_utf8(reply.body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_handle_is_replaced_in_each_place_as_it_is_written_there() {
    let place = place().await;
    let (secrets, handle) = secret(CANARY, ALL, None);
    let told = place.told(post(&format!("{HOME}bot{handle}/send?key={handle}&a=b"), ""), &secrets).await;
    assert!(told.starts_with("POST /botcan%2Fary%20%227%22/send?key=can%2Fary%20%227%22&a=b\n"), "{told}");
    let told = place.told(with_header("x-key", format!("k={handle};"), post(HOME, "")), &secrets).await;
    assert!(told.contains("x-key: k=can/ary \"7\";\n"), "{told}");
    for (content_type, expected) in [
        ("application/json; charset=utf-8", r#"{"k":"can/ary \"7\""}"#),
        ("application/vnd.api+JSON", r#"{"k":"can/ary \"7\""}"#),
        ("application/x-www-form-urlencoded", r#"{"k":"can%2Fary%20%227%22"}"#),
        ("text/plain", r#"{"k":"can/ary "7""}"#),
    ] {
        let told = place.told(with_body(content_type, format!("{{\"k\":\"{handle}\"}}")), &secrets).await;
        assert!(told.ends_with(expected), "{content_type}: {told}");
    }
}

#[tokio::test]
async fn bytes_and_what_only_looks_like_a_handle_are_sent_as_they_are() {
    let place = place().await;
    let (secrets, handle) = secret(CANARY, ALL, None);
    let parts = vec![BodyPart::Text("csec_ csec_SHORT ".into()), BodyPart::Bytes(handle.clone().into())];
    let told = place.told(HttpRequest { body: parts, ..post(HOME, "") }, &secrets).await;
    assert!(told.ends_with(&format!("csec_ csec_SHORT {handle}")), "{told}");
}

#[tokio::test]
async fn a_handle_may_stand_for_a_whole_url_whose_host_is_granted() {
    let place = place().await;
    let (secrets, handle) = secret("http://home.example/services/T0/B0/canary?x=1", ALL, None);
    let told = place.told(post(&handle, "hello"), &secrets).await;
    assert!(told.starts_with("POST /services/T0/B0/canary?x=1\n"), "{told}");
    for (value, denied) in [("http://elsewhere.example/can/ary", true), ("can/ary", false), ("file:///can/ary", false)]
    {
        let (secrets, handle) = secret(value, ALL, None);
        let error = self::place().await.refused(post(&handle, ""), &secrets).await;
        assert_eq!(matches!(error, HttpError::Denied(_)), denied, "{error:?}");
    }
}

#[tokio::test]
async fn a_place_that_is_not_allowed_is_denied_by_the_name_of_the_secret() {
    let place = place().await;
    let basic = |password: String| Auth::Basic { user: "me".into(), password };
    let named = |value: String| Auth::Header { name: "x-key".into(), value };
    let aws = |secret_key: String| Auth::AwsSigv4 {
        access_key_id: "AKIA".into(),
        secret_key,
        session_token: None,
        region: "eu-central-1".into(),
        service: "ses".into(),
    };
    type Make<'a> = Box<dyn Fn(String) -> HttpRequest + 'a>;
    let cases: Vec<(Places, &str, Make<'_>)> = vec![
        (Places { url: false, ..ALL }, "url", Box::new(|handle| post(&handle, ""))),
        (Places { url: false, ..ALL }, "url", Box::new(|handle| post(&format!("{HOME}{handle}"), ""))),
        (Places { headers: false, ..ALL }, "headers", Box::new(|handle| with_header("x-key", handle, post(HOME, "")))),
        (Places { body: false, ..ALL }, "body", Box::new(|handle| with_body("text/plain", handle))),
        (Places { auth: false, ..ALL }, "auth", Box::new(|handle| with_auth(Auth::Bearer(handle)))),
        (Places { auth: false, ..ALL }, "auth", Box::new(|handle| with_auth(basic(handle)))),
        (Places { auth: false, ..ALL }, "auth", Box::new(|handle| with_auth(named(handle)))),
        (NONE, "auth", Box::new(|handle| with_auth(aws(handle)))),
        (NONE, "auth", Box::new(|key| with_auth(Auth::StandardWebhooks { id: "msg_1".into(), keys: vec![key] }))),
    ];
    for (places, word, make) in cases {
        let (secrets, handle) = secret(CANARY, places, None);
        let HttpError::Denied(sentence) = place.refused(make(handle), &secrets).await else { panic!("{word}") };
        assert!(sentence.starts_with("the secret `token` may not be used"), "{sentence}");
        assert!(sentence.ends_with(&format!("has to name `{word}` among its places")), "{sentence}");
    }
}

#[tokio::test]
async fn a_secret_goes_only_to_its_hosts() {
    let place = place().await;
    let (secrets, handle) = secret(CANARY, ALL, Some(&["other.example"]));
    for request in [
        with_auth(Auth::Bearer(handle.clone())),
        with_body("text/plain", handle.clone()),
        with_header("x-key", handle.clone(), post(HOME, "")),
        post(&format!("{HOME}{handle}"), ""),
    ] {
        let HttpError::Denied(sentence) = place.refused(request, &secrets).await else { panic!("not denied") };
        insta::allow_duplicates! {
            insta::assert_snapshot!(sentence, @r#"the secret `token` may not go to `home.example`; write `hosts = ["other.example", "home.example"]` for `/token` in `secrets` under [channels.ops]"#);
        }
    }
    let told = place.told(post(&format!("http://other.example/{handle}"), ""), &secrets).await;
    assert!(told.contains("can%2Fary"), "{told}");
}

#[tokio::test]
async fn a_foreign_handle_is_invalid_and_none_stands_in_the_host() {
    let place = place().await;
    let (secrets, handle) = secret(CANARY, ALL, None);
    let foreign = "csec_aaaaaaaaaaaaaaaaaaaaaaaaaa";
    for request in [
        post(foreign, ""),
        post(&format!("{HOME}{foreign}"), ""),
        with_header("x-key", foreign.into(), post(HOME, "")),
        with_body("text/plain", foreign.into()),
        with_auth(Auth::Bearer(foreign.into())),
        with_auth(Auth::Bearer(CANARY.into())),
        post(&format!("http://{handle}.example/"), ""),
        post(&format!("http://{handle}@home.example/"), ""),
    ] {
        let error = place.refused(request, &secrets).await;
        assert!(matches!(error, HttpError::Invalid(_)), "{error:?}");
    }
    let (secrets, handle) = secret("line\nbreak can/ary", ALL, None);
    let error = place.refused(with_auth(Auth::Bearer(handle)), &secrets).await;
    assert!(matches!(error, HttpError::Invalid(_)), "{error:?}");
}

#[tokio::test]
async fn the_host_puts_credentials_on() {
    let place = place().await;
    let (secrets, handle) = secret("s3cr3t-canary", ALL, None);
    let basic = Auth::Basic { user: "me".into(), password: handle.clone() };
    let header = Auth::Header { name: "X-Api-Key".into(), value: handle.clone() };
    let query = Auth::Query { name: "key".into(), value: handle.clone() };
    for (auth, expected) in [
        (Auth::Bearer(handle.clone()), "authorization: Bearer s3cr3t-canary\n"),
        (basic, "authorization: Basic bWU6czNjcjN0LWNhbmFyeQ==\n"),
        (header, "x-api-key: s3cr3t-canary\n"),
        (query, "POST /?key=s3cr3t-canary\n"),
    ] {
        let told = place.told(with_auth(auth), &secrets).await;
        assert!(told.contains(expected) && told.ends_with("hello"), "{expected}: {told}");
    }
    let aws = Auth::AwsSigv4 {
        access_key_id: "AKIA".into(),
        secret_key: handle,
        session_token: None,
        region: "eu-central-1".into(),
        service: "ses".into(),
    };
    let told = place.told(with_auth(aws), &secrets).await;
    assert!(told.contains("Credential=AKIA/20231114/eu-central-1/ses/aws4_request"), "{told}");
    assert!(!told.contains("canary"), "the key is not sent: {told}");
    let (secrets, key) = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", ALL, None);
    let webhooks = Auth::StandardWebhooks { id: "msg_1".into(), keys: vec![key] };
    let told = place.told(with_auth(webhooks), &secrets).await;
    assert!(told.contains("webhook-timestamp: 1700000000\n") && told.contains("webhook-signature: v1,"), "{told}");
}

#[tokio::test]
async fn what_a_provider_repeats_of_a_secret_is_blanked_out() {
    let place = place().await;
    let (secrets, handle) = secret("s3cr3t-canary", ALL, None);
    let echo =
        |auth, body: String| HttpRequest { auth, body: vec![BodyPart::Text(body)], ..post(&format!("{HOME}echo"), "") };
    let reply = place.open().send(echo(Auth::Bearer(handle.clone()), format!("<{handle}>")), &secrets).await.unwrap();
    assert_eq!(text(&reply), "<***>");
    assert!(reply.headers.contains(&("x-echo".into(), "Bearer ***".into())), "{:?}", reply.headers);
    let basic = Auth::Basic { user: "me".into(), password: handle.clone() };
    let reply =
        place.open().send(echo(basic, "bWU6czNjcjN0LWNhbmFyeQ== me:s3cr3t-canary".into()), &secrets).await.unwrap();
    assert_eq!(text(&reply), "***== ***");
    assert!(reply.headers.contains(&("x-echo".into(), "Basic ***==".into())), "{:?}", reply.headers);
    // Cut in the middle of the secret.
    let short = place.open_with(EgressLimits { response_max: 20, ..LIMITS });
    let reply = short.send(echo(Auth::None, format!("twelve bytes{handle}")), &secrets).await.unwrap();
    assert_eq!((text(&reply).as_str(), reply.truncated), ("twelve bytes***", true));
}

#[tokio::test]
async fn secrets_stay_at_their_origin_when_a_redirect_leads_away() {
    let place = place().await;
    let (secrets, handle) = secret("s3cr3t-canary", ALL, None);
    let to = |location: &str| format!("{HOME}to/{}", hex::encode(location));
    let request = |location: &str, auth| HttpRequest {
        auth,
        redirects: 1,
        ..with_header("x-key", handle.clone(), post(&to(location), "hello"))
    };
    for auth in [
        Auth::Bearer(handle.clone()),
        Auth::Header { name: "x-two".into(), value: handle.clone() },
        Auth::Query { name: "key".into(), value: handle.clone() },
    ] {
        let told = place.told(request("/there", auth.clone()), &secrets).await;
        assert_eq!(told.matches("s3cr3t-canary").count(), 2, "the origin is the same: {told}");
        let told = place.told(request("http://other.example/there", auth), &secrets).await;
        assert!(told.starts_with("POST /there\n") && !told.contains("canary"), "{told}");
    }
    let request = HttpRequest { redirects: 1, body: vec![BodyPart::Text(handle)], ..post(&to("//other.example/"), "") };
    let answer = place.open().send(request, &secrets).await;
    assert!(matches!(answer, Err(HttpError::Denied(_))), "{answer:?}");
}

#[test]
fn nothing_of_a_request_but_its_shape_is_printed() {
    let request = HttpRequest {
        headers: vec![("x-key".into(), "canary".into())],
        ..post("http://home.example/canary", "canary")
    };
    let reply = HttpReply { status: 200, headers: request.headers.clone(), body: "canary".into(), truncated: false };
    let printed = format!("{request:?} {reply:?}");
    assert!(printed.contains("x-key") && !printed.contains("canary"), "{printed}");
}
