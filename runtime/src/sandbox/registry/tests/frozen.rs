//! The plugins of frozen contracts with everything granted that they ask for: what they call has to work, not only to
//! be refused.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Uri};
use axum::routing::post;
use serde_json::json;

use super::keeping::{kept_in, store};
use super::rig::{Rig, fact, send};
use crate::config::SecretGrant;
use crate::sandbox::tests::contract::frozen;
use crate::store::Durability;

/// A key for everything but tokens: of 24 bytes, as Standard Webhooks has them.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The private key of RFC 7515, A.3.
const SIGNING_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/capability/sign/tests/rfc7515-a3-pkcs8.pem");

type Received = Arc<Mutex<Vec<(Uri, HeaderMap, Bytes)>>>;

/// A provider that takes everything.
async fn provider() -> (String, Received) {
    let received = Received::default();
    let keep = Arc::clone(&received);
    let take = move |uri: Uri, headers: HeaderMap, body: Bytes| async move {
        keep.lock().unwrap().push((uri, headers, body));
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(post(take))).await });
    (url, received)
}

/// Channel `all` signs with a text, `token` with a private key: no one key is good for every algorithm.
fn rig(wasm: &[u8], url: &str, key: &Path) -> Rig {
    let mut rig = Rig::new();
    for (name, key) in [("all", key), ("token", Path::new(SIGNING_KEY))] {
        rig = rig.with_channel(name, "sample", json!({ "url": url }));
        let channel = rig.channels.get_mut(name).unwrap();
        channel.allow_networks = vec!["127.0.0.1/32".to_owned()];
        let from = format!("file:{}", key.display()).parse().unwrap();
        channel.secrets.insert("key".to_owned(), SecretGrant { from, hosts: None });
    }
    rig.kv = kept_in(&store(PathBuf::from("memory"), Durability::Memory));
    rig.put(&rig.own("sample.wasm"), wasm);
    rig
}

#[tokio::test]
async fn everything_that_a_frozen_contract_grants_works() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, KEY).unwrap();
    for (version, wasm) in frozen() {
        let (url, received) = provider().await;
        let rig = rig(&wasm, &url, &key);
        let registry = rig.open().await;

        let report = send(&registry, "all").await;
        let ways = ["bearer", "basic", "header", "query", "standard-webhooks", "aws-sigv4"];
        for way in ways {
            assert_eq!(fact(&report, &format!("http {way}")), "200", "{version} {way}");
        }
        // It places an attachment that the delivery has not.
        assert_eq!(fact(&report, "http none"), "invalid", "{version}");
        for (name, came) in [
            ("sign", "32"),
            ("cache get-or-claim", "none"),
            ("cache put", "done"),
            ("cache get", "there"),
            ("cache remove", "done"),
            ("kv set", "1"),
            ("kv set again", "conflict 1"),
            ("kv get", "there"),
        ] {
            assert_eq!(fact(&report, name), came, "{version} {name}");
        }
        assert_credentials(&received.lock().unwrap());

        // What it removed at its end is gone, and the store remembers that it was there.
        let again = send(&registry, "all").await;
        assert_eq!(fact(&again, "kv set"), "2", "{version}");
        assert_eq!(fact(&again, "cache get-or-claim"), "none", "{version}");

        let token = send(&registry, "token").await;
        assert_eq!(fact(&token, "jwt"), "a handle", "{version}");
    }
}

/// One request for each way, with the secret in its place.
fn assert_credentials(received: &[(Uri, HeaderMap, Bytes)]) {
    let of = |way: &str| {
        let found = received.iter().find(|(uri, ..)| uri.path() == format!("/{way}"));
        let (uri, headers, body) = found.unwrap_or_else(|| panic!("`{way}` came"));
        assert_eq!((&body[..], &headers["x-way"]), (&b"campanile"[..], &way.parse().unwrap()));
        let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        (
            uri.query().unwrap_or_default().to_owned(),
            header("authorization"),
            header("x-key"),
            header("webhook-signature"),
        )
    };
    assert_eq!(received.len(), 6);
    assert_eq!(of("bearer").1, format!("Bearer {KEY}"));
    // `sample:` and the key.
    assert_eq!(of("basic").1, "Basic c2FtcGxlOndoc2VjX01mS1E5cjhHS1lxclR3alVQRDhJTFBaSW8yTGFMYVN3");
    assert_eq!(of("header").2, KEY);
    assert_eq!(of("query").0, format!("key={KEY}"));
    assert!(of("standard-webhooks").3.starts_with("v1,"), "{}", of("standard-webhooks").3);
    let aws = of("aws-sigv4").1;
    assert!(aws.starts_with("AWS4-HMAC-SHA256 Credential=sample/") && aws.contains("/eu-central-1/sns/"), "{aws}");
}
