//! Providers on loopback, shaped like the real ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Requests that the receivers have answered.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) webhook: AtomicU32,
    pub(super) slack: AtomicU32,
    pub(super) flaky: AtomicU32,
}

/// A webhook receiver, a Slack-shaped one, and one that is busy at first. Stop when dropped.
pub(super) struct Receivers {
    pub(super) address: SocketAddr,
    pub(super) counts: Arc<Counts>,
    task: JoinHandle<()>,
}

impl Receivers {
    pub(super) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let router = router(&counts);
        let task = tokio::spawn(async move {
            // Ends with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, counts, task })
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn router(counts: &Arc<Counts>) -> Router {
    let (webhook, slack, flaky) = (Arc::clone(counts), Arc::clone(counts), Arc::clone(counts));
    Router::new()
        .route(
            "/webhook",
            post(move || async move {
                webhook.webhook.fetch_add(1, Ordering::Relaxed);
                StatusCode::NO_CONTENT
            }),
        )
        .route(
            "/services/T000/B000/demo",
            post(move || async move {
                slack.slack.fetch_add(1, Ordering::Relaxed);
                "ok"
            }),
        )
        .route(
            "/flaky",
            post(move || async move {
                match flaky.flaky.fetch_add(1, Ordering::Relaxed) {
                    0 => (StatusCode::SERVICE_UNAVAILABLE, "busy, come back"),
                    _ => (StatusCode::OK, "thank you"),
                }
            }),
        )
        .route("/gone", post(|| async { (StatusCode::GONE, "no such endpoint") }))
}
