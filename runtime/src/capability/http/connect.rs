//! Connections: a name is resolved once, its addresses are judged, and one of exactly those is dialled.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tower_service::Service;

use super::egress::Egress;
use super::networks::Networks;
use super::request::{HEADER_BYTES_MAX, HEADERS_MAX};

/// A connection that takes longer, from the question for its name to the end of its TLS handshake, is not coming.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Unused connections are kept for this long; most servers close theirs after 60 s or more.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// Addresses of one name that are tried. Providers publish up to eight.
const ADDRESSES_MAX: usize = 8;

/// The connections of one grant.
pub(super) type Pool = Client<Limited<HttpsConnector<Connector>>, Full<Bytes>>;

type Pending<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;
type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no connection. Names no address but a forbidden one.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// All that the name stands for is forbidden.
    #[error("{0}")]
    Forbidden(String),
    #[error("the URL has no host")]
    NoHost,
    #[error("its name cannot be resolved: {0}")]
    Name(std::io::Error),
    #[error("its name stands for no address")]
    NoAddress,
    #[error("no connection: {0}")]
    Dial(std::io::Error),
    #[error("no connection within {} s, the limit; no setting changes that", CONNECT_TIMEOUT.as_secs())]
    TooSlow,
}

pub(super) fn pool(egress: &Egress, networks: Arc<Networks>) -> Pool {
    let connector = Connector { egress: egress.clone(), networks };
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(egress.tls())
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(connector);
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .http1_max_headers(HEADERS_MAX)
        // Status line and headers have to fit; the smallest that hyper takes is 8 KiB.
        .http1_max_buf_size(2 * HEADER_BYTES_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX as u32)
        .build(Limited(https))
}

/// Bounds the time of connections made by `S`, TLS handshake included.
#[derive(Clone)]
pub(super) struct Limited<S>(S);

impl<S> Service<Uri> for Limited<S>
where
    S: Service<Uri, Error = AnyError>,
    S::Future: Send + 'static,
    S::Response: Send,
{
    type Response = S::Response;
    type Error = AnyError;
    type Future = Pending<S::Response, AnyError>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            match timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(ConnectError::TooSlow.into()),
            }
        })
    }
}

/// Resolve, judge, dial: the three in one place, so that nothing can change between them.
#[derive(Clone)]
pub(super) struct Connector {
    egress: Egress,
    networks: Arc<Networks>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pending<TokioIo<TcpStream>, ConnectError>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { egress, networks } = self.clone();
        Box::pin(async move { connect(&egress, &networks, &uri).await.map(TokioIo::new) })
    }
}

async fn connect(egress: &Egress, networks: &Networks, uri: &Uri) -> Result<TcpStream, ConnectError> {
    let host = uri.host().ok_or(ConnectError::NoHost)?;
    let https = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let found = match bare.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => egress.resolver.resolve(host).await.map_err(ConnectError::Name)?,
    };
    let checked = judge(networks, &found, port)?;
    let until = Instant::now() + CONNECT_TIMEOUT;
    let mut last = ConnectError::TooSlow;
    for (index, address) in checked.iter().enumerate() {
        // What is left is shared among those that are left: one that swallows packets does not hide the others.
        let left = until.saturating_duration_since(Instant::now()) / (checked.len() - index) as u32;
        match timeout_at(Instant::now() + left, egress.dialler.dial(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = ConnectError::Dial(error),
            Err(_) => last = ConnectError::TooSlow,
        }
    }
    Err(last)
}

/// The addresses that may be dialled, with the URL's port and not the resolver's.
fn judge(networks: &Networks, found: &[SocketAddr], port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    let mut refused = None;
    let mut checked = Vec::with_capacity(found.len().min(ADDRESSES_MAX));
    for address in found {
        match networks.permits(address.ip()) {
            // Without zone and flow label, which a hostile name server has no business to choose.
            Ok(()) if checked.len() < ADDRESSES_MAX => checked.push(SocketAddr::new(address.ip(), port)),
            Ok(()) => {}
            Err(sentence) => {
                refused.get_or_insert(sentence);
            }
        }
    }
    match (checked.is_empty(), refused) {
        (false, _) => Ok(checked),
        (true, Some(sentence)) => Err(ConnectError::Forbidden(sentence)),
        (true, None) => Err(ConnectError::NoAddress),
    }
}
