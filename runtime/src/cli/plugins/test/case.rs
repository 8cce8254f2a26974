//! Golden cases of a channel: one attempt each. `plugin-sdk/src/testing/cases.md` says how they are written; the SDK's
//! `testing::cases` reads the same.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{meaning, object};
use crate::cli::failure::Failure;
use crate::config::CallLimits;
use crate::domain::{
    Action, ActionStyle, ChannelName, Content, Notification, NotificationId, Part, Priority, Recipient, Timestamp,
};
use crate::runtime::{Call, HttpError, HttpReply, Kept, PlayedProvider, PlayedRequest, Trial, Workpiece};

/// What the clock of a case shows unless it says otherwise: 2026-01-31T12:00:00Z, as in the SDK.
pub(super) const NOW_MS: u64 = 1_769_860_800_000;

/// What cases call the ids, which no author can know.
const DELIVERY: &str = "del_test";
const NOTIFICATION: &str = "ntf_test";

/// Of the id of every case.
const ID: [u8; 16] = [0x5e; 16];

/// Expectations of the matrix; no case.
pub(super) const MATRIX: &str = "matrix.json";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, rename = "about")]
    _about: String,
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default = "default_now")]
    now_ms: u64,
    #[serde(default = "default_attempt")]
    attempt: u32,
    #[serde(default)]
    recipient: WrittenRecipient,
    notification: WrittenNotification,
    #[serde(default)]
    exchanges: VecDeque<Exchange>,
    #[serde(default)]
    cache: BTreeMap<String, String>,
    #[serde(default)]
    kv: BTreeMap<String, String>,
    #[serde(default)]
    kept: WrittenKept,
    stdout: Option<String>,
    outcome: Value,
}

fn default_now() -> u64 {
    NOW_MS
}

