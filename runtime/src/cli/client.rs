//! A client of a running server.

pub(super) mod callbacks;
pub(super) mod stats;
pub(super) mod stream;
pub(super) mod wire;
pub(super) mod workers;

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use reqwest::{RequestBuilder, StatusCode, Url, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Globals;
use super::failure::{Exit, Failure};
use crate::config::format_duration;
use wire::{Problem, Reloaded};

/// How long a server may take for what it can answer at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take to replay or to purge every dead letter there is, or to compile plugins that are new.
const BULK_LIMIT: Duration = Duration::from_mins(10);
/// How long a connection may take. A server on the same machine takes none of it.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The largest answer that is read, in bytes. A thousand deliveries with six attempts each take 2 MiB.
const ANSWER_MAX: usize = 64 << 20;

/// Speaks to one server. Follows no redirect and uses no proxy: what is sent is for that server alone.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
}

/// An answer as it came and as it is understood.
#[derive(Debug)]
pub(super) struct Answered<T> {
    pub(super) json: Value,
    pub(super) value: T,
}

impl Client {
    pub(super) fn new(globals: &Globals) -> Result<Self, Failure> {
        let url = match &globals.url {
            Some(url) => url.clone(),
            None => {
                let loaded = globals.load().map_err(|error| {
                    Failure::from(error).hint("or name the server with `--url`, which needs no configuration")
                })?;
                format!("http://{}", loaded.config.server.listen)
            }
        };
        Self::to(&url)
    }

