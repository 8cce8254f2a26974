//! What connections are made with: names, sockets, TLS. Made once for a process and shared by all grants.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio::net::TcpStream;

use crate::clock::{Clock, SystemClock};

/// TLS sessions that one grant can take up again. A channel speaks to one provider, seldom to more than a few hosts.
const SESSIONS_MAX: usize = 16;

/// Turns a host name into addresses. Injected, so that a test can be a hostile name server.
#[async_trait]
pub trait HostResolver: Send + Sync + 'static {
    /// The addresses of `host`; the port in them is not used.
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<SocketAddr>>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl HostResolver for SystemResolver {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.collect())
    }
}

/// Opens a connection to an address that was checked. Injected, so that a test can see what would be dialled.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// Connects to exactly `address`.
    async fn dial(&self, address: SocketAddr) -> std::io::Result<TcpStream>;
}

/// The operating system's sockets.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDialler;

#[async_trait]
impl Dial for SystemDialler {
    async fn dial(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        // A request is written whole, so waiting for more to send would only delay its end.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// The way out: how names are resolved, addresses dialled and certificates judged. Cheap to clone.
#[derive(Clone)]
pub struct Egress {
    pub(super) resolver: Arc<dyn HostResolver>,
    pub(super) dialler: Arc<dyn Dial>,
    pub(super) clock: Arc<dyn Clock>,
    tls: Arc<ClientConfig>,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").finish_non_exhaustive()
    }
}

impl Egress {
    /// Resolver, sockets and trusted certificates of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Arc::new(SystemResolver), Arc::new(SystemDialler))
    }

    /// The same with another resolver and another way to dial.
    #[must_use]
    pub fn new(resolver: Arc<dyn HostResolver>, dialler: Arc<dyn Dial>) -> Self {
        Self { resolver, dialler, clock: Arc::new(SystemClock::default()), tls: Arc::new(tls()) }
    }

    /// The same by another clock: signatures hold the time.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// TLS for one grant. The certificates are shared; sessions are not, or one channel could take up another's.
    pub(super) fn tls(&self) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.tls);
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        config
    }
}

fn tls() -> ClientConfig {
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider is one that knows the versions of TLS it is offered for");
    match rustls_platform_verifier::Verifier::new(provider) {
        Ok(verifier) => builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth(),
        Err(error) => {
            // Channels that speak plain HTTP to this machine still work, so it is no reason not to start.
            tracing::warn!(reason = %error, "no trusted certificates can be read, every https request will fail");
            builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
        }
    }
}
