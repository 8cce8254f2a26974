//! A receiver that notes when each delivery arrived. On a thread of its own, so that it is not part of what is measured.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::SLOW_ANSWER;

/// Behind the URL, what stands for a slow provider.
pub(super) const SLOW_PATH: &str = "/slow";

/// Listens until it is dropped.
pub(super) struct Arrivals {
    url: String,
    seen: Arc<Seen>,
    _ends: oneshot::Sender<()>,
}

struct Seen {
    at: Mutex<HashMap<String, Instant>>,
    count: watch::Sender<u64>,
}

impl Arrivals {
    pub(super) fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let seen = Arc::new(Seen { at: Mutex::default(), count: watch::Sender::new(0) });
        let router = Router::new().fallback(receive).with_state(Arc::clone(&seen));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ends, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name("receiver".to_owned()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                tokio::select! {
                    // Accepting goes on for as long as the process has files to open.
                    _ = async { axum::serve(listener, router).await } => {}
                    _ = ended => {}
                }
            });
        })?;
        Ok(Self { url, seen, _ends: ends })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// When each delivery came first.
    pub(super) fn arrived(&self) -> HashMap<String, Instant> {
        self.seen.at().clone()
    }

    /// Until all of these have come, or the time is up.
    pub(super) async fn wait_for(&self, deliveries: &[&String], limit: Duration) {
        let mut count = self.seen.count.subscribe();
        let all_came = async {
            while !deliveries.iter().all(|delivery| self.seen.at().contains_key(*delivery)) {
                if count.changed().await.is_err() {
                    return;
                }
            }
        };
        // Whoever waits in vain finds out from what arrived.
        let _ = tokio::time::timeout(limit, all_came).await;
    }
}

impl Seen {
    fn at(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive(State(seen): State<Arc<Seen>>, uri: Uri, headers: HeaderMap) -> StatusCode {
    let now = Instant::now();
    if uri.path().ends_with(SLOW_PATH) {
        tokio::time::sleep(SLOW_ANSWER).await;
        return StatusCode::NO_CONTENT;
    }
    // The delivery's id: the same over all attempts.
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    seen.at().entry(id.to_owned()).or_insert(now);
    seen.count.send_modify(|count| *count += 1);
    StatusCode::NO_CONTENT
}
