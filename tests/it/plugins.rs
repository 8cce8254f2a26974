//! Files that come, go and lie.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use campanile_tests::{Server, plugin};
use serde_json::Value;

use crate::api::Api;

/// A dropped-in file is listed within a second; a loaded machine gets more before the test gives up.
const LISTED_LIMIT: Duration = Duration::from_secs(20);

/// The entry of the file or plugin `name` in `/v1/plugins`, once it is as `wanted`.
pub(crate) async fn until_listed(api: &Api, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until_listed_within(LISTED_LIMIT, api, name, wanted).await
}

/// The same with another limit, for files that take long to compile.
pub(crate) async fn until_listed_within(
    limit: Duration,
    api: &Api,
    name: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let mut ticks = tokio::time::interval(Duration::from_millis(25));
    let mut last = Value::Null;
    let waited = tokio::time::timeout(limit, async {
        loop {
            ticks.tick().await;
            last = api.get("/v1/plugins").await.body;
            let plugins = last["plugins"].as_array().cloned().unwrap_or_default();
            let named = |entry: &Value| {
                entry["name"] == name || entry["file"].as_str().is_some_and(|file| Path::new(file).ends_with(name))
            };
            if let Some(found) = plugins.into_iter().find(|entry| named(entry) && wanted(entry)) {
                return found;
            }
        }
    });
    match waited.await {
        Ok(found) => found,
        Err(_) => panic!("`{name}` was not listed as wanted after {limit:?}: {last:#}"),
    }
}

/// Every bad file is refused with its reason, and the rest serve.
#[tokio::test]
async fn bad_files_are_refused_with_their_reason_and_the_rest_serve() {
    let server = Server::start("").await;
    let folder = server.dir().join("plugins-enabled");
    let whole = fs::read(plugin("console")).unwrap();
    fs::write(folder.join("truncated.wasm"), &whole[..whole.len() / 2]).unwrap();
    fs::write(folder.join("text.wasm"), "this is not WebAssembly").unwrap();
    fs::write(folder.join("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    fs::write(folder.join("other-world.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    fs::write(folder.join("precompiled.wasm"), b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0").unwrap();
    File::create(folder.join("sparse.wasm")).unwrap().set_len(1 << 30).unwrap();
    fs::copy(plugin("null"), folder.join("null.wasm")).unwrap();

    let api = Api::of(&server);
    for (file, word) in [
        ("truncated.wasm", "cut off"),
        ("text.wasm", "text"),
        ("core.wasm", "core module"),
        ("other-world.wasm", "export"),
        ("precompiled.wasm", "precompiled"),
        ("sparse.wasm", "limit"),
    ] {
        let refused = until_listed(&api, file, |entry| entry["state"] == "refused").await;
        let reason = refused["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(word), "{file}: expected `{word}` in {reason:?}");
    }
    until_listed(&api, "null", |entry| entry["source"] == "own" && entry["state"] == "serving").await;
    for channel in ["null", "console"] {
        let sent = server.cli(["send", "-c", channel, "-b", "hi", "--wait"]).await;
        assert_eq!(sent.code, 0, "{channel}: {sent:?}");
    }
}

/// A bad version leaves the good one serving, and says why; a removed file takes its plugin along.
#[tokio::test]
async fn a_bad_version_leaves_the_old_one_serving() {
    let server = Server::start("").await;
    let file = server.dir().join("plugins-enabled/null.wasm");
    fs::copy(plugin("null"), &file).unwrap();
    let api = Api::of(&server);
    until_listed(&api, "null", |entry| entry["source"] == "own" && entry["state"] == "serving").await;

    fs::write(server.dir().join("next"), "broken").unwrap();
    fs::rename(server.dir().join("next"), &file).unwrap();
    until_listed(&api, "null.wasm", |entry| entry["state"] == "refused").await;
    let sent = server.cli(["send", "-c", "null", "-b", "hi", "--wait"]).await;
    assert_eq!(sent.code, 0, "the old version goes on: {sent:?}");
}
