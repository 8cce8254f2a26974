//! Signatures for plugins: the key stays here, the plugin gets what was made with it.
//!
//! *Flow:* [`SignGrant::check`] at load → [`SignGrant::open`] per call → [`OpenSign`]. [`standard_webhooks`] and
//! [`aws_sigv4`] sign a request that is about to be sent, when nothing changes it any more.
//!
//! *Invariants:* no message holds a byte of a key; time is a parameter; the numbers that ECDSA and RSA need at random
//! are the crypto library's own, for a key is lost with the first one that can be foreseen.
//!
//! *Not here:* where what was signed may go (`capability::secret`, `capability::http`).

mod aws;
mod grant;
mod jwt;
mod key;
mod webhooks;

use std::fmt;
use std::str::FromStr;

use http::{HeaderName, HeaderValue};

pub use aws::{AwsCredentials, FinalRequest, aws_sigv4};
pub use grant::{Asked, OpenSign, SIGNATURES_MAX, SignErrors, SignGrant, Written};
pub use jwt::jwt;
pub use webhooks::{WebhookKeyError, check_webhook_key, standard_webhooks};

use key::SigningKey;

/// The longest message that is signed, in bytes. A signature costs time that no fuel counts; this much takes about a
/// millisecond.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// A way to sign, by the name that the contract has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-1 (RFC 2104), for providers that know nothing better.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-512.
    HmacSha512,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256; the signature is `r ‖ s`, 64 bytes (RFC 7518, 3.4).
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, 3.3).
    Rs256,
}

impl Algorithm {
    /// All, in the order of the contract.
    pub const ALL: [Self; 6] =
        [Self::HmacSha1, Self::HmacSha256, Self::HmacSha512, Self::Ed25519, Self::Es256, Self::Rs256];

    /// Its word in the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha512 => "hmac-sha512",
            Self::Ed25519 => "ed25519",
            Self::Es256 => "es256",
            Self::Rs256 => "rs256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = SignError;

    fn from_str(text: &str) -> Result<Self, SignError> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text).ok_or_else(|| {
            let asked: String = text.chars().take(40).collect();
            let known = Self::ALL.map(Self::as_str).join("`, `");
            SignError::Unsupported(format!(
                "the algorithm `{}` is not known; known are `{known}`",
                asked.escape_debug()
            ))
        })
    }
}

/// Why nothing was signed. No message holds a byte of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// Not granted.
    #[error("denied: {0}")]
    Denied(String),
    /// The key does not fit, or what is to be signed cannot be.
    #[error("invalid: {0}")]
    Invalid(String),
    /// There is no such algorithm here.
    #[error("unsupported: {0}")]
    Unsupported(String),
}

/// A key as the operator wrote it, and where.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    /// Its key in the channel's `secrets`, such as `signing_key`: named in messages.
    pub name: &'a str,
    /// The value.
    pub text: &'a str,
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Key<'_> {
    /// The value is not `expected`; the sentence says what to write.
    fn unfit(&self, algorithm: &str, expected: &str) -> SignError {
        let name = self.name;
        SignError::Invalid(format!(
            "the secret `{name}` does not fit `{algorithm}`, which takes {expected}; have `secrets = {{ {name} = \
             \"file:/PATH\" }}` or `\"env:NAME\"` name such a key"
        ))
    }
}

/// Headers to put on a request, in place of those of the same name. Their values are marked as sensitive.
pub type SignedHeaders = Vec<(HeaderName, HeaderValue)>;

/// Signs `message`. HMAC takes the bytes of the key's text as they are; see [`Algorithm`] for the rest.
///
/// Keys: Ed25519 as PKCS#8 in PEM, or its 32 bytes in base64 or hex; ES256 as PKCS#8 or SEC1 in PEM; RS256 as PKCS#8 or
/// PKCS#1 in PEM, 2048 to 4096 bits.
///
/// # Errors
///
/// [`SignError::Invalid`] where the key does not fit or the message is longer than [`MESSAGE_BYTES_MAX`].
pub fn sign(algorithm: Algorithm, key: Key<'_>, message: &[u8]) -> Result<Vec<u8>, SignError> {
    check_message(message)?;
    SigningKey::parse(algorithm, key)?.sign(message)
}

fn check_message(message: &[u8]) -> Result<(), SignError> {
    match message.len() {
        length if length > MESSAGE_BYTES_MAX => Err(SignError::Invalid(format!(
            "the message has {length} bytes, the limit is {MESSAGE_BYTES_MAX}; no setting changes that"
        ))),
        _ => Ok(()),
    }
}

/// A header whose value is not shown by those who print headers.
fn sensitive(name: &'static str, value: &str) -> Result<(HeaderName, HeaderValue), SignError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| SignError::Invalid(format!("the value of header `{name}` has characters that none may have")))?;
    value.set_sensitive(true);
    Ok((HeaderName::from_static(name), value))
}

#[cfg(test)]
mod tests;