fn default_attempt() -> u32 {
    1
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenRecipient {
    address: String,
    id: Option<String>,
    name: Option<String>,
    locale: Option<String>,
    time_zone: Option<String>,
    attributes: BTreeMap<String, String>,
}

/// What is to be there after the call, by key; null: nothing.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenKept {
    cache: BTreeMap<String, Option<String>>,
    kv: BTreeMap<String, Option<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenNotification {
    kind: String,
    priority: String,
    title: Option<String>,
    text: String,
    html: Option<String>,
    markdown: Option<String>,
    parts: BTreeMap<String, String>,
    actions: Vec<WrittenAction>,
    data: Option<Value>,
    metadata: BTreeMap<String, String>,
    correlation_id: Option<String>,
    group_key: Option<String>,
    expires_ms: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenAction {
    id: String,
    label: String,
    url: Option<String>,
    style: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    request: WrittenRequest,
    reply: Option<WrittenReply>,
    error: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRequest {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Value>,
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenReply {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Value>,
    text: Option<String>,
}

pub(super) const FOLDER_HINT: &str =
    "name a folder of cases with `--cases DIR`; a project of `campanile plugins new NAME` has some in `cases/`";

/// The cases of a folder, in the order of their names.
pub(in super::super) fn paths(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).map_err(|error| {
        Failure::usage(format!("folder `{}` cannot be read: {error}", folder.display())).hint(FOLDER_HINT)
    })?;
    let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "json") && !path.ends_with(MATRIX));
    paths.sort();
    if paths.is_empty() {
        return Err(Failure::usage(format!("folder `{}` holds no case (`*.json`)", folder.display())).hint(FOLDER_HINT));
    }
    Ok(paths)
}

/// Why a file is no case, and where to look.
pub(super) fn unread(error: &std::io::Error) -> String {
    format!("cannot be read: {error}; let this user read it")
}

pub(super) fn no_case(error: &serde_json::Error) -> String {
    format!("is no case: {error}; `README.md` in the `cases/` of a new project says how one is written")
}

/// One case.
pub(super) struct Case {
    written: Written,
    call: Call,
}

impl Case {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| unread(&error))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut written: Written = serde_json::from_str(text).map_err(|error| no_case(&error))?;
        let notification = notification(std::mem::take(&mut written.notification))?;
        let recipient = recipient(std::mem::take(&mut written.recipient));
        let mut call = call(notification, recipient);
        call.attempt = written.attempt;
        call.now = Timestamp::from_millis(written.now_ms);
        Ok(Self { written, call })
    }

    pub(super) fn config(&self) -> &Map<String, Value> {
        &self.written.config
    }

    /// What is wrong with it; none: nothing.
    pub(super) async fn run(self, workpiece: &Workpiece, limits: CallLimits) -> Option<String> {
        let Self { written, call } = self;
        let provider = Arc::new(Script { left: Mutex::new(written.exchanges), problems: Mutex::default() });
        let bytes = |texts: BTreeMap<String, String>| texts.into_iter().map(|(key, text)| (key, text.into())).collect();
        let kept = Kept { cache: bytes(written.cache), kv: bytes(written.kv) };
        let config = &written.config;
        let trial = Trial { config, call: &call, provider: Arc::clone(&provider) as _, kept: &kept, limits };
        let tried = match workpiece.send(trial).await {
            Ok(tried) => tried,
            Err(error) => return Some(error.to_string()),
        };
        let problems = std::mem::take(&mut *provider.problems.lock().unwrap_or_else(PoisonError::into_inner));
        if !problems.is_empty() {
            return Some(problems.join("\n"));
        }
        if let Some(missing) = provider.left.lock().unwrap_or_else(PoisonError::into_inner).front() {
            let WrittenRequest { method, url, .. } = &missing.request;
            return Some(format!("a request was expected and did not come: {method} {url}"));
        }
        let wanted = written.outcome.to_string();
        let got = told(&meaning(&tried.end).to_string());
        if got != wanted {
            return Some(differs("outcome", &wanted, &got));
        }
        let kept = [("cache", &written.kept.cache, &tried.kept.cache), ("kv", &written.kept.kv, &tried.kept.kv)];
        if let Some(problem) = kept.into_iter().find_map(|(ability, wanted, got)| keeps(ability, wanted, got)) {
            return Some(problem);
        }
        let wanted = written.stdout.unwrap_or_default();
        (tried.stdout != wanted).then(|| differs("stdout", &format!("{wanted:?}"), &format!("{:?}", tried.stdout)))
    }
}

/// The first key that is not kept as `wanted`; of what is not named nothing is said.
fn keeps(ability: &str, wanted: &BTreeMap<String, Option<String>>, got: &BTreeMap<String, Vec<u8>>) -> Option<String> {
    wanted.iter().find_map(|(key, wanted)| {
        let got = got.get(key).map(|value| told(&String::from_utf8_lossy(value)));
        let shown = |text: &Option<String>| text.as_ref().map_or("(none)".to_owned(), |text| format!("{text:?}"));
        (got != *wanted).then(|| differs(&format!("{ability} `{key}`"), &shown(wanted), &shown(&got)))
    })
}

pub(super) fn differs(what: &str, wanted: &str, got: &str) -> String {
    format!("{what}\n  expected: {wanted}\n       got: {got}")
}

/// A call with this notification: the one of every case and trial.
pub(in super::super) fn call(notification: Notification, recipient: Recipient) -> Call {
    Call {
        channel: ChannelName::new("test").expect("it is a name"),
        delivery: notification.id.delivery(0),
        attempt: 1,
        recipient: Arc::new(recipient),
        content: Arc::clone(&notification.content),
        notification: Arc::new(notification),
        now: Timestamp::from_millis(NOW_MS),
    }
}

/// A notification that says this.
pub(in super::super) fn letter(content: Content) -> Notification {
    Notification {
        id: NotificationId::from_bytes(ID),
        kind: "info".to_owned(),
        priority: Priority::Normal,
        content: Arc::new(content),
        actions: Vec::new(),
        template: None,
        data: None,
        metadata: Vec::new(),
        correlation_id: None,
        group_key: None,
        created_at: Timestamp::from_millis(NOW_MS),
        scheduled_at: None,
        expires_at: None,
    }
}

