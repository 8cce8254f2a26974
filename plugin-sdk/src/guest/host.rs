//! What a guest calls of its host.

use std::{
    cell::Cell,
    io::{Write, stdout},
    time::Duration,
};

use super::{
    imports::campanile::plugin::{
        cache as wit_cache, http as wit_http, kv as wit_kv, log as wit_log, sign as wit_sign,
    },
    types::Piece,
};
use crate::{
    Secret, cache,
    http::{Auth, AwsSigV4, Body, Error, Reply, Request},
    kv,
    log::Level,
    sign,
};

thread_local! {
    /// When this call began: what an absolute `Retry-After` is measured from. A guest has one thread, and one call.
    static NOW_MS: Cell<u64> = const { Cell::new(0) };
}

pub(super) fn set_now_ms(now_ms: u64) {
    NOW_MS.set(now_ms);
}

pub(crate) fn exchange(request: Request) -> Result<Reply, Error> {
    let request = wit_http::Request {
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: match request.body {
            Body::Empty => Vec::new(),
            Body::Text(text) => vec![Piece::Text(text)],
            Body::Bytes(bytes) => vec![Piece::Bytes(bytes)],
        },
        auth: lower_auth(request.auth),
        redirects: request.redirects,
        // Zero would be no time at all; the host refuses it.
        timeout_ms: request.timeout.map(|time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1)),
    };
    match wit_http::send(&request) {
        Ok(reply) => {
            let wit_http::Response { status, headers, body, truncated } = reply;
            Ok(Reply { status, headers, body, truncated, now_ms: NOW_MS.get() })
        }
        Err(error) => Err(match error {
            wit_http::Error::Denied(why) => Error::Denied(why),
            wit_http::Error::Invalid(why) => Error::Invalid(why),
            wit_http::Error::Exhausted(why) => Error::Exhausted(why),
            wit_http::Error::Unreachable(why) => Error::Unreachable(why),
            wit_http::Error::Interrupted(why) => Error::Interrupted(why),
            wit_http::Error::Timeout(why) => Error::Timeout(why),
        }),
    }
}

fn lower_auth(auth: Auth) -> wit_http::Auth {
    let handle = |secret: Secret| secret.handle().to_owned();
    match auth {
        Auth::None => wit_http::Auth::None,
        Auth::Bearer(token) => wit_http::Auth::Bearer(handle(token)),
        Auth::Basic { user, password } => wit_http::Auth::Basic(wit_http::Basic { user, password: handle(password) }),
        Auth::Header { name, value } => wit_http::Auth::Header(wit_http::Named { name, value: handle(value) }),
        Auth::Query { name, value } => wit_http::Auth::Query(wit_http::Named { name, value: handle(value) }),
        Auth::StandardWebhooks { id, keys } => {
            let keys = keys.into_iter().map(handle).collect();
            wit_http::Auth::StandardWebhooks(wit_http::WebhookSignature { id, keys })
        }
        Auth::AwsSigV4(AwsSigV4 { access_key_id, secret_key, session_token, region, service }) => {
            let (secret_key, session_token) = (handle(secret_key), session_token.map(handle));
            let signature = wit_http::AwsSigv4 { access_key_id, secret_key, session_token, region, service };
            wit_http::Auth::AwsSigv4(signature)
        }
    }
}

pub(crate) fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    let level = match level {
        Level::Trace => wit_log::Level::Trace,
        Level::Debug => wit_log::Level::Debug,
        Level::Info => wit_log::Level::Info,
        Level::Warn => wit_log::Level::Warn,
        Level::Error => wit_log::Level::Error,
    };
    let fields: Vec<_> = fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    wit_log::log(level, message, &fields);
}

fn cache_error(error: wit_cache::Error) -> cache::Error {
    match error {
        wit_cache::Error::Denied(why) => cache::Error::Denied(why),
        wit_cache::Error::Limit(why) => cache::Error::Limit(why),
        wit_cache::Error::Timeout(why) => cache::Error::Timeout(why),
    }
}

pub(crate) fn cache_get(key: &str) -> Result<Option<Vec<u8>>, cache::Error> {
    wit_cache::get(key).map_err(cache_error)
}

pub(crate) fn cache_get_or_claim(key: &str) -> Result<Option<Vec<u8>>, cache::Error> {
    wit_cache::get_or_claim(key).map_err(cache_error)
}

pub(crate) fn cache_put(key: &str, value: &[u8], ttl: Duration) -> Result<(), cache::Error> {
    let ttl_ms = u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX);
    wit_cache::put(key, value, ttl_ms).map_err(cache_error)
}

pub(crate) fn cache_remove(key: &str) -> Result<(), cache::Error> {
    wit_cache::remove(key).map_err(cache_error)
}

fn kv_error(error: wit_kv::Error) -> kv::Error {
    match error {
        wit_kv::Error::Denied(why) => kv::Error::Denied(why),
        wit_kv::Error::Limit(why) => kv::Error::Limit(why),
        wit_kv::Error::Conflict(version) => kv::Error::Conflict(version),
        wit_kv::Error::Unavailable(why) => kv::Error::Unavailable(why),
    }
}

pub(crate) fn kv_get(key: &str) -> Result<Option<kv::Entry>, kv::Error> {
    let entry = wit_kv::get(key).map_err(kv_error)?;
    Ok(entry.map(|wit_kv::Entry { value, version }| kv::Entry { value, version }))
}

pub(crate) fn kv_set(key: &str, value: &[u8], expected: Option<u64>) -> Result<u64, kv::Error> {
    wit_kv::set(key, value, expected).map_err(kv_error)
}

pub(crate) fn kv_remove(key: &str, expected: Option<u64>) -> Result<(), kv::Error> {
    wit_kv::remove(key, expected).map_err(kv_error)
}

pub(crate) fn kv_keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, kv::Error> {
    wit_kv::keys(prefix, after, limit).map_err(kv_error)
}

pub(crate) fn print_line(line: &str) {
    let mut out = stdout().lock();
    // The host keeps the first so many bytes and drops the rest; a guest can do nothing about either.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

fn sign_error(error: wit_sign::Error) -> sign::Error {
    match error {
        wit_sign::Error::Denied(why) => sign::Error::Denied(why),
        wit_sign::Error::Invalid(why) => sign::Error::Invalid(why),
        wit_sign::Error::Unsupported(why) => sign::Error::Unsupported(why),
    }
}

pub(crate) fn sign(key: &Secret, algorithm: &str, message: &[u8]) -> Result<Vec<u8>, sign::Error> {
    wit_sign::sign(key.handle(), algorithm, message).map_err(sign_error)
}

pub(crate) fn jwt(key: &Secret, algorithm: &str, header: &str, claims: &str) -> Result<Secret, sign::Error> {
    wit_sign::jwt(key.handle(), algorithm, header, claims).map(Secret::of_handle).map_err(sign_error)
}
