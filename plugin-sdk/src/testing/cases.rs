#![doc = include_str!("cases.md")]

use std::{
    collections::BTreeMap,
    fs, panic,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Expect, Kept, MockHost, NOW_MS};
use crate::{
    Action, ActionStyle, Call, Channel, Content, FailureKind, Finality, Notification, Outcome, Part, Priority,
    Recipient, Scope, Trouble,
    http::{Error, Reply},
};

/// How long a cached value of before has left, as in the sandbox.
const CACHED_FOR: Duration = Duration::from_secs(3_600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default, rename = "about")]
    _about: String,
    #[serde(default = "empty_object")]
    config: Value,
    #[serde(default = "default_now")]
    now_ms: u64,
    #[serde(default = "default_attempt")]
    attempt: u32,
    #[serde(default)]
    recipient: RecipientOfCase,
    notification: NotificationOfCase,
    #[serde(default)]
    exchanges: Vec<Exchange>,
    #[serde(default)]
    cache: BTreeMap<String, String>,
    #[serde(default)]
    kv: BTreeMap<String, String>,
    #[serde(default)]
    kept: KeptOfCase,
    stdout: Option<String>,
    outcome: Value,
}

fn empty_object() -> Value {
    Value::Object(Map::new())
}

fn default_now() -> u64 {
    NOW_MS
}

