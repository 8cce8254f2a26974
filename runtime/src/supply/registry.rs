//! Plugins as OCI artifacts: one layer of WebAssembly, and one for its signature where there is one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use tokio::io::AsyncWrite;

use super::Sha256;
use super::fetch::{CONNECT_TIMEOUT, Fetched, RegistryLogin, SupplyError};
use super::trust::SIGNATURE_BYTES_MAX;
use reqwest::header::{ACCEPT, AUTHORIZATION};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;

/// What tools call a layer of WebAssembly: the registered type first, then what came before it.
const WASM_TYPES: [&str; 4] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];
const SIGNATURE_TYPE: &str = "application/vnd.campanile.plugin.signature.v1";
/// A registry that says nothing for so long has gone.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// What registries take in at least, and most of them at most: a manifest of some twenty thousand layers.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// Manifests of one artifact; an index of platforms is somebody else's.
const MANIFEST_TYPES: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
/// Of a refusal, for people.
const REFUSAL_CHARS_MAX: usize = 200;

/// What there is to know of a manifest: the rest is for those who run containers.
#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<OciDescriptor>,
}

/// Reads what stands behind `oci://`.
pub(super) fn parse(text: &str) -> Result<Reference, &'static str> {
    const SHAPE: &str = "write `oci://REGISTRY/NAME:TAG` or `oci://REGISTRY/NAME@sha256:…`";
    let (host, rest) = text.split_once('/').ok_or(SHAPE)?;
    // What other tools fill in for people, a registry and a tag, would be a guess here.
    if host != "localhost" && !host.contains(['.', ':']) {
        return Err(SHAPE);
    }
    if !rest.contains([':', '@']) {
        return Err(SHAPE);
    }
    text.parse().map_err(|_| SHAPE)
}

/// Pulls the artifact: whatever its name stands for now, by digest from there on.
pub(super) async fn pull(
    reference: &Reference,
    login: Option<&RegistryLogin>,
    limit: u64,
) -> Result<Fetched, SupplyError> {
    let registry = reference.resolve_registry().to_owned();
    let failed = |error: oci_client::errors::OciDistributionError| SupplyError::Registry {
        registry: registry.clone(),
        reason: error.to_string(),
    };
    let client = Client::new(ClientConfig {
        protocol: if is_here(&registry) { ClientProtocol::Http } else { ClientProtocol::Https },
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(READ_TIMEOUT),
        user_agent: concat!("campanile/", env!("CARGO_PKG_VERSION")),
        // A plugin runs anywhere: an index of platforms is somebody else's artifact.
        platform_resolver: None,
        ..ClientConfig::default()
    });
    let auth = match login {
        Some(login) => RegistryAuth::Basic(login.user.clone(), login.password.reveal().clone()),
        None => RegistryAuth::Anonymous,
    };
    let token = client.auth(reference, &auth, RegistryOperation::Pull).await.map_err(failed)?;
    let (manifest, digest) = manifest(reference, token.as_deref(), login).await?;
    let types = || manifest.layers.iter().map(|layer| layer.media_type.clone()).collect();
    let mut wasm = manifest.layers.iter().filter(|layer| WASM_TYPES.contains(&layer.media_type.as_str()));
    let (Some(layer), None) = (wasm.next(), wasm.next()) else {
        return Err(SupplyError::NoLayer { types: types() });
    };
    let blob = async |layer: &OciDescriptor, limit: u64| {
        let mut bounded = Bounded { bytes: Vec::new(), limit, over: false };
        let pulled = client.pull_blob(reference, layer, &mut bounded).await;
        if bounded.over {
            return Err(SupplyError::TooLarge { limit });
        }
        pulled.map_err(failed).map(|()| bounded.bytes)
    };
    let bytes = blob(layer, limit).await?;
    let signature = match manifest.layers.iter().find(|layer| layer.media_type == SIGNATURE_TYPE) {
        Some(layer) => Some(String::from_utf8_lossy(&blob(layer, SIGNATURE_BYTES_MAX).await?).into_owned()),
        None => None,
    };
    Ok(Fetched { bytes, signature, digest: Some(digest) })
}

