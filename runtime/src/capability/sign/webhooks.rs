//! Standard Webhooks 1.0: the receiver can tell who sent a request, and when.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::{decode_base64, ed25519_of_bytes};
use super::{Key, SignError, SignedHeaders, sensitive};
use crate::domain::Timestamp;

/// Keys of one request: the one in use and, while keys are changed, the one before or after it. More are a mistake.
const KEYS_MAX: usize = 8;
/// The longest id, in bytes: it goes into a header.
const ID_BYTES_MAX: usize = 255;
/// The shortest symmetric key, in bytes: the specification's 192 bits.
const SYMMETRIC_BYTES_MIN: usize = 24;

/// The longest symmetric key, in bytes: the specification's 512 bits.
const SYMMETRIC_BYTES_MAX: usize = 64;

/// What is wrong with a key for Standard Webhooks. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookKeyError {
    /// It says neither that it is symmetric nor that it is not.
    #[error("starts with neither `whsec_` nor `whsk_`")]
    NoPrefix,
    /// What follows `whsec_` or `whsk_` is something else.
    #[error("has something other than base64 after its prefix")]
    NotBase64,
    /// A symmetric key that can be guessed.
    #[error("is too short: {bytes} bytes, the least is {SYMMETRIC_BYTES_MIN}")]
    TooShort {
        /// Found after `whsec_`.
        bytes: usize,
    },
    /// A symmetric key beyond what receivers take.
    #[error("is too long: {bytes} bytes, the most is {SYMMETRIC_BYTES_MAX}")]
    TooLong {
        /// Found after `whsec_`.
        bytes: usize,
    },
    /// No Ed25519 key: neither a seed of 32 bytes, nor 64 with its own public key behind it.
    #[error("is no Ed25519 key: 32 bytes of its seed, or 64 with the public key after them")]
    NotEd25519,
}

/// Judges a key before anything is signed with it: `whsec_` and base64 of 24 to 64 bytes, or `whsk_` and base64 of an
/// Ed25519 key.
///
/// # Errors
///
/// [`WebhookKeyError`] says what it is not.
pub fn check_webhook_key(text: &str) -> Result<(), WebhookKeyError> {
    let text = text.trim();
    if let Some(secret) = text.strip_prefix("whsec_") {
        return match decode_base64(secret).ok_or(WebhookKeyError::NotBase64)?.len() {
            bytes if bytes < SYMMETRIC_BYTES_MIN => Err(WebhookKeyError::TooShort { bytes }),
            bytes if bytes > SYMMETRIC_BYTES_MAX => Err(WebhookKeyError::TooLong { bytes }),
            _ => Ok(()),
        };
    }
    let secret = text.strip_prefix("whsk_").ok_or(WebhookKeyError::NoPrefix)?;
    let bytes = decode_base64(secret).ok_or(WebhookKeyError::NotBase64)?;
    let pair = Some(bytes).filter(|bytes| matches!(bytes.len(), 32 | 64)).and_then(|bytes| ed25519_of_bytes(&bytes));
    pair.map(drop).ok_or(WebhookKeyError::NotEd25519)
}

/// The headers `webhook-id`, `webhook-timestamp` and `webhook-signature` over `body`, with one signature for each key:
/// `v1` for a key that starts with `whsec_` (base64 of at least 24 bytes), `v1a` for one that starts with `whsk_` (base64
/// of an Ed25519 key: 32 bytes, or 64 with the public key after them).
///
/// # Errors
///
/// [`SignError::Invalid`] where a key is neither, there are none or over eight, or the id is empty, longer than 255
/// bytes, or has a full stop or anything but visible ASCII in it.
pub fn standard_webhooks(id: &str, now: Timestamp, body: &[u8], keys: &[Key<'_>]) -> Result<SignedHeaders, SignError> {
    // The full stop divides what is signed: with one in the id, one signature would fit two messages.
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.') {
        let message =
            format!("the webhook's id is not 1 to {ID_BYTES_MAX} visible ASCII characters without a full stop");
        return Err(SignError::Invalid(message));
    }
    if keys.is_empty() || keys.len() > KEYS_MAX {
        return Err(SignError::Invalid(format!(
            "{} keys sign a webhook, expected 1 to {KEYS_MAX}; no setting changes that",
            keys.len()
        )));
    }
    let seconds = (now.as_millis() / 1_000).to_string();
    let signatures =
        keys.iter().map(|key| signature(*key, id, &seconds, body)).collect::<Result<Vec<_>, _>>()?.join(" ");
    Ok(vec![
        sensitive("webhook-id", id)?,
        sensitive("webhook-timestamp", &seconds)?,
        sensitive("webhook-signature", &signatures)?,
    ])
}

fn signature(key: Key<'_>, id: &str, seconds: &str, body: &[u8]) -> Result<String, SignError> {
    let text = key.text.trim();
    let before = [id.as_bytes(), b".", seconds.as_bytes(), b"."].concat();
    if let Some(secret) = text.strip_prefix("whsec_") {
        let bytes = decode_base64(secret).filter(|bytes| bytes.len() >= SYMMETRIC_BYTES_MIN);
        let bytes = bytes.ok_or_else(|| key.unfit("standard-webhooks", "`whsec_` and base64 of at least 24 bytes"))?;
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &bytes));
        context.update(&before);
        context.update(body);
        return Ok(format!("v1,{}", STANDARD.encode(context.sign())));
    }
    if let Some(secret) = text.strip_prefix("whsk_") {
        let pair = decode_base64(secret).filter(|bytes| matches!(bytes.len(), 32 | 64));
        let pair = pair.and_then(|bytes| ed25519_of_bytes(&bytes));
        let pair = pair.ok_or_else(|| key.unfit("standard-webhooks", "`whsk_` and base64 of an Ed25519 key"))?;
        return Ok(format!("v1a,{}", STANDARD.encode(pair.sign(&[&before, body].concat()))));
    }
    Err(key.unfit("standard-webhooks", "a key that starts with `whsec_` or `whsk_`"))
}