    fn to(url: &str) -> Result<Self, Failure> {
        let example = "write it as `http://127.0.0.1:7433`";
        let base = Url::parse(url).map_err(|error| {
            let error = anyhow::Error::new(error).context(format!("`{url}` is not a URL"));
            Failure::new(Exit::Usage, error).hint(example)
        })?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(Failure::usage(format!("`{url}` is not the URL of a server")).hint(example));
        }
        let http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_LIMIT)
            .user_agent(concat!("campanile/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("the HTTP client cannot be set up")?;
        Ok(Self { http, base })
    }

    /// `wait` is how long the server is to hold its answer back for the outcome.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        wait: Option<Duration>,
    ) -> Result<Answered<T>, Failure> {
        let mut url = self.url(path);
        if let Some(wait) = wait {
            url.query_pairs_mut().append_pair("wait", &format_duration(wait));
        }
        self.ask(self.http.get(url), ANSWER_LIMIT + wait.unwrap_or_default()).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &Value) -> Result<Answered<T>, Failure> {
        self.ask(self.http.post(self.url(path)).json(body), ANSWER_LIMIT).await
    }

    /// A page of what these parameters ask for.
    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Answered<T>, Failure> {
        self.ask(self.http.get(self.url_with(path, query)), ANSWER_LIMIT).await
    }

    /// For what may be about a million deliveries.
    pub(super) async fn post_bulk<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
    ) -> Result<Answered<T>, Failure> {
        self.ask(self.http.post(self.url(path)).json(body), BULK_LIMIT).await
    }

    /// Has the server read its configuration again, which may take as long as plugins take to compile. The inner error
    /// is every problem of that configuration.
    pub(super) async fn reload(&self) -> Result<Result<Answered<Reloaded>, Problem>, Failure> {
        let request = self.http.post(self.url(&["admin", "reload"])).json(&serde_json::json!({}));
        match self.asked(request, BULK_LIMIT).await? {
            Ok(answered) => Ok(Ok(answered)),
            Err((StatusCode::UNPROCESSABLE_ENTITY, problem)) => Ok(Err(problem)),
            Err((status, problem)) => Err(refusal(status, problem)),
        }
    }

    /// For what may be about a million deliveries.
    pub(super) async fn delete_bulk<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Answered<T>, Failure> {
        self.ask(self.http.delete(self.url_with(path, query)), BULK_LIMIT).await
    }

    fn url_with(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Whether a Campanile answers there; in the failure, why not. `/healthz` stands outside of `v1`.
    pub(super) async fn health(&self) -> Result<(), Failure> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("healthz");
        }
        self.ask::<Value>(self.http.get(url), ANSWER_LIMIT).await.map(|_| ())
    }

    /// What a scraper is given; it stands outside of `v1`.
    pub(super) async fn metrics(&self) -> Result<String, Failure> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("metrics");
        }
        let answer = self.http.get(url).timeout(ANSWER_LIMIT).send().await;
        let answer = answer.map_err(|error| self.unreachable(error, ANSWER_LIMIT))?;
        answer.text().await.map_err(|error| self.unreachable(error, ANSWER_LIMIT))
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Only a URL without a host cannot have segments, and those were refused.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        url
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder, limit: Duration) -> Result<Answered<T>, Failure> {
        self.asked(request, limit).await?.map_err(|(status, problem)| refusal(status, problem))
    }

    /// The inner error is what the server said no with.
    async fn asked<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        limit: Duration,
    ) -> Result<Result<Answered<T>, (StatusCode, Problem)>, Failure> {
        let sent = request.timeout(limit).send().await;
        let mut response = sent.map_err(|error| self.unreachable(error, limit))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error, limit))? {
            if bytes.len() + chunk.len() > ANSWER_MAX {
                return Err(anyhow!("the server's answer is over the limit of {ANSWER_MAX} bytes").into());
            }
            bytes.extend_from_slice(&chunk);
        }
        let json: Option<Value> = serde_json::from_slice(&bytes).ok();
        if !status.is_success() {
            let problem = json.and_then(|json| serde_json::from_value(json).ok());
            return problem.map(|problem| Err((status, problem))).ok_or_else(|| self.stranger(status));
        }
        let json = json.ok_or_else(|| self.stranger(status))?;
        let value = T::deserialize(&json).map_err(|error| {
            let error = anyhow::Error::new(error).context(format!("`{}` gave an answer of another shape", self.base));
            Failure::new(Exit::Internal, error).hint("are this program and the server of the same version?")
        })?;
        Ok(Ok(Answered { json, value }))
    }

    fn unreachable(&self, error: reqwest::Error, limit: Duration) -> Failure {
        let base = &self.base;
        if error.is_timeout() && !error.is_connect() {
            let message = format!("the server at `{base}` did not answer within {} s", limit.as_secs());
            return Failure::new(Exit::TimedOut, anyhow!(message));
        }
        let connect = error.is_connect();
        let innermost = innermost(&error.without_url());
        let failure = |message: String| Failure::new(Exit::No, anyhow!(innermost).context(message));
        if connect {
            let hint = "start one with `campanile serve`, or name another with `--url` or `CAMPANILE_URL`";
            failure(format!("no server answers at `{base}`")).hint(hint)
        } else {
            failure(format!("the connection to `{base}` broke"))
        }
    }

    /// What answers is no Campanile, or something stands before it.
    fn stranger(&self, status: StatusCode) -> Failure {
        let message =
            format!("`{}` answered with status {}, and not as a Campanile server would", self.base, status.as_u16());
        Failure::new(Exit::No, anyhow!(message)).hint("check `--url` and `CAMPANILE_URL`")
    }
}

/// What the operating system said. The layers above it say the same in more words.
fn innermost(error: &reqwest::Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// What the server said no to, with every problem that it found.
fn refusal(status: StatusCode, problem: Problem) -> Failure {
    let Problem { title, detail, problems } = problem;
    let mut message =
        detail.or(title).unwrap_or_else(|| format!("the server answered with status {}", status.as_u16()));
    let mut hints: Vec<String> = Vec::new();
    for found in problems {
        let at = found.at.filter(|at| !at.is_empty()).map(|at| format!("{at}: ")).unwrap_or_default();
        message.push_str(&format!("\n  {at}{}", found.message));
        hints.extend(found.hint.filter(|hint| !hints.contains(hint)));
    }
    let exit = match status {
        StatusCode::NOT_FOUND => Exit::Nothing,
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::CONFLICT
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::SERVICE_UNAVAILABLE => Exit::No,
        status if status.is_client_error() => Exit::Usage,
        _ => Exit::Internal,
    };
    let failure = Failure::new(exit, anyhow!(message));
    if hints.is_empty() { failure } else { failure.hint(hints.join("\n")) }
}

#[cfg(test)]
pub(super) mod tests;