fn default_attempt() -> u32 {
    1
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RecipientOfCase {
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
struct KeptOfCase {
    cache: BTreeMap<String, Option<String>>,
    kv: BTreeMap<String, Option<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NotificationOfCase {
    kind: String,
    priority: String,
    title: Option<String>,
    text: String,
    html: Option<String>,
    markdown: Option<String>,
    parts: BTreeMap<String, String>,
    actions: Vec<ActionOfCase>,
    data: Option<Value>,
    metadata: BTreeMap<String, String>,
    correlation_id: Option<String>,
    group_key: Option<String>,
    expires_ms: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ActionOfCase {
    id: String,
    label: String,
    url: Option<String>,
    style: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    request: RequestOfCase,
    reply: Option<ReplyOfCase>,
    error: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestOfCase {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Value>,
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyOfCase {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Value>,
    text: Option<String>,
}

/// Runs every `*.json` in `folder` through channel `C`; answers how many there were.
///
/// # Panics
///
/// The folder holds no case, a case cannot be read, or one ends otherwise than it says: the message names all that do.
pub fn run_cases<C: Channel>(folder: impl AsRef<Path>) -> usize {
    let paths = paths(folder.as_ref());
    let failures: Vec<String> = paths
        .iter()
        .filter_map(|path| {
            let problem = run_case::<C>(path)?;
            Some(format!("{}: {problem}", path.display()))
        })
        .collect();
    assert!(failures.is_empty(), "{} of {} cases failed\n\n{}", failures.len(), paths.len(), failures.join("\n\n"));
    paths.len()
}

/// The cases of a folder, in the order of their names.
pub(super) fn paths(folder: &Path) -> Vec<PathBuf> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => panic!("folder of cases `{}` cannot be read: {error}", folder.display()),
    };
    let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    // `matrix.json` is no case: it says what each answer of a provider is to mean (`campanile plugins test`).
    paths
        .retain(|path| path.extension().is_some_and(|extension| extension == "json") && !path.ends_with("matrix.json"));
    paths.sort();
    assert!(!paths.is_empty(), "folder `{}` holds no case", folder.display());
    paths
}

/// What is wrong with this case; none: nothing.
fn run_case<C: Channel>(path: &Path) -> Option<String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Some(format!("cannot be read: {error}")),
    };
    let mut case: Case = match serde_json::from_str(&text) {
        Ok(case) => case,
        Err(error) => return Some(format!("is no case: {error}")),
    };
    let (wanted, wanted_stdout, config) = (case.outcome.clone(), case.stdout.clone(), case.config.clone());
    let kept = std::mem::take(&mut case.kept);
    let attempt = panic::catch_unwind(move || {
        let (mut host, call) = case.into_parts();
        // As in the sandbox, where what a plugin does not ask for is granted to nobody.
        for ability in ["cache", "kv", "sign"] {
            if !C::ABOUT.needs.iter().any(|need| need.capability == ability) {
                host = host.deny(ability);
            }
        }
        host.send::<C>(&config, call)
    });
    let (outcome, record) = match attempt {
        Ok(ended) => ended,
        Err(payload) => return Some(panic_message(payload.as_ref())),
    };
    let outcome = render_outcome(&outcome);
    if outcome != wanted {
        return Some(format!("outcome\n  expected: {wanted}\n       got: {outcome}"));
    }
    if let Some(problem) = kept.differs(&record.kept) {
        return Some(problem);
    }
    let wanted_stdout = wanted_stdout.unwrap_or_default();
    if record.stdout != wanted_stdout {
        return Some(format!("stdout\n  expected: {wanted_stdout:?}\n       got: {:?}", record.stdout));
    }
    None
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned()
}

impl Case {
    fn into_parts(self) -> (MockHost, Call) {
        let mut kept = Kept::default();
        for (key, value) in self.cache {
            kept.put(&key, value.into_bytes(), CACHED_FOR, self.now_ms).expect("a cached value of a case has room");
        }
        for (key, value) in self.kv {
            kept.set(&key, value.into_bytes(), None).expect("a kept value of a case has room");
        }
        let mut host = MockHost::new().at(self.now_ms).keeping(kept);
        for exchange in self.exchanges {
            host = host.expect(exchange.into_expected());
        }
        let recipient = self.recipient;
        let mut call = super::call("");
        call.attempt = self.attempt;
        call.recipient = Recipient {
            address: recipient.address,
            id: recipient.id,
            name: recipient.name,
            locale: recipient.locale,
            time_zone: recipient.time_zone,
            attributes: recipient.attributes.into_iter().collect(),
        };
        call.notification = self.notification.into_notification(call.notification);
        (host, call)
    }
}

impl KeptOfCase {
    /// The first key that is not kept as it should be; of what is not named nothing is said.
    fn differs(&self, got: &Kept) -> Option<String> {
        let differs = |ability: &str, key: &str, wanted: &Option<String>, got: Option<&[u8]>| {
            let got = got.map(|value| String::from_utf8_lossy(value).into_owned());
            let shown = |text: &Option<String>| text.as_ref().map_or("(none)".to_owned(), |text| format!("{text:?}"));
            let (expected, told) = (shown(wanted), shown(&got));
            (got != *wanted).then(|| format!("{ability} `{key}`\n  expected: {expected}\n       got: {told}"))
        };
        let cached = self.cache.iter().find_map(|(key, wanted)| differs("cache", key, wanted, got.cached_value(key)));
        cached.or_else(|| self.kv.iter().find_map(|(key, wanted)| differs("kv", key, wanted, got.value(key))))
    }
}

impl NotificationOfCase {
    fn into_notification(self, base: Notification) -> Notification {
        let part = |(name, value)| Part { name, value };
        Notification {
            kind: if self.kind.is_empty() { base.kind } else { self.kind },
            priority: match self.priority.as_str() {
                "low" => Priority::Low,
                "" | "normal" => Priority::Normal,
                "high" => Priority::High,
                "critical" => Priority::Critical,
                other => panic!("`{other}` is no priority"),
            },
            content: Content {
                title: self.title,
                text: self.text,
                html: self.html,
                markdown: self.markdown,
                parts: self.parts.into_iter().map(part).collect(),
            },
            actions: self.actions.into_iter().map(ActionOfCase::into_action).collect(),
            data: self.data.map(|data| data.to_string()),
            metadata: self.metadata.into_iter().collect(),
            correlation_id: self.correlation_id,
            group_key: self.group_key,
            expires_ms: self.expires_ms,
            ..base
        }
    }
}

impl ActionOfCase {
    fn into_action(self) -> Action {
        let style = match self.style.as_str() {
            "" | "plain" => ActionStyle::Plain,
            "primary" => ActionStyle::Primary,
            "danger" => ActionStyle::Danger,
            other => panic!("`{other}` is no style of an action"),
        };
        Action { id: self.id, label: self.label, url: self.url, style }
    }
}

impl Exchange {
    fn into_expected(self) -> Expect {
        let mut expected = Expect::new(self.request.method, self.request.url);
        for (name, value) in &self.request.headers {
            expected = expected.header(name, value);
        }
        expected = match (self.request.json, self.request.text) {
            (Some(json), None) => expected.json(json),
            (None, Some(text)) => expected.text(text),
            (None, None) => expected,
            (Some(_), Some(_)) => panic!("a request has `json` or `text`, not both"),
        };
        expected.answer_with(match (self.reply, self.error) {
            (Some(reply), None) => Ok(reply.into_reply()),
            (None, Some(error)) => Err(read_error(error)),
            (None, None) | (Some(_), Some(_)) => panic!("an exchange has `reply` or `error`, one of the two"),
        })
    }
}

impl ReplyOfCase {
    fn into_reply(self) -> Reply {
        let body = self.json.map(|json| json.to_string()).or(self.text).unwrap_or_default();
        let reply = Reply::new(self.status, body);
        self.headers.into_iter().fold(reply, |reply, (name, value)| reply.with_header(&name, value))
    }
}

fn read_error(error: BTreeMap<String, String>) -> Error {
    let Some((name, why)) = error.into_iter().next() else { panic!("`error` names one kind") };
    match name.as_str() {
        "denied" => Error::Denied(why),
        "invalid" => Error::Invalid(why),
        "exhausted" => Error::Exhausted(why),
        "unreachable" => Error::Unreachable(why),
        "interrupted" => Error::Interrupted(why),
        "timeout" => Error::Timeout(why),
        other => panic!("`{other}` is no kind of error"),
    }
}

/// An outcome as cases spell it: one key, the variant; keys that say nothing are left out.
///
/// ```
/// use campanile_plugin_sdk::{testing::render_outcome, Failure, Sent, json};
///
/// assert_eq!(render_outcome(&Ok(Sent::now())), json!({ "sent": {} }));
/// assert_eq!(
///     render_outcome(&Err(Failure::message("too_long", "text is too long"))),
///     json!({ "rejected": { "blame": "message", "code": "too_long", "reason": "text is too long" } }),
/// );
/// ```
#[must_use]
pub fn render_outcome(outcome: &Outcome) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.into(), value);
        }
    };
    let ms = |delay: Option<Duration>| delay.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX).into());
    let variant = match outcome {
        Ok(sent) => {
            put("provider_id", sent.provider_id.clone().map(Value::from));
            let facts: Map<_, _> =
                sent.facts.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
            put("facts", (!facts.is_empty()).then_some(facts.into()));
            match sent.finality {
                Finality::Sent => "sent",
                Finality::Accepted { check_after } => {
                    put("check_after_ms", ms(check_after));
                    "accepted"
                }
            }
        }
        Err(failure) => {
            put("code", failure.code.clone().map(Value::from));
            put("reason", Some(failure.reason.clone().into()));
            match &failure.kind {
                FailureKind::Retry { after, trouble } => {
                    put("after_ms", ms(*after));
                    put("trouble", Some(trouble_name(*trouble).into()));
                    "retry"
                }
                FailureKind::RateLimited { after, scope } => {
                    put("after_ms", ms(*after));
                    put("scope", Some(scope_name(*scope).into()));
                    "rate_limited"
                }
                FailureKind::Message => {
                    put("blame", Some("message".into()));
                    "rejected"
                }
                FailureKind::Channel => {
                    put("blame", Some("channel".into()));
                    "rejected"
                }
                FailureKind::Gone { new_address } => {
                    put("new_address", new_address.clone().map(Value::from));
                    "recipient_gone"
                }
            }
        }
    };
    json!({ variant: fields })
}

fn trouble_name(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Unreachable => "unreachable",
        Trouble::Server => "server",
        Trouble::Timeout => "timeout",
        Trouble::Other => "other",
    }
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Recipient => "recipient",
        Scope::Channel => "channel",
        Scope::Account => "account",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the description shows is what is read. `campanile plugins test` has the same test.
    #[test]
    fn the_description_shows_a_case() {
        let description = include_str!("cases.md");
        let shown = description.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let case: Case = serde_json::from_str(shown).unwrap();
        assert_eq!(case.kept.kv["sent"].as_deref(), Some("42"));
        let (host, call) = case.into_parts();
        assert_eq!((host.kept.value("sent"), call.content().text.as_str()), (Some(&b"41"[..]), "there"));
    }
}