/// Gets the manifest: the client of the crate would read it whole, however long it is. With the token that client was
/// given, or as the user where the registry knows no tokens.
async fn manifest(
    reference: &Reference,
    token: Option<&str>,
    login: Option<&RegistryLogin>,
) -> Result<(Manifest, String), SupplyError> {
    let registry = reference.resolve_registry();
    let failed = |reason: String| SupplyError::Registry { registry: registry.to_owned(), reason };
    let unfit = |reason: String| SupplyError::Manifest { registry: registry.to_owned(), reason };
    let scheme = if is_here(registry) { "http" } else { "https" };
    let version = reference.digest().or_else(|| reference.tag()).unwrap_or("latest");
    let url = format!("{scheme}://{registry}/v2/{}/manifests/{version}", reference.repository());
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        // A registry answers for its manifests itself; who is asked elsewhere must not see the token.
        .redirect(Policy::none())
        .user_agent(concat!("campanile/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| failed(error.without_url().to_string()))?;
    let request = identified(client.get(url).header(ACCEPT, MANIFEST_TYPES), token, login);
    let mut response = request.send().await.map_err(|error| failed(error.without_url().to_string()))?;
    let status = response.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(error.without_url().to_string()))? {
        if (bytes.len() + chunk.len()) as u64 > MANIFEST_BYTES_MAX {
            let what = format!("it has more than {MANIFEST_BYTES_MAX} bytes, the limit; no setting changes that");
            return Err(unfit(format!("{what}: push the plugin by itself")));
        }
        bytes.extend_from_slice(&chunk);
    }
    if status != StatusCode::OK {
        let said: String = String::from_utf8_lossy(&bytes).chars().take(REFUSAL_CHARS_MAX).collect();
        return Err(failed(format!("it answers {status} for the manifest: {said}")));
    }
    let digest = format!("sha256:{}", Sha256::of(&bytes));
    match reference.digest() {
        Some(asked) if asked != digest => {
            return Err(unfit(format!("it is {digest}, and {asked} was asked for: nothing was installed")));
        }
        Some(_) | None => {}
    }
    let manifest = serde_json::from_slice(&bytes).map_err(|error| unfit(format!("it is none: {error}")))?;
    Ok((manifest, digest))
}

fn identified(request: RequestBuilder, token: Option<&str>, login: Option<&RegistryLogin>) -> RequestBuilder {
    match (token, login) {
        (Some(token), _) => request.header(AUTHORIZATION, format!("Bearer {token}")),
        (None, Some(login)) => request.basic_auth(&login.user, Some(login.password.reveal())),
        (None, None) => request,
    }
}

/// Whether a registry is on this machine: to these alone one speaks without TLS.
fn is_here(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Takes so many bytes and no more, whatever a manifest said of the length.
struct Bounded {
    bytes: Vec<u8>,
    limit: u64,
    over: bool,
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, chunk: &[u8]) -> Poll<io::Result<usize>> {
        if (self.bytes.len() + chunk.len()) as u64 > self.limit {
            self.over = true;
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        self.bytes.extend_from_slice(chunk);
        Poll::Ready(Ok(chunk.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A registry that wants no login and never ends its manifest. Answers how much of it was taken.
    async fn endless() -> (String, tokio::task::JoinHandle<u64>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let host = listener.local_addr().expect("an address").to_string();
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = [0; 4096];
                let read = stream.read(&mut request).await.expect("a request");
                if !String::from_utf8_lossy(&request[..read]).starts_with("GET /v2/acme/manifests/1.0 ") {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                    stream.write_all(answer).await.expect("an answer");
                    continue;
                }
                let mut sent = 0;
                let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
                let mut written = stream.write_all(head).await;
                while written.is_ok() {
                    sent += 65_536;
                    written = stream.write_all(&[b' '; 65_536]).await;
                }
                return sent;
            }
        });
        (host, serving)
    }

    #[tokio::test]
    async fn a_manifest_without_end_is_read_up_to_its_limit() {
        let (host, serving) = endless().await;
        let reference = parse(&format!("{host}/acme:1.0")).expect("a reference");
        let told = pull(&reference, None, 1 << 20).await.expect_err("it has no end").to_string();
        let limit = "it has more than 4194304 bytes, the limit; no setting changes that: push the plugin by itself";
        assert_eq!(told, format!("the manifest that registry `{host}` gives cannot be used: {limit}"));
        // What the system keeps on its way comes on top.
        let sent = serving.await.expect("it ended");
        assert!((MANIFEST_BYTES_MAX..64 << 20).contains(&sent), "{sent}");
    }

    #[test]
    fn an_index_of_platforms_is_no_plugin() {
        let index: Manifest = serde_json::from_str(r#"{"schemaVersion": 2, "manifests": []}"#).expect("it is JSON");
        assert!(index.layers.is_empty());
    }
}
