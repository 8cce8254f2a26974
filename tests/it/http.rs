//! The HTTP interface, as a client sees it.

use campanile_tests::Server;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

const CONFIG: &str = "[server]\nbody_max = \"64KiB\"\nbatch_body_max = \"1MiB\"\n";

struct Api {
    server: Server,
    client: Client,
}

impl Api {
    async fn start() -> Self {
        Self {
            server: Server::start(CONFIG).await,
            client: Client::builder().no_proxy().build().expect("a client can be made"),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.expect("the server answers")
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        self.post_text(path, "application/json", body.to_string()).await
    }

    async fn post_text(&self, path: &str, media_type: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.client.post(self.url(path)).header("content-type", media_type).body(body);
        request.send().await.expect("the server answers")
    }

    /// How many notifications were accepted, of all priorities.
    async fn accepted(&self) -> u64 {
        let text = self.get("/metrics").await.text().await.expect("text");
        let lines = text.lines().filter(|line| line.starts_with("campanile_notifications_accepted_total{"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}

/// The problem document of an answer, once it is seen to be one.
async fn problem(response: Response) -> Value {
    let status = response.status();
    assert!(status.is_client_error(), "{status}");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let document: Value = response.json().await.expect("a JSON document");
    assert_eq!(document["status"], status.as_u16());
    assert!(document["code"].is_string() && document["detail"].is_string(), "{document}");
    document
}

/// Each of its problems as `place code`.
fn told(document: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().expect("a string").to_owned();
    let problems = document["problems"].as_array().expect("a list of problems");
    problems.iter().map(|problem| format!("{} {}", word(&problem["at"]), word(&problem["code"]))).collect()
}

fn hello() -> Value {
    json!({ "channels": ["null"], "body": "hello" })
}

/// A 202 names the notification and its deliveries; both can be read at once.
#[tokio::test]
async fn a_notification_is_accepted_and_can_be_read() {
    let api = Api::start().await;
    let response = api.post("/v1/notifications", &hello()).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let accepted: Value = response.json().await.expect("JSON");
    let id = accepted["id"].as_str().expect("an id");
    assert!(id.starts_with("ntf_"));
    let delivery = &accepted["deliveries"][0];
    assert_eq!(delivery["channel"], "null");
    assert_eq!(delivery["recipient"], Value::Null);
    assert_eq!(delivery["status"], "pending");

    let read: Value = api.get(&format!("/v1/notifications/{id}")).await.json().await.expect("JSON");
    assert_eq!(read["id"], id);
    assert_eq!((&read["kind"], &read["priority"]), (&json!("info"), &json!("normal")));
    assert_eq!(read["deliveries"][0]["id"], delivery["id"]);
}

/// `?wait` holds the answer back until the outcome is there, and tells it with the attempt.
#[tokio::test]
async fn a_caller_that_waits_is_told_the_outcome() {
    let api = Api::start().await;
    let response = api.post("/v1/notifications?wait=30s", &hello()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let outcome: Value = response.json().await.expect("JSON");
    assert_eq!(outcome["status"], "sent");
    let attempt = &outcome["deliveries"][0]["attempts"][0];
    assert_eq!((&attempt["number"], &attempt["outcome"]), (&json!(1), &json!("sent")));
    assert!(attempt["plugin"].as_str().expect("a plugin").starts_with("null@"), "{attempt}");
    assert!(attempt["fuel"].as_u64() > Some(0) && attempt["duration_ms"].as_f64() > Some(0.0), "{attempt}");
}

/// Everything that is wrong is told in one answer, what could not be read and what cannot be done alike, and nothing
/// of it is kept.
#[tokio::test]
async fn a_bad_notification_is_told_all_of_its_problems_and_leaves_nothing() {
    let api = Api::start().await;
    let bad = json!({ "channels": ["nul", "null"], "priority": "urgent", "titel": "x", "expires_at": "2001-01-01T00:00:00Z" });
    let response = api.post("/v1/notifications", &bad).await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let document = problem(response).await;
    assert_eq!(document["code"], "invalid-notification");
    let expected = [
        "/priority bad-value",
        "/titel unknown-field",
        "/body missing",
        "/expires_at bad-value",
        "/channels/0 unknown-channel",
    ];
    assert_eq!(told(&document), expected);
    assert_eq!(document["problems"][1]["hint"], "did you mean `title`?");
    assert_eq!(api.accepted().await, 0);
}

#[tokio::test]
async fn malformed_json_is_told_with_line_and_column() {
    let api = Api::start().await;
    let response = api.post_text("/v1/notifications", "application/json", "{\n  \"body\": \"a\",,\n}").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let document = problem(response).await;
    assert_eq!(document["code"], "malformed-json");
    assert!(document["detail"].as_str().expect("text").contains("line 2 column 15"), "{document}");
}

/// Whatever bytes come, the answer is a problem and the server goes on.
#[tokio::test]
async fn bytes_that_are_no_notification_are_a_problem_each() {
    let api = Api::start().await;
    let deep = "[".repeat(60_000);
    let nested = format!("{{\"channels\":[\"null\"],\"body\":{}1{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let bodies: [Vec<u8>; 9] = [
        Vec::new(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\xff\xfe".to_vec(),
        b"{\"body\": \"\\ud800\", \"channels\": [\"null\"]}".to_vec(),
        b"{\"body\": \"a\", \"body\": \"b\", \"channels\": [\"null\"]}".to_vec(),
        b"{} {}".to_vec(),
        deep.into_bytes(),
        nested.into_bytes(),
    ];
    for body in bodies {
        problem(api.post_text("/v1/notifications", "application/json", body).await).await;
    }
    assert_eq!(api.accepted().await, 0);
}

#[tokio::test]
async fn a_body_over_its_limit_or_of_another_type_is_refused() {
    let api = Api::start().await;
    let large = json!({ "channels": ["null"], "body": "x".repeat(65 << 10) });
    let response = api.post("/v1/notifications", &large).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let told = problem(response).await;
    assert_eq!(told["code"], "body-too-large");
    let detail = told["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("`body_max` in `[server]`") && detail.contains("/v1/notifications/batch"), "{told}");

    // Types that a form or a script of a web page may send without asking first.
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let response = api.post_text("/v1/notifications", media_type, hello().to_string()).await;
        assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{media_type}");
        problem(response).await;
    }
    assert_eq!(api.accepted().await, 0);
}

/// A page of another site whose name was made to resolve to this machine still carries its own name.
#[tokio::test]
async fn a_request_for_another_host_is_refused() {
    let api = Api::start().await;
    let request = api.client.get(api.url("/v1/plugins")).header("host", "evil.example");
    let response = request.send().await.expect("the server answers");
    assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(problem(response).await["code"], "wrong-host");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_document_too() {
    let api = Api::start().await;
    for path in ["/v1/nothing", "/v1/notifications/ntf_1", "/v1/notifications/ntf_0000000000007000800000000000000f"] {
        let response = api.get(path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(problem(response).await["code"], "not-found");
    }
    let response = api.get("/v1/notifications/batch").await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()["allow"], "POST");
    problem(response).await;
    let response = api.post("/v1/notifications?wiat=1s", &hello()).await;
    assert_eq!(problem(response).await["code"], "invalid-query");
}

#[tokio::test]
async fn a_batch_may_come_in_lines_and_a_broken_line_is_one_problem() {
    let api = Api::start().await;
    let lines = format!("{}\n\n{{\"body\":\n{}\n", hello(), hello());
    let response = api.post_text("/v1/notifications/batch", "application/x-ndjson", lines).await;
    assert_eq!(response.status(), StatusCode::OK);
    let answer: Value = response.json().await.expect("JSON");
    let broken = &answer["results"][1];
    assert_eq!((&broken["index"], &broken["problem"]["code"]), (&json!(1), &json!("malformed-json")));
    let detail = broken["problem"]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("at line 3 column 8"), "the line of the body: {broken}");
    assert!(answer["results"][0]["id"].is_string() && answer["results"][2]["id"].is_string());
    assert_eq!(api.accepted().await, 2);
}

#[tokio::test]
async fn a_batch_that_is_none_or_too_many_is_refused_whole() {
    let api = Api::start().await;
    let too_many = json!(vec![1; 10_001]);
    for body in [too_many, json!("x"), json!({ "notifications": 1 }), json!({ "notification": [] })] {
        let response = api.post("/v1/notifications/batch", &body).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        problem(response).await;
    }
    assert_eq!(api.accepted().await, 0);
}

/// Routes are counted by their template: an id is not a label.
#[tokio::test]
async fn health_readiness_plugins_and_metrics_are_served() {
    let api = Api::start().await;
    assert_eq!(api.get("/healthz").await.json::<Value>().await.expect("JSON"), json!({ "status": "ok" }));
    let ready: Value = api.get("/readyz").await.json().await.expect("JSON");
    assert_eq!(ready["status"], "ready", "{ready}");
    assert!(ready["components"].as_array().expect("a list").iter().any(|component| component["name"] == "store"));
    let plugins: Value = api.get("/v1/plugins").await.json().await.expect("JSON");
    assert!(plugins["plugins"].is_array());
    api.get("/v1/notifications/ntf_secret").await;
    let metrics = api.get("/metrics").await;
    assert!(metrics.headers()["content-type"].to_str().expect("text").starts_with("application/openmetrics-text"));
    let text = metrics.text().await.expect("text");
    assert!(text.contains(r#"campanile_http_requests_total{route="/v1/notifications/{id}",status="404"} 1"#), "{text}");
    assert!(!text.contains("ntf_secret"));
}
