//! Plugins out of a real registry: the distribution's package, on loopback.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use campanile::supply::Sha256;
use campanile_tests::{Server, plugin};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// sha256 of `{}`, the config of an artifact that has none.
const EMPTY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

struct Registry {
    _child: Child,
    _dir: tempfile::TempDir,
    host: String,
    client: reqwest::Client,
}

impl Registry {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let storage = dir.path().join("storage");
        let config = format!(
            "version: 0.1\nlog: {{level: info, formatter: text}}\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: \
             127.0.0.1:0\n",
            storage.display()
        );
        fs::write(dir.path().join("config.yml"), config).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(dir.path().join("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("`docker-registry` is installed: run `make setup-test`");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listens = tokio::time::timeout(Duration::from_secs(20), async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((_, rest)) = line.split_once("listening on ") {
                    return rest
                        .split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'))
                        .next()
                        .map(str::to_owned);
                }
            }
            None
        });
        let host = listens.await.expect("it starts in time").expect("it says where it listens");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { _child: child, _dir: dir, host, client: reqwest::Client::new() }
    }

    async fn blob(&self, content: Vec<u8>) -> String {
        let digest = format!("sha256:{}", Sha256::of(&content));
        let begin = self.client.post(format!("http://{}/v2/team/null/blobs/uploads/", self.host)).send().await.unwrap();
        let to = begin.headers()["location"].to_str().unwrap();
        let end = self.client.put(format!("{to}&digest={digest}")).body(content).send().await.unwrap();
        assert_eq!(end.status(), 201);
        digest
    }

    /// Pushes an artifact as `team/null:1.0`; answers its digest.
    async fn push(&self, media_type: &str, content: Vec<u8>) -> String {
        assert_eq!(self.blob(b"{}".to_vec()).await, EMPTY);
        let size = content.len();
        let layer = self.blob(content).await;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": EMPTY, "size": 2 },
            "layers": [{ "mediaType": media_type, "digest": layer, "size": size }],
        });
        let pushed = self
            .client
            .put(format!("http://{}/v2/team/null/manifests/1.0", self.host))
            .header("content-type", "application/vnd.oci.image.manifest.v1+json")
            .body(manifest.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(pushed.status(), 201);
        pushed.headers()["docker-content-digest"].to_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_plugin_is_pulled_by_digest_and_by_tag_which_is_pinned() {
    let registry = Registry::start().await;
    let digest = registry.push("application/wasm", fs::read(plugin("null")).unwrap()).await;
    let server = Server::start("").await;
    let place = format!("oci://{}/team/null", registry.host);
    let by_tag = server.cli(["plugins", "add", &format!("{place}:1.0"), "--json"]).await;
    assert_eq!(by_tag.code, 0, "{by_tag:?}");
    assert_eq!(by_tag.json()["digest"], digest);
    let by_digest = server.cli(["plugins", "add", &format!("{place}@{digest}"), "--json"]).await;
    assert_eq!(by_digest.code, 0, "{by_digest:?}");
    assert_eq!(by_digest.json()["already"], true);
    let missing = server.cli(["plugins", "add", &format!("{place}@{EMPTY}")]).await;
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("does not give it"), "{missing:?}");
}

#[tokio::test]
async fn an_artifact_that_is_no_plugin_is_refused_with_what_it_is() {
    let registry = Registry::start().await;
    registry.push("application/vnd.oci.image.layer.v1.tar", b"tar".to_vec()).await;
    let server = Server::start("").await;
    let refused = server.cli(["plugins", "add", &format!("oci://{}/team/null:1.0", registry.host)]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("found `application/vnd.oci.image.layer.v1.tar`"), "{refused:?}");
}
