//! The HTTP API as a client sees it.

use std::time::Duration;

use campanile_tests::Server;
use serde_json::Value;

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Value,
    headers: reqwest::header::HeaderMap,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A client of one server.
pub(crate) struct Api {
    url: String,
    client: reqwest::Client,
}

/// How long a delivery may take to become final before a test gives up.
const FINAL_LIMIT: Duration = Duration::from_secs(60);

impl Api {
    pub(crate) fn of(server: &Server) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client can be made");
        Self { url: server.url().to_owned(), client }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Self::answer(self.client.get(format!("{}{path}", self.url))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, body.to_string()).await
    }

    pub(crate) async fn post_text(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.client.post(format!("{}{path}", self.url));
        Self::answer(request.header("content-type", "application/json").body(body)).await
    }

    /// None where the connection breaks.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        let response = self.client.post(format!("{}{path}", self.url)).json(body).send().await.ok()?;
        Self::read(response).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Self::answer(self.client.delete(format!("{}{path}", self.url))).await
    }

    pub(crate) async fn post_with(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let request = self.client.post(format!("{}{path}", self.url)).json(body);
        Self::answer(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    async fn answer(request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("the server answers");
        Self::read(response).await.expect("the answer has a body")
    }

    async fn read(response: reqwest::Response) -> Option<Answer> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let header = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let content_type = header.unwrap_or_default().to_owned();
        let text = response.text().await.ok()?;
        Some(Answer { status, content_type, body: serde_json::from_str(&text).unwrap_or(Value::String(text)), headers })
    }

    /// The record of a notification, once none of its deliveries is open.
    pub(crate) async fn until_final(&self, id: &str) -> Value {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let path = format!("/v1/notifications/{id}");
        let waited = tokio::time::timeout(FINAL_LIMIT, async {
            loop {
                ticks.tick().await;
                let answer = self.get(&path).await;
                if answer.status == 200 && answer.body["status"] != "pending" {
                    return answer.body;
                }
            }
        });
        waited.await.unwrap_or_else(|_| panic!("`{id}` was not final after {FINAL_LIMIT:?}"))
    }
}
