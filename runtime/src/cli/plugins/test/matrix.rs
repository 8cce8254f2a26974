//! Every answer a provider can give, and what the plugin makes of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::case::{MATRIX, call, letter, unread};
use super::{meaning, word};
use crate::cli::plugins::example;
use crate::config::CallLimits;
use crate::domain::{AttemptEnd, Content, Outcome, Recipient};
use crate::runtime::{HttpError, HttpReply, Kept, PlayedProvider, PlayedRequest, Role, Trial, Workpiece};

/// The body of a huge answer, in bytes: over the default `response_max`, so that it is cut as a server would.
const HUGE_BYTES: usize = 1 << 20;

/// What a channel makes of each answer, as its author wrote it down: `cases/matrix.json`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Plan {
    #[serde(rename = "about")]
    _about: String,
    pub(super) config: Option<Map<String, Value>>,
    /// The recipient's address.
    address: Option<String>,
    outcomes: BTreeMap<String, String>,
}

impl Plan {
    pub(super) fn read(folder: Option<&Path>) -> Result<Self, String> {
        let Some(path) = folder.map(|folder| folder.join(MATRIX)).filter(|path| path.is_file()) else {
            return Ok(Self::default());
        };
        let at = |problem: String| format!("`{}` {problem}", path.display());
        let text = std::fs::read_to_string(&path).map_err(|error| at(unread(&error)))?;
        let plan: Self = serde_json::from_str(&text).map_err(|error| {
            at(format!("is no matrix: {error}; `README.md` in the `cases/` of a new project says how one is written"))
        })?;
        match plan.outcomes.keys().find(|name| answers().iter().all(|(known, ..)| known != name)) {
            Some(unknown) => {
                let known: Vec<_> = answers().iter().map(|(name, ..)| format!("`{name}`")).collect();
                Err(at(format!("names the answer `{unknown}`; there are {}", known.join(", "))))
            }
            None => Ok(plan),
        }
    }
}

/// One line of the table.
pub(super) struct Row {
    pub(super) answer: &'static str,
    pub(super) word: String,
    pub(super) outcome: Value,
    /// Made by the plugin.
    pub(super) requests: usize,
    pub(super) problem: Option<String>,
}

/// What no channel may make of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Free,
    /// The provider did not take it, or nobody knows.
    NotSent,
}

type Answer = Result<HttpReply, HttpError>;

#[allow(clippy::unnecessary_wraps, reason = "one of the answers there are")]
fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(HttpReply { status, headers, body: body.into().into(), truncated: false })
}

fn huge(status: u16) -> Answer {
    reply(status, &[("content-type", "text/plain")], vec![b'x'; HUGE_BYTES])
        .map(|reply| HttpReply { truncated: true, ..reply })
}

/// Name, answer, rule. Dates count from the time that cases show: 2026-01-31T12:00:00Z.
fn answers() -> Vec<(&'static str, Answer, Rule)> {
    let why = |text: &str| text.to_owned();
    let json = [("content-type", "application/json")];
    vec![
        ("200", reply(200, &json, "{}"), Rule::Free),
        ("201", reply(201, &json, "{}"), Rule::Free),
        ("204", reply(204, &[], ""), Rule::Free),
        ("200 empty", reply(200, &[], ""), Rule::Free),
        ("200 not JSON", reply(200, &json, "{\"ok\": tru"), Rule::Free),
        ("200 not UTF-8", reply(200, &[], b"\xff\xfe\x00\x80".to_vec()), Rule::Free),
        ("200 huge", huge(200), Rule::Free),
        ("400", reply(400, &json, "{}"), Rule::NotSent),
        ("401", reply(401, &json, "{}"), Rule::NotSent),
        ("403", reply(403, &json, "{}"), Rule::NotSent),
        ("404", reply(404, &json, "{}"), Rule::NotSent),
        ("408", reply(408, &[], ""), Rule::NotSent),
        ("410", reply(410, &[], ""), Rule::NotSent),
        ("413", reply(413, &[], ""), Rule::NotSent),
        ("425", reply(425, &[], ""), Rule::NotSent),
        ("429", reply(429, &[], ""), Rule::NotSent),
        ("429 in seconds", reply(429, &[("retry-after", "30")], ""), Rule::NotSent),
        ("429 as a date", reply(429, &[("retry-after", "Sat, 31 Jan 2026 12:00:30 GMT")], ""), Rule::NotSent),
        ("429 in nonsense", reply(429, &[("retry-after", "-1e999 soon")], ""), Rule::NotSent),
        ("500", reply(500, &[], ""), Rule::NotSent),
        ("500 huge", huge(500), Rule::NotSent),
        ("502", reply(502, &[("content-type", "text/html")], "<html><h1>Bad Gateway</h1>"), Rule::NotSent),
        ("503", reply(503, &[], ""), Rule::NotSent),
        ("503 in seconds", reply(503, &[("retry-after", "30")], ""), Rule::NotSent),
        ("504", reply(504, &[], ""), Rule::NotSent),
        ("no connection", Err(HttpError::Unreachable(why("connection refused"))), Rule::NotSent),
        ("connection reset", Err(HttpError::Interrupted(why("connection reset by peer"))), Rule::NotSent),
        ("time-out", Err(HttpError::Timeout(why("no complete answer in time"))), Rule::NotSent),
    ]
}

