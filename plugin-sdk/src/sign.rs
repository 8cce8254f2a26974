//! Signatures by keys that stay in the host: the plugin holds a handle and gets what was made with it.
//!
//! ```
//! use campanile_plugin_sdk::{Config, Secret, sign, testing::MockHost};
//!
//! #[derive(Config)]
//! pub struct Shop {
//!     /// Signs each request.
//!     #[config(places = "sign")]
//!     signing_key: Secret,
//! }
//!
//! let shop = Shop::from_json(r#"{"signing_key": "a-test-key"}"#).unwrap();
//! let (signature, record) = MockHost::new().run(|| sign::hmac_sha256(&shop.signing_key, b"body"));
//! assert!(signature.is_ok());
//! assert_eq!(record.signed[0].message, b"body");
//! ```
//!
//! *Needs* [`Need::sign`](crate::Need::sign) with the algorithms, and a secret whose places include `sign`. A call may
//! sign 16 times, each time up to 1 MiB.

use std::fmt;

use crate::{Failure, Secret, Value, host};

/// HMAC with SHA-1, for providers that know nothing better: 20 bytes.
///
/// # Errors
///
/// [`Error`].
pub fn hmac_sha1(key: &Secret, message: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
    host::sign(key, "hmac-sha1", message.as_ref())
}

/// HMAC with SHA-256: 32 bytes.
///
/// # Errors
///
/// [`Error`].
pub fn hmac_sha256(key: &Secret, message: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
    host::sign(key, "hmac-sha256", message.as_ref())
}

/// HMAC with SHA-512: 64 bytes.
///
/// # Errors
///
/// [`Error`].
pub fn hmac_sha512(key: &Secret, message: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
    host::sign(key, "hmac-sha512", message.as_ref())
}

/// Ed25519: 64 bytes.
///
/// # Errors
///
/// [`Error`].
pub fn ed25519(key: &Secret, message: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
    host::sign(key, "ed25519", message.as_ref())
}

/// ECDSA on P-256 with SHA-256: the two numbers, 64 bytes.
///
/// # Errors
///
/// [`Error`].
pub fn es256(key: &Secret, message: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
    host::sign(key, "es256", message.as_ref())
}

/// RSA, PKCS#1 v1.5, with SHA-256: as long as the key, 256 to 512 bytes.
///
/// # Errors
///
/// [`Error`].
pub fn rs256(key: &Secret, message: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
    host::sign(key, "rs256", message.as_ref())
}

/// A token signed with ES256. `header` and `claims` are objects; the host sets `alg`. What comes back is a handle: it
/// can be put wherever a credential stands, during this call, for the hosts of the key.
///
/// # Errors
///
/// [`Error`].
pub fn jwt_es256(key: &Secret, header: &Value, claims: &Value) -> Result<Secret, Error> {
    host::jwt(key, "es256", &header.to_string(), &claims.to_string())
}

/// The same, signed with RS256.
///
/// # Errors
///
/// [`Error`].
pub fn jwt_rs256(key: &Secret, header: &Value, claims: &Value) -> Result<Secret, Error> {
    host::jwt(key, "rs256", &header.to_string(), &claims.to_string())
}

/// Why nothing was signed. The sentence is the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not granted; says what would grant it.
    Denied(String),
    /// The key, the header or the claims are not what the algorithm takes.
    Invalid(String),
    /// The host does not know the algorithm.
    Unsupported(String),
}

impl Error {
    /// Its word: `denied`, `invalid`, `unsupported`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Invalid(_) => "invalid",
            Self::Unsupported(_) => "unsupported",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Denied(why) | Self::Invalid(why) | Self::Unsupported(why)) = self;
        formatter.write_str(why)
    }
}

impl std::error::Error for Error {}

/// All of them are the channel's fault: its key or its plugin is wrong, whatever the message.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::channel(error.name(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{json, testing::MockHost};

    #[test]
    fn a_test_sees_what_was_signed_and_gets_the_same_each_time() {
        let key = Secret::of_handle("k".into());
        let run = || MockHost::new().run(|| (ed25519(&key, "a"), jwt_es256(&key, &json!({}), &json!({"iss": "x"}))));
        let ((signature, token), record) = run();
        assert_eq!((signature.clone(), token.clone()), run().0);
        assert_eq!(signature.unwrap(), b"ed25519 by k");
        assert_eq!(token.unwrap().handle(), "es256 by k");
        assert_eq!(record.signed[0].algorithm, "ed25519");
        assert_eq!(record.signed[1].message, br#"{}.{"iss":"x"}"#);
    }

    #[test]
    fn what_a_test_does_not_grant_is_denied_and_blames_the_channel() {
        let key = Secret::of_handle("k".into());
        let (error, _) = MockHost::new().deny("sign").run(|| rs256(&key, "a").unwrap_err());
        assert_eq!(error.name(), "denied");
        assert!(matches!(Failure::from(error).kind, crate::FailureKind::Channel));
    }
}
