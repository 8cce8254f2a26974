//! A secret that is planted, used in every way there is, and then looked for everywhere.

use std::fs;
use std::path::Path;

use campanile_tests::{Receiver, Reply, Server, plugin};

use crate::api::Api;

/// Letters that stand nowhere else, among them some that every spelling changes.
const CANARY: &str = "cnry/7Jx+Qm\"Wz=Kp%4V&tB-f00d";

/// What the canary looks like once it has been written as something else.
fn spellings(secret: &str) -> Vec<(&'static str, String)> {
    let percent: String = secret
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    vec![
        ("as it is", secret.to_owned()),
        ("as JSON", secret.replace('"', "\\\"")),
        ("in a URL", percent),
        ("in base64", base64(secret.as_bytes())),
        ("in base64 with its user", base64(format!("user:{secret}").as_bytes())),
    ]
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            text.push(char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

fn found_in(bytes: &[u8]) -> Vec<&'static str> {
    let holds = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    spellings(CANARY).into_iter().filter(|(_, needle)| holds(needle)).map(|(name, _)| name).collect()
}

fn assert_clean(what: &str, bytes: &[u8]) {
    let found = found_in(bytes);
    assert!(found.is_empty(), "the secret stands in {what} {found:?}");
}

/// Every file below `dir` but the one that the secret is kept in.
fn assert_clean_files(dir: &Path) -> usize {
    let mut looked = 0;
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            looked += assert_clean_files(&path);
        } else if path.file_name().is_none_or(|name| name != "token") {
            assert_clean(&path.display().to_string(), &fs::read(&path).expect("a file"));
            looked += 1;
        }
    }
    looked
}

async fn leaker(receiver: &Receiver) -> Server {
    let config = format!(
        r#"
        [channels.leaky]
        plugin = "leaker"
        config = {{ url = "{}" }}
        secrets = {{ token = "file:token", shy = "file:token" }}
        allow_hosts = ["127.0.0.1", "localhost"]
        allow_networks = ["127.0.0.1/32"]
        [retry.default]
        max_retries = 0
        "#,
        receiver.url()
    );
    Server::start_with(&config, &[("token", CANARY)], &["-vvv"]).await
}

/// The receiver gets the secret, and echoes it in body and headers; nobody else ever sees it: not the plugin, not its
/// memory, no log, no answer of the API or the command line, no metric, no file.
#[tokio::test]
async fn a_secret_reaches_its_host_and_nothing_else() {
    let echo = format!("you sent {CANARY} and {}", spellings(CANARY)[3].1);
    let reply = Reply::new(200, &echo).header("x-echo", &spellings(CANARY)[2].1);
    let receiver = Receiver::start(vec![], reply).await;
    let server = leaker(&receiver).await;
    let reversed: String = CANARY.chars().rev().collect();
    let mut told = Vec::new();
    for (place, way) in
        ["bearer", "basic", "named", "query", "header", "body", "url", "shy-header"].into_iter().enumerate()
    {
        let text = format!("{way}  {reversed}");
        let sent = server.cli(["--json", "send", "-c", "leaky", "-b", &text, "--wait"]).await;
        assert_eq!(sent.code, 0, "{way}: {sent:?}");
        let request = &receiver.received()[place];
        let seen = format!("{} {:?} {}", request.uri, request.headers, String::from_utf8_lossy(&request.body));
        assert!(!found_in(seen.as_bytes()).is_empty(), "{way}: the receiver did not get the secret: {seen}");
        let id = sent.json()["id"].as_str().expect("an id").to_owned();
        let status = server.cli(["--json", "status", &id]).await;
        assert!(status.stdout.contains("you sent *** and ***"), "{way}: the reply is there, blanked out: {status:?}");
        told.push(format!("{sent:?} {status:?}"));
    }
    let api = Api::of(&server);
    for path in ["/metrics", "/v1/plugins", "/v1/channels", "/readyz"] {
        told.push(format!("{:?}", api.get(path).await.body));
    }
    for command in
        [&["plugins", "list"][..], &["config", "print"], &["config", "check"], &["--json", "plugins", "list"]]
    {
        told.push(format!("{:?}", server.cli(command).await));
    }
    assert_clean("what was told", told.join("\n").as_bytes());
    assert!(assert_clean_files(server.dir()) > 5, "database, log and configuration were looked at");
}

/// A secret goes where its plugin said it would, to the hosts of its channel, and a handle is good for its own channel.
#[tokio::test]
async fn a_secret_in_the_wrong_place_is_refused_and_nothing_is_sent() {
    let receiver = Receiver::start(vec![], Reply::new(200, "ok")).await;
    let server = leaker(&receiver).await;
    for (way, word) in [("shy", "shy"), ("stranger", "handle")] {
        let sent = server.cli(["send", "-c", "leaky", "-b", way, "--wait"]).await;
        assert_eq!(sent.code, 1, "{way}: {sent:?}");
        assert!(sent.stdout.contains(word) || sent.stderr.contains(word), "{way}: {sent:?}");
        assert_clean(way, format!("{sent:?}").as_bytes());
    }
    assert!(receiver.received().is_empty(), "nothing was sent");
    assert!(plugin("leaker").is_file());
}
