//! A provider on loopback: answers by script and remembers what it was sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Path and query.
    pub uri: String,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Received {
    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// Where it is not JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the receiver was sent JSON")
    }

    /// A header as text, empty where it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    status: StatusCode,
    body: String,
    headers: Vec<(String, String)>,
}

impl Reply {
    /// An answer with this status and body.
    ///
    /// # Panics
    ///
    /// Where `status` is not one.
    #[must_use]
    pub fn new(status: u16, body: &str) -> Self {
        Self { status: StatusCode::from_u16(status).expect("a status"), body: body.to_owned(), headers: Vec::new() }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

struct Script {
    replies: Mutex<VecDeque<Reply>>,
    otherwise: Reply,
    received: watch::Sender<Vec<Received>>,
    gate: Semaphore,
}

/// A provider on loopback. Stops when dropped.
pub struct Receiver {
    url: String,
    script: Arc<Script>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Answers the first requests by `replies`, in order, and every later one by `otherwise`.
    pub async fn start(replies: Vec<Reply>, otherwise: Reply) -> Self {
        Self::with_gate(replies, otherwise, Semaphore::MAX_PERMITS).await
    }

    /// Like [`start`](Self::start), but answers nobody until [`open`](Self::open).
    pub async fn closed(otherwise: Reply) -> Self {
        Self::with_gate(Vec::new(), otherwise, 0).await
    }

    async fn with_gate(replies: Vec<Reply>, otherwise: Reply, permits: usize) -> Self {
        let script = Arc::new(Script {
            replies: Mutex::new(replies.into()),
            otherwise,
            received: watch::Sender::new(Vec::new()),
            gate: Semaphore::new(permits),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let task = tokio::spawn(async move {
            // Ends with the task.
            let _ = axum::serve(listener, router).await;
        });
        Self { url, script, task }
    }

    /// `http://127.0.0.1:PORT`, without a path.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets everyone through from now on.
    pub fn open(&self) {
        self.script.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Answers the next request by `reply`, before whatever else the script holds.
    pub fn answer_next(&self, reply: Reply) {
        self.script.replies.lock().unwrap_or_else(PoisonError::into_inner).push_front(reply);
    }

    /// How many requests have arrived so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.script.received.borrow().len()
    }

    /// What has arrived so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.script.received.borrow().clone()
    }

    /// Returns once `count` requests have arrived.
    ///
    /// # Panics
    ///
    /// Never: the script lives as long as the receiver.
    pub async fn has_received(&self, count: usize) -> Vec<Received> {
        let mut watched = self.script.received.subscribe();
        let seen = watched.wait_for(|received| received.len() >= count).await.expect("the script is alive");
        seen.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(script): State<Arc<Script>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    script.received.send_modify(|received| received.push(Received { uri: uri.to_string(), headers, body }));
    let Ok(_pass) = script.gate.acquire().await else { return StatusCode::GONE.into_response() };
    let next = script.replies.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let reply = next.unwrap_or_else(|| script.otherwise.clone());
    let mut response = (reply.status, reply.body).into_response();
    for (name, value) in reply.headers {
        let name = axum::http::HeaderName::try_from(name).expect("a scripted header has a name");
        response.headers_mut().append(name, value.parse().expect("a scripted header has a value"));
    }
    response
}
