//! A receiver of webhooks on this machine, and how fast a bare client gets through to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Arrivals that are told and not yet heard of. What comes beyond is not told.
const ARRIVALS_MAX: usize = 1_024;

/// Answers every POST with 204, on a port of its own of 127.0.0.1. Ends when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    seen: Arc<Seen>,
    _server: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: AtomicU64,
    told: Option<mpsc::Sender<Instant>>,
    first: OnceLock<(HeaderMap, Bytes)>,
}

impl Receiver {
    /// Starts to listen.
    ///
    /// # Errors
    ///
    /// Where the system gives no port.
    pub async fn start() -> std::io::Result<Self> {
        Self::serve(Seen::default()).await
    }

    /// The same, and tells when requests arrive, as far as somebody listens.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_telling() -> std::io::Result<(Self, mpsc::Receiver<Instant>)> {
        let (told, arrivals) = mpsc::channel(ARRIVALS_MAX);
        let receiver = Self::serve(Seen { told: Some(told), ..Seen::default() }).await?;
        Ok((receiver, arrivals))
    }

    async fn serve(seen: Seen) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(seen);
        let router = Router::new().fallback(receive).with_state(Arc::clone(&seen));
        let mut server = JoinSet::new();
        server.spawn(async move {
            // Accepting goes on for as long as the process has files to open.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, seen, _server: server })
    }

    /// Where to send to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Requests received.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.seen.requests.load(Ordering::Relaxed)
    }

    /// Requests per second of a bare loop with the client settings of egress, `in_flight` at a time, each a copy of the
    /// first request that was received.
    ///
    /// # Errors
    ///
    /// Where the client cannot be built or a request fails.
    pub async fn baseline(&self, in_flight: NonZeroUsize, time: Duration) -> Result<u64, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .tcp_nodelay(true)
            .build()?;
        let (headers, body) = self.seen.first.get().cloned().unwrap_or_default();
        let url = self.url();
        let request = async || -> Result<(), reqwest::Error> {
            let request = client.post(&url).headers(headers.clone()).body(body.clone());
            request.send().await?.error_for_status()?.bytes().await.map(|_| ())
        };
        let started = Instant::now();
        let mut done = 0_u64;
        let mut under_way: FuturesUnordered<_> = (0..in_flight.get()).map(|_| request()).collect();
        while let Some(ended) = under_way.next().await {
            ended?;
            done += 1;
            if started.elapsed() < time {
                under_way.push(request());
            }
        }
        Ok((done as f64 / started.elapsed().as_secs_f64()) as u64)
    }
}

async fn receive(State(seen): State<Arc<Seen>>, mut headers: HeaderMap, body: Bytes) -> StatusCode {
    seen.requests.fetch_add(1, Ordering::Relaxed);
    if let Some(told) = &seen.told {
        // Whoever asked has no use for more than these.
        let _ = told.try_send(Instant::now());
    }
    if seen.first.get().is_none() {
        // The client that repeats it sets its own.
        headers.remove(header::HOST);
        headers.remove(header::CONTENT_LENGTH);
        let _ = seen.first.set((headers, body));
    }
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_baseline_counts_what_the_receiver_saw() {
        let receiver = Receiver::start().await.unwrap();
        let in_flight = NonZeroUsize::new(4).unwrap();
        assert!(receiver.baseline(in_flight, Duration::ZERO).await.unwrap() > 0);
        assert_eq!(receiver.requests(), 4);
    }
}
