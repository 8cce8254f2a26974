//! The HTTP interface: `/v1`, JSON in and out, problems by RFC 9457.
//!
//! *Flow:* request → `guard` (who may ask) → `body` (type, size, time) → `submission`, or `query` and `filter` (with all
//! problems) → [`Runtime`] → `wire` (what is answered).
//!
//! *Invariants:* a 202 is sent after the commit and never before. What is refused leaves nothing behind. No body, no
//! address and no path is logged or counted: routes are named by their template.
//!
//! *Not here:* deciding anything. Every handler is one call of the runtime.

mod admin;
mod asked;
mod audit;
mod body;
mod callbacks;
mod channels;
mod cursor;
mod dead_letters;
mod decode;
mod events;
mod failure;
mod filter;
mod finding;
mod guard;
mod notifications;
mod operations;
mod query;
mod stats;
mod submission;
mod wire;
mod workers;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use tokio::net::TcpListener;

use crate::config::ServerConfig;
use crate::runtime::Runtime;
use failure::Failure;

/// Every route, as it is counted.
const ROUTES: [&str; 35] = [
    "/v1/notifications",
    "/v1/notifications/batch",
    "/v1/notifications/{id}",
    "/v1/notifications/{id}/deliveries",
    "/v1/notifications/{id}/cancel",
    "/v1/notifications/{id}/replay",
    "/v1/deliveries/{id}",
    "/v1/deliveries/{id}/replay",
    "/v1/deliveries/{id}/cancel",
    "/v1/dead-letters",
    "/v1/dead-letters/replay",
    "/v1/audit",
    "/v1/events",
    "/v1/plugins",
    "/v1/plugins/{name}/release",
    "/v1/plugins/{name}/approve",
    "/v1/admin/reload",
    "/v1/workers",
    "/v1/workers/scale",
    "/v1/channels",
    "/v1/channels/{name}",
    "/v1/channels/{name}/test",
    "/v1/channels/{name}/pause",
    "/v1/channels/{name}/resume",
    "/v1/channels/{name}/reset",
    "/v1/callbacks",
    "/v1/callbacks/dead-letters",
    "/v1/callbacks/dead-letters/replay",
    "/v1/callbacks/{name}/enable",
    "/v1/callbacks/{name}/replay",
    "/v1/callbacks/{name}",
    "/v1/stats",
    "/healthz",
    "/readyz",
    "/metrics",
];

/// What requests for anything else are counted as.
const NO_ROUTE: &str = "none";

/// What the handlers share.
struct Api {
    runtime: Runtime,
    /// The address that is listened on: a name for this server besides the loopback ones.
    listen: IpAddr,
    body_max: body::Limit,
    batch_body_max: body::Limit,
}

/// The routes over `runtime`.
pub fn router(runtime: Runtime, server: &ServerConfig) -> Router {
    let ServerConfig { listen, body_max: bytes, batch_body_max: batch, .. } = *server;
    let (body_max, batch_body_max) = (body::Limit::Single { bytes, batch }, body::Limit::Batch { bytes: batch });
    let api = Arc::new(Api { runtime, listen: listen.ip(), body_max, batch_body_max });
    let [notifications, batch, notification, deliveries, cancel, replay, delivery, rest @ ..] = ROUTES;
    let [replay_delivery, cancel_delivery, dead_letters, replay_dead_letters, rest @ ..] = rest;
    let [audit, events, plugins, release, approve, reload, workers, scale, rest @ ..] = rest;
    let [channels, channel, test_channel, pause_channel, resume_channel, reset_channel, rest @ ..] = rest;
    let [callbacks, dead_callbacks, replay_callbacks, enable_callback, replay_callback, callback, stats, rest @ ..] =
        rest;
    let [healthz, readyz, metrics] = rest;
    Router::new()
        .route(notifications, post(notifications::submit).get(finding::list))
        .route(batch, post(notifications::submit_batch))
        .route(notification, get(notifications::show))
        .route(deliveries, get(finding::deliveries))
        .route(cancel, post(finding::cancel))
        .route(replay, post(finding::replay_notification))
        .route(delivery, get(finding::delivery))
        .route(replay_delivery, post(finding::replay_delivery))
        .route(cancel_delivery, post(finding::cancel_delivery))
        .route(dead_letters, get(dead_letters::list).delete(dead_letters::purge))
        .route(replay_dead_letters, post(dead_letters::replay))
        .route(audit, get(audit::list))
        .route(events, get(events::stream))
        .route(plugins, get(operations::plugins))
        .route(release, post(operations::release))
        .route(approve, post(operations::approve))
        .route(reload, post(admin::reload))
        .route(workers, get(workers::show))
        .route(scale, post(workers::scale))
        .route(channels, get(channels::list))
        .route(channel, get(channels::show))
        .route(test_channel, post(channels::test))
        .route(pause_channel, post(channels::pause))
        .route(resume_channel, post(channels::resume))
        .route(reset_channel, post(channels::reset))
        .route(callbacks, get(callbacks::show))
        .route(dead_callbacks, get(callbacks::dead_letters).delete(callbacks::purge))
        .route(replay_callbacks, post(callbacks::replay))
        .route(enable_callback, post(callbacks::enable))
        .route(replay_callback, post(callbacks::replay_range))
        .route(callback, delete(callbacks::forget))
        .route(stats, get(stats::show))
        .route(healthz, get(operations::healthz))
        .route(readyz, get(operations::readyz))
        .route(metrics, get(operations::metrics))
        .fallback(async || Failure::NotFound("no such path"))
        .method_not_allowed_fallback(async || Failure::Method)
        .layer(from_fn_with_state(Arc::clone(&api), watch_over))
        .with_state(api)
}

/// What is answered while the server starts: it lives, and takes nothing yet. Plugins that were never seen are compiled
/// then, which takes seconds.
pub fn starting() -> Router {
    Router::new().route("/healthz", get(operations::healthz)).fallback(async || Failure::Starting).layer(
        axum::middleware::map_response(async |mut response: Response| {
            // The next request is for the server itself.
            response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
            response
        }),
    )
}

/// Answers requests on `listener` until `stop` completes, then those under way.
///
/// # Errors
///
/// None as of now: a connection that fails is its own problem. The signature is axum's.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

/// Refuses what is not for us, and counts every answer.
async fn watch_over(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = ROUTES.into_iter().find(|route| matched == Some(*route)).unwrap_or(NO_ROUTE);
    let response = if !guard::is_ours(request.headers(), request.uri(), api.listen) {
        Failure::WrongHost.into_response()
    } else if !guard::is_from_us(request.headers(), api.listen) {
        Failure::WrongOrigin.into_response()
    } else {
        next.run(request).await
    };
    api.runtime.metrics().http_request(route, response.status().as_u16());
    response
}
