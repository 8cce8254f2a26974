//! The client against a server that says what a test wants, on a port of this machine.

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use insta::assert_snapshot;
use serde_json::Value;

use super::*;
use crate::cli::terminal::Paint;

/// Serves `router` on a free port until the test ends. Returns its URL.
pub(in crate::cli) async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Options for a server at `url`.
pub(in crate::cli) fn globals(url: &str) -> Globals {
    Globals { url: Some(url.to_owned()), ..Globals::default() }
}

/// What goes to standard error, with the port left out.
pub(in crate::cli) fn said(failure: &Failure, url: &str) -> String {
    failure.render(Paint::Off).replace(url, "http://SERVER")
}

async fn answered(status: u16, body: &'static str) -> Failure {
    let status = StatusCode::from_u16(status).expect("a status");
    let url = serve(Router::new().fallback(move || async move { (status, body).into_response() })).await;
    let client = Client::new(&globals(&url)).expect("a client");
    let failure = client.get::<Value>(&["plugins"], None).await.expect_err("a failure");
    assert!(!said(&failure, &url).contains("127.0.0.1"));
    failure
}

#[tokio::test]
async fn a_missing_server_is_told_with_what_to_do() {
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    let client = Client::new(&globals(&url)).expect("a client");
    let failure = client.get::<Value>(&["plugins"], None).await.expect_err("a failure");
    assert_eq!(failure.exit, Exit::No);
    assert_snapshot!(said(&failure, &url), @r#"
    error: no server answers at `http://SERVER/`
      Caused by: Connection refused (os error 111)

    hint: start one with `campanile serve`, or name another with `--url` or `CAMPANILE_URL`
    "#);
}

#[tokio::test]
async fn every_problem_and_every_hint_of_a_refusal_is_told() {
    let body = r#"{
        "type": "about:blank", "title": "Unprocessable", "status": 422, "code": "unknown-channel",
        "detail": "the notification has 2 problems",
        "problems": [
            {"at": "/channels/0", "message": "there is no channel `slack`",
             "hint": "[channels.slack]\nplugin = \"slack\""},
            {"at": "", "message": "no body"}
        ]
    }"#;
    let failure = answered(422, body).await;
    assert_eq!(failure.exit, Exit::Usage);
    assert_snapshot!(failure.render(Paint::Off), @r#"
    error: the notification has 2 problems
      /channels/0: there is no channel `slack`
      no body

    hint:
    [channels.slack]
    plugin = "slack"
    "#);
}

#[tokio::test]
async fn the_exit_code_follows_the_status() {
    let body = r#"{"title": "No", "status": 0, "code": "x", "problems": []}"#;
    for (status, exit) in [
        (404, Exit::Nothing),
        (408, Exit::No),
        (409, Exit::No),
        (429, Exit::No),
        (503, Exit::No),
        (400, Exit::Usage),
        (413, Exit::Usage),
        (500, Exit::Internal),
    ] {
        assert_eq!(answered(status, body).await.exit, exit, "{status}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_ours_is_told_apart() {
    let url = serve(Router::new().fallback(|| async { "<html>" })).await;
    let client = Client::new(&globals(&url)).expect("a client");
    let failure = client.get::<Value>(&["plugins"], None).await.expect_err("a failure");
    assert_snapshot!(said(&failure, &url), @r#"
    error: `http://SERVER/` answered with status 200, and not as a Campanile server would

    hint: check `--url` and `CAMPANILE_URL`
    "#);
    let redirected = answered(302, "").await;
    assert_eq!(redirected.exit, Exit::No);
}

#[test]
fn only_the_url_of_a_server_is_taken() {
    for url in ["localhost:7433", "ftp://example.com", "7433", "unix:/run/x"] {
        let failure = Client::new(&globals(url)).expect_err("refused");
        assert_eq!(failure.exit, Exit::Usage, "{url}");
    }
    let client = Client::to("http://127.0.0.1:1/under/").expect("a client");
    assert_eq!(client.url(&["a b", "c/d"]).as_str(), "http://127.0.0.1:1/under/v1/a%20b/c%2Fd");
}
