//! Plugins as OCI artifacts: one layer of WebAssembly, and one for its signature where there is one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tokio::io::AsyncWrite;

use super::fetch::{CONNECT_TIMEOUT, Fetched, RegistryLogin, SupplyError};
use super::trust::SIGNATURE_BYTES_MAX;

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
    let (manifest, digest) = client.pull_image_manifest(reference, &auth).await.map_err(failed)?;
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