fn notification(written: WrittenNotification) -> Result<Notification, String> {
    let parts = written.parts.into_iter().map(|(name, value)| Part { name, value }).collect();
    let content =
        Content { title: written.title, text: written.text, html: written.html, markdown: written.markdown, parts };
    let mut notification = letter(content);
    if !written.kind.is_empty() {
        notification.kind = written.kind;
    }
    if !written.priority.is_empty() {
        notification.priority =
            written.priority.parse().map_err(|error: crate::domain::ParsePriorityError| error.to_string())?;
    }
    notification.actions = written.actions.into_iter().map(action).collect::<Result<_, _>>()?;
    notification.data = written.data.map(|data| data.to_string());
    notification.metadata = written.metadata.into_iter().collect();
    notification.correlation_id = written.correlation_id;
    notification.group_key = written.group_key;
    notification.expires_at = written.expires_ms.map(Timestamp::from_millis);
    Ok(notification)
}

fn action(written: WrittenAction) -> Result<Action, String> {
    let style = match written.style.as_str() {
        "" | "plain" => ActionStyle::Plain,
        "primary" => ActionStyle::Primary,
        "danger" => ActionStyle::Danger,
        other => return Err(format!("`{other}` is no style of an action: there are plain, primary, danger")),
    };
    Ok(Action { id: written.id, label: written.label, url: written.url, style })
}

fn recipient(written: WrittenRecipient) -> Recipient {
    let WrittenRecipient { address, id, name, locale, time_zone, attributes } = written;
    let attributes = attributes.into_iter().collect();
    Recipient { address, id, name, locale, time_zone, attributes, ..Recipient::default() }
}

/// Ids as cases write them.
fn told(text: &str) -> String {
    let id = NotificationId::from_bytes(ID);
    text.replace(&id.delivery(0).to_string(), DELIVERY).replace(&id.to_string(), NOTIFICATION)
}

/// A provider that knows what it will be asked, in order.
struct Script {
    left: Mutex<VecDeque<Exchange>>,
    problems: Mutex<Vec<String>>,
}

impl PlayedProvider for Script {
    fn answer(&self, request: PlayedRequest) -> Result<HttpReply, HttpError> {
        let next = self.left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let problem = |problem: String| self.problems.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
        let Some(Exchange { request: wanted, reply, error }) = next else {
            problem(format!("an unexpected request: {} {}", request.method, told(&request.url)));
            return Err(HttpError::Unreachable("the case knows no further request".to_owned()));
        };
        let differences = wanted.differences(&request);
        if !differences.is_empty() {
            problem(format!("the request is not the expected one:\n{}", differences.join("\n")));
        }
        match (reply, error) {
            (Some(reply), None) => Ok(reply.into_reply()),
            (None, Some(error)) => Err(read_error(error).unwrap_or_else(|why| {
                problem(why.clone());
                HttpError::Unreachable(why)
            })),
            (None, None) | (Some(_), Some(_)) => {
                problem(
                    "an exchange has `reply` or `error`, and this one has both or none: write one of the two"
                        .to_owned(),
                );
                Err(HttpError::Unreachable("the case is not a whole one".to_owned()))
            }
        }
    }
}

impl WrittenRequest {
    fn differences(&self, request: &PlayedRequest) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, wanted: &str, got: &str| {
            if wanted != got {
                found.push(differs(what, wanted, got));
            }
        };
        compare("method", &self.method, &request.method);
        compare("url", &self.url, &told(&request.url));
        for (name, wanted) in &self.headers {
            let got = request.headers.iter().find(|(got, _)| got.eq_ignore_ascii_case(name));
            compare(&format!("header `{name}`"), wanted, &got.map_or("(none)".to_owned(), |(_, value)| told(value)));
        }
        let body = told(&String::from_utf8_lossy(&request.body));
        if let Some(wanted) = &self.text {
            compare("body", wanted, &body);
        }
        if let Some(wanted) = &self.json {
            // Through `Value` on both sides, so that the order of keys does not matter.
            let got = serde_json::from_str::<Value>(&body).map_or_else(|_| body.clone(), |got| got.to_string());
            compare("json body", &wanted.to_string(), &got);
        }
        found
    }
}

