//! The mock host while code runs: installed for one thread, taken away at the end.

use std::{cell::RefCell, collections::VecDeque, thread::panicking, time::Duration};

use super::{Expect, Kept, Logged, MockHost, Record, Signed};
use crate::{
    Secret, cache,
    http::{Error, Reply, Request},
    kv,
    log::Level,
    sign,
};

/// What stands behind the SDK's functions while a test runs.
struct Standing {
    expected: VecDeque<Expect>,
    now_ms: u64,
    denied: Vec<&'static str>,
    record: Record,
}

thread_local! {
    static STANDING: RefCell<Option<Standing>> = const { RefCell::new(None) };
}

/// Takes the host away again when dropped, also when the test panics.
pub(super) struct Installed(());

impl Installed {
    pub(super) fn new(host: MockHost) -> Self {
        let MockHost { expected, now_ms, kept, denied } = host;
        STANDING.with_borrow_mut(|standing| {
            assert!(standing.is_none(), "a mock host runs already: do not call `run` within `run`");
            let record = Record { kept, ..Record::default() };
            *standing = Some(Standing { expected, now_ms, denied, record });
        });
        Self(())
    }

    pub(super) fn finish(self) -> Record {
        let Some(standing) = STANDING.take() else { unreachable!("`new` put it there, only `finish` takes it") };
        if let Some(missing) = standing.expected.front() {
            panic!("a request was expected and did not come: {} {}", missing.method, missing.url);
        }
        standing.record
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        if panicking() {
            STANDING.take();
        }
    }
}

fn with<T>(what: &str, act: impl FnOnce(&mut Standing) -> T) -> T {
    STANDING.with_borrow_mut(|standing| match standing {
        Some(standing) => act(standing),
        None => panic!("{what} outside the sandbox: run the code within `testing::MockHost::run`"),
    })
}

pub(crate) fn exchange(request: Request) -> Result<Reply, Error> {
    // The expectation is judged outside the borrow: a panic there must leave the cell usable.
    let (expected, now_ms) = with("an http request", |standing| (standing.expected.pop_front(), standing.now_ms));
    let Some(expected) = expected else {
        panic!("an unexpected request: {} {}", request.method, request.url);
    };
    let differences = expected.differences(&request);
    assert!(differences.is_empty(), "the request is not the expected one:\n{}", differences.join("\n"));
    with("an http request", |standing| standing.record.requests.push(request));
    expected.answer.map(|reply| reply.at(now_ms))
}

pub(crate) fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    let fields = fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let logged = Logged { level, message: message.to_owned(), fields };
    with("a log line", |standing| standing.record.logs.push(logged));
}

pub(crate) fn print_line(line: &str) {
    with("a line of output", |standing| {
        standing.record.stdout.push_str(line);
        standing.record.stdout.push('\n');
    });
}

/// What the channel keeps and what time it is, unless the test takes the ability away.
fn keep<T, E>(
    ability: &str,
    denied: fn(String) -> E,
    act: impl FnOnce(&mut Kept, u64) -> Result<T, E>,
) -> Result<T, E> {
    with(ability, |standing| {
        if standing.denied.contains(&ability) {
            return Err(denied(format!("`{ability}` is not granted in this test")));
        }
        act(&mut standing.record.kept, standing.now_ms)
    })
}

pub(crate) fn cache_get(key: &str) -> Result<Option<Vec<u8>>, cache::Error> {
    keep("cache", cache::Error::Denied, |kept, now_ms| kept.cached(key, now_ms))
}

pub(crate) fn cache_get_or_claim(key: &str) -> Result<Option<Vec<u8>>, cache::Error> {
    cache_get(key)
}

pub(crate) fn cache_put(key: &str, value: &[u8], ttl: Duration) -> Result<(), cache::Error> {
    keep("cache", cache::Error::Denied, |kept, now_ms| kept.put(key, value.to_vec(), ttl, now_ms))
}

pub(crate) fn cache_remove(key: &str) -> Result<(), cache::Error> {
    keep("cache", cache::Error::Denied, |kept, _| kept.uncache(key))
}

pub(crate) fn kv_get(key: &str) -> Result<Option<kv::Entry>, kv::Error> {
    keep("kv", kv::Error::Denied, |kept, _| kept.get(key))
}

pub(crate) fn kv_set(key: &str, value: &[u8], expected: Option<u64>) -> Result<u64, kv::Error> {
    keep("kv", kv::Error::Denied, |kept, _| kept.set(key, value.to_vec(), expected))
}

pub(crate) fn kv_remove(key: &str, expected: Option<u64>) -> Result<(), kv::Error> {
    keep("kv", kv::Error::Denied, |kept, _| kept.remove(key, expected))
}

pub(crate) fn kv_keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, kv::Error> {
    keep("kv", kv::Error::Denied, |kept, _| Ok(kept.keys(prefix, after, limit)))
}

/// No signature of any worth: it says how and by which key, the same each time.
fn signed(key: &Secret, algorithm: &str, message: Vec<u8>) -> Result<String, sign::Error> {
    with("sign", |standing| {
        if standing.denied.contains(&"sign") {
            return Err(sign::Error::Denied("`sign` is not granted in this test".into()));
        }
        let (key, algorithm) = (key.handle().to_owned(), algorithm.to_owned());
        let signature = format!("{algorithm} by {key}");
        standing.record.signed.push(Signed { key, algorithm, message });
        Ok(signature)
    })
}

pub(crate) fn sign(key: &Secret, algorithm: &str, message: &[u8]) -> Result<Vec<u8>, sign::Error> {
    signed(key, algorithm, message.to_vec()).map(String::into_bytes)
}

pub(crate) fn jwt(key: &Secret, algorithm: &str, header: &str, claims: &str) -> Result<Secret, sign::Error> {
    signed(key, algorithm, format!("{header}.{claims}").into_bytes()).map(Secret::of_handle)
}
