//! Plugins that are taken in, and who answers for them.

use std::fs;

use campanile_tests::{Server, plugin};

use crate::api::Api;
use crate::plugins::until_listed;

#[tokio::test]
async fn a_plugin_is_added_once_pinned_served_and_removed() {
    let server = Server::start("").await;
    let api = Api::of(&server);
    let source = plugin("null").display().to_string();
    let added = server.cli(["plugins", "add", &source, "--json"]).await;
    assert_eq!(added.code, 0, "{added:?}");
    let added = added.json();
    assert_eq!((&added["name"], &added["already"]), (&"null".into(), &false.into()));
    until_listed(&api, "null", |entry| entry["state"] == "serving" && entry["source"] == "own").await;
    let lock = fs::read_to_string(server.dir().join("plugins-enabled/plugins.lock")).unwrap();
    assert!(lock.contains(added["sha256"].as_str().unwrap()), "{lock}");

    let again = server.cli(["plugins", "add", &source, "--json"]).await;
    assert_eq!(again.json()["already"], true);
    let other = server.cli(["plugins", "add", &source, "--sha256", &"0".repeat(64)]).await;
    assert_eq!(other.code, 1);
    assert!(other.stderr.contains("nothing was installed"), "{other:?}");

    assert_eq!(server.cli(["plugins", "remove", "null"]).await.code, 0);
    assert_eq!(server.cli(["plugins", "remove", "null"]).await.code, 3);
}

#[tokio::test]
async fn what_is_no_plugin_is_not_added() {
    let server = Server::start("").await;
    let text = server.dir().join("page.wasm");
    fs::write(&text, "404 not found").unwrap();
    for source in [text.to_str().unwrap(), "http://plugins.example.com/a.wasm", "oci://acme", ""] {
        let refused = server.cli(["plugins", "add", source]).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains("was not added"), "{refused:?}");
    }
    let nothing = server.cli(["plugins", "add", ""]).await;
    assert!(nothing.stderr.contains("name a file, a URL or `oci://REGISTRY/NAME:TAG`"), "{nothing:?}");
}

#[tokio::test]
async fn a_signature_that_nobody_looked_at_is_told_from_one_that_is_not_trusted() {
    let author = Server::start("").await;
    fs::copy(plugin("null"), author.dir().join("null.wasm")).unwrap();
    for line in [&["plugins", "keygen", "key.pem"][..], &["plugins", "sign", "null.wasm", "--key", "key.pem"]] {
        assert_eq!(author.cli(line.iter().copied()).await.code, 0);
    }
    let source = author.dir().join("null.wasm").display().to_string();
    let other = "ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
    let warning = format!("[plugins]\ntrust = \"warn\"\ntrusted_keys = [\"{other}\"]\n");
    for (config, says) in [("", "(not looked at: `[plugins] trust = \"off\"`)"), (&warning, "(not trusted)")] {
        let added = Server::start(config).await.cli(["plugins", "add", &source]).await;
        assert!(added.stdout.contains(says), "{added:?}");
    }
}

#[tokio::test]
async fn the_sections_that_still_name_a_removed_plugin_are_told() {
    let server = Server::start("[channels.ops]\nplugin = \"null\"\n[channels.other]\nplugin = \"console\"\n").await;
    fs::copy(plugin("null"), server.dir().join("plugins-enabled/null.wasm")).unwrap();
    let removed = server.cli(["plugins", "remove", "null"]).await;
    assert_eq!(removed.code, 0);
    assert!(removed.stdout.ends_with("note: the configuration still has it in [channels.ops]\n"), "{removed:?}");
}

#[tokio::test]
async fn with_warn_an_unsigned_file_serves_and_the_list_says_so() {
    let key = "ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
    let server = Server::start(&format!("[plugins]\ntrust = \"warn\"\ntrusted_keys = [\"{key}\"]\n")).await;
    fs::copy(plugin("null"), server.dir().join("plugins-enabled/null.wasm")).unwrap();
    until_listed(&Api::of(&server), "null", |entry| entry["state"] == "serving" && entry["source"] == "own").await;
    let listed = server.cli(["plugins", "list"]).await;
    assert!(listed.stdout.contains("it is not signed: there is no `null.wasm.sig`"), "{listed:?}");
}

#[tokio::test]
async fn where_signatures_are_required_a_signed_file_serves_and_another_is_refused() {
    let author = Server::start("").await;
    let made = author.cli(["plugins", "keygen", "key.pem", "--json"]).await.json();
    let key = made["public_key"].as_str().unwrap();
    fs::copy(plugin("null"), author.dir().join("null.wasm")).unwrap();
    let signed = author.cli(["plugins", "sign", "null.wasm", "--key", "key.pem"]).await;
    assert_eq!(signed.code, 0, "{signed:?}");

    let server = Server::start(&format!("[plugins]\ntrust = \"require\"\ntrusted_keys = [\"{key}\"]\n")).await;
    let api = Api::of(&server);
    let unsigned = server.cli(["plugins", "add", &plugin("console").display().to_string()]).await;
    assert_eq!(unsigned.code, 1);
    assert!(unsigned.stderr.contains("it is not signed"), "{unsigned:?}");
    fs::copy(plugin("console"), server.dir().join("plugins-enabled/console.wasm")).unwrap();
    let refused = until_listed(&api, "console.wasm", |entry| entry["state"] == "refused").await;
    assert!(refused["reason"].as_str().unwrap().contains("campanile plugins sign console.wasm"), "{refused:#}");

    let source = author.dir().join("null.wasm").display().to_string();
    let added = server.cli(["plugins", "add", &source, "--json"]).await;
    assert_eq!(added.code, 0, "{added:?}");
    assert_eq!(added.json()["trusted"], true);
    until_listed(&api, "null", |entry| entry["state"] == "serving" && entry["source"] == "own").await;
}