impl WrittenReply {
    fn into_reply(self) -> HttpReply {
        let body = self.json.map(|json| json.to_string()).or(self.text).unwrap_or_default();
        let headers = self.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        HttpReply { status: self.status, headers, body: body.into(), truncated: false }
    }
}

const KINDS: &str = "`denied`, `invalid`, `exhausted`, `unreachable`, `interrupted` or `timeout`";

fn read_error(error: BTreeMap<String, String>) -> Result<HttpError, String> {
    let Some((name, why)) = error.into_iter().next() else {
        return Err(format!("`error` is empty: it names one kind, {KINDS}"));
    };
    Ok(match name.as_str() {
        "denied" => HttpError::Denied(why),
        "invalid" => HttpError::Invalid(why),
        "exhausted" => HttpError::Exhausted(why),
        "unreachable" => HttpError::Unreachable(why),
        "interrupted" => HttpError::Interrupted(why),
        "timeout" => HttpError::Timeout(why),
        other => return Err(format!("`{other}` is no kind of error: there are {KINDS}")),
    })
}

/// A JSON object in a file.
pub(in super::super) fn read_object(path: &Path) -> Result<Map<String, Value>, String> {
    let at = |problem: String| format!("`{}`: {problem}", path.display());
    let text = fs::read_to_string(path).map_err(|error| at(unread(&error)))?;
    object(serde_json::from_str(&text).map_err(|error| at(format!("is not JSON: {error}; mend it there")))?).map_err(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_of_the_bundled_channels_is_read() {
        for plugin in ["console", "null", "slack", "webhook"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(plugin).join("cases");
            for path in paths(&folder).expect("cases") {
                if let Err(problem) = Case::read(&path) {
                    panic!("{}: {problem}", path.display());
                }
            }
        }
    }

    /// What the description shows is what is read. The SDK has the same test.
    #[test]
    fn the_description_shows_a_case() {
        let description = include_str!("../../../../../plugin-sdk/src/testing/cases.md");
        let shown = description.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a case");
        let case = Case::parse(shown).map_err(|error| panic!("{error}")).expect("it is one");
        assert_eq!(case.written.kept.kv["sent"].as_deref(), Some("42"));
    }

    #[test]
    fn a_case_with_a_word_too_many_is_none() {
        let problem = |text: &str| Case::parse(text).err().expect("no case");
        assert!(problem(r#"{"notification":{},"outcome":{},"colour":1}"#).contains("unknown field `colour`"));
        assert!(problem(r#"{"notification":{"priority":"loud"},"outcome":{}}"#).contains("`loud` is not a priority"));
    }

    #[test]
    fn a_request_differs_in_what_the_case_names_and_nothing_else() {
        let wanted = WrittenRequest {
            method: "POST".into(),
            url: "https://x.example/".into(),
            headers: [("Idempotency-Key".to_owned(), "del_test".to_owned())].into(),
            json: Some(serde_json::json!({ "b": 1, "a": 2 })),
            text: None,
        };
        let mut request = PlayedRequest {
            method: "POST".into(),
            url: "https://x.example/".into(),
            headers: vec![
                ("idempotency-key".into(), NotificationId::from_bytes(ID).delivery(0).to_string()),
                ("accept".into(), "*/*".into()),
            ],
            body: r#"{"a":2,"b":1}"#.into(),
        };
        assert!(wanted.differences(&request).is_empty());
        request.method = "PUT".into();
        assert_eq!(wanted.differences(&request), ["method\n  expected: POST\n       got: PUT"]);
    }
}