/// Gives the same answer whatever is asked.
struct Always(Answer);

impl PlayedProvider for Always {
    fn answer(&self, _: PlayedRequest) -> Answer {
        self.0.clone()
    }
}

/// Tries every answer. The error says why there is nothing to try.
pub(super) async fn run(
    workpiece: &Workpiece,
    config: &Map<String, Value>,
    plan: &Plan,
    limits: CallLimits,
) -> Result<Vec<Row>, String> {
    let content = Content { title: Some("Title".to_owned()), text: "Text".to_owned(), ..Content::default() };
    let address = plan.address.clone().unwrap_or_else(|| example::address(&workpiece.inspection().descriptor.role));
    let call = call(letter(content), Recipient { address, ..Recipient::default() });
    let mut rows = Vec::new();
    for (name, answer, rule) in answers() {
        let trial = Trial { config, call: &call, provider: Arc::new(Always(answer)), kept: &Kept::default(), limits };
        let tried = workpiece.send(trial).await.map_err(|error| error.to_string())?;
        let word = word(&tried.end);
        let problem = problem(&tried.end, rule, tried.requests.len())
            .or_else(|| expected(plan.outcomes.get(name).map(String::as_str), &word));
        rows.push(Row { answer: name, outcome: meaning(&tried.end), requests: tried.requests.len(), word, problem });
        // A channel that asks nobody answers the same to everything.
        if tried.requests.is_empty() && !asks(workpiece) {
            break;
        }
    }
    Ok(rows)
}

fn asks(workpiece: &Workpiece) -> bool {
    let descriptor = &workpiece.inspection().descriptor;
    matches!(descriptor.role, Role::Channel(_)) && descriptor.needs.iter().any(|need| need.capability == "http")
}

fn problem(end: &AttemptEnd, rule: Rule, requests: usize) -> Option<String> {
    match end {
        AttemptEnd::Outcome(Outcome::Sent(_) | Outcome::Accepted { .. }) if rule == Rule::NotSent && requests > 0 => {
            Some("the provider did not take it".to_owned())
        }
        AttemptEnd::Outcome(_) => None,
        AttemptEnd::HostDeadline { .. } => Some("it waited until the deadline".to_owned()),
        AttemptEnd::Fault { message, .. } | AttemptEnd::Interrupted { message, .. } => Some(message.clone()),
    }
}

fn expected(wanted: Option<&str>, got: &str) -> Option<String> {
    wanted.filter(|wanted| *wanted != got).map(|wanted| format!("expected: {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Fault, Receipt};

    #[test]
    fn what_was_not_taken_may_not_be_called_sent_and_a_fault_is_never_good() {
        let sent = AttemptEnd::Outcome(Outcome::Sent(Receipt::default()));
        assert_eq!(problem(&sent, Rule::Free, 1), None);
        assert_eq!(problem(&sent, Rule::NotSent, 0), None, "nobody was asked");
        assert!(problem(&sent, Rule::NotSent, 1).is_some());
        let fault = AttemptEnd::Fault { fault: Fault::Trap, message: "unreachable".to_owned() };
        assert_eq!(problem(&fault, Rule::Free, 1).as_deref(), Some("unreachable"));
    }

    #[test]
    fn a_plan_names_answers_that_there_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |text: &str| std::fs::write(folder.path().join(MATRIX), text).expect("a file");
        write(r#"{"outcomes": {"200": "sent", "429 in seconds": "rate-limited (channel) after 30s"}}"#);
        assert_eq!(Plan::read(Some(folder.path())).map(|plan| plan.outcomes.len()), Ok(2));
        write(r#"{"outcomes": {"299": "sent"}}"#);
        let problem = Plan::read(Some(folder.path())).err().expect("no such answer");
        assert!(problem.contains("names the answer `299`; there are `200`"), "{problem}");
    }
}
