//! Secrets of a channel: the plugin holds handles, the host puts the values in place at the very edge.
//!
//! *Flow:* the operator writes a reference → [`SecretText::read`] when the channel is configured → [`ChannelSecrets`]
//! makes a handle, which is all that the plugin is told → a capability looks the handle up and places the value.
//!
//! *Invariants:* a value is never printed, logged or handed to a guest; a handle is good for one channel, until it is
//! configured anew.

mod call;
mod scrub;

use std::collections::HashMap;
use std::fmt;
use std::io::Read as _;
use std::sync::{Arc, OnceLock};

use crate::clock::Entropy;
use crate::config::SecretRef;
use crate::telemetry::Redacted;

pub use call::CallSecrets;
pub(crate) use scrub::{ENCODED, Scrubber, json_escaped};

/// The longest secret, in bytes: a 16,384-bit RSA key in PEM has 13 KiB.
pub const SECRET_BYTES_MAX: usize = 32 << 10;

/// What every handle begins with.
pub const HANDLE_PREFIX: &str = "csec_";

/// The length of a handle, in bytes: the prefix and 26 letters or digits.
pub const HANDLE_LEN: usize = HANDLE_PREFIX.len() + 26;

/// The value of a secret: usable, never printed.
///
/// ```
/// use campanile::capability::secret::SecretText;
///
/// let token = SecretText::new("xoxb-12345");
/// assert_eq!(format!("{token:?}"), "[redacted]");
/// assert_eq!(token.expose(), "xoxb-12345");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Redacted<Arc<str>>);

/// Why there is no value behind a reference. Names the reference, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The environment variable is not set, or is not UTF-8.
    #[error("the environment variable `{name}` is not set; {}", self.hint())]
    NoVariable {
        /// Its name.
        name: String,
    },
    /// The file cannot be read.
    #[error("the file `{path}` cannot be read: {reason}; {}", self.hint())]
    NoFile {
        /// As it stands in the configuration.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// There is nothing in it.
    #[error("`{reference}` is empty; {}", self.hint())]
    Empty {
        /// As it stands in the configuration.
        reference: String,
    },
    /// Over 32 KiB, or not text.
    #[error(
        "`{reference}` is longer than {SECRET_BYTES_MAX} bytes, which no setting changes, or not UTF-8; {}", self.hint()
    )]
    NotASecret {
        /// As it stands in the configuration.
        reference: String,
    },
}

impl SecretError {
    /// What to do about it, as it stands at the end of the sentence.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoVariable { name } => format!("set it, or write `file:/path` instead of `env:{name}`"),
            Self::NoFile { .. } => "put the secret there and let this program read it".to_owned(),
            Self::Empty { .. } => "write the secret there, or name another place".to_owned(),
            Self::NotASecret { .. } => "a secret is a short text".to_owned(),
        }
    }
}

impl SecretText {
    /// Hides `value`.
    #[must_use]
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self(Redacted::new(value.into()))
    }

    /// The value, to be placed and not to be printed.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.reveal()
    }

    /// Reads what a reference refers to. One newline at the end is not part of it: editors and `echo` put it there.
    /// Blocks: a file may lie on a slow disk.
    ///
    /// # Errors
    ///
    /// [`SecretError`] names the reference.
    pub fn read(reference: &SecretRef) -> Result<Self, SecretError> {
        let value = match reference {
            SecretRef::Env(name) => std::env::var(name).map_err(|_| SecretError::NoVariable { name: name.clone() })?,
            SecretRef::File(path) => {
                let error = |error: std::io::Error| SecretError::NoFile {
                    path: path.display().to_string(),
                    reason: error.kind().to_string(),
                };
                let mut bytes = Vec::new();
                let file = std::fs::File::open(path).map_err(error)?;
                file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(error)?;
                String::from_utf8(bytes).map_err(|_| SecretError::NotASecret { reference: reference.to_string() })?
            }
        };
        let text = value.strip_suffix('\n').map_or(value.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if text.len() > SECRET_BYTES_MAX {
            return Err(SecretError::NotASecret { reference: reference.to_string() });
        }
        if text.is_empty() {
            return Err(SecretError::Empty { reference: reference.to_string() });
        }
        Ok(Self::new(text))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where the plugin may have a secret put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Places {
    /// In the URL, after the host; or as the whole URL.
    pub url: bool,
    /// In values of headers.
    pub headers: bool,
    /// In the text of a body.
    pub body: bool,
    /// By `auth` of a request.
    pub auth: bool,
    /// As a key of `sign`.
    pub sign: bool,
}

impl Places {
    /// Whether all of `other` is in this.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        (self.url || !other.url)
            && (self.headers || !other.headers)
            && (self.body || !other.body)
            && (self.auth || !other.auth)
            && (self.sign || !other.sign)
    }
}

/// One secret of a channel.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Its key in the channel's config, such as `token`: what messages call it.
    pub name: String,
    /// Its value.
    pub value: SecretText,
    /// Where the plugin may have it put.
    pub places: Places,
    /// The hosts it may go to; none: every host the channel is granted.
    pub hosts: Option<Arc<SecretHosts>>,
}

/// The hosts that a secret may go to, as the operator wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretHosts {
    /// Where: a key in the channel's `secrets`. What was made of a secret goes by its key.
    pub key: String,
    /// Host patterns.
    pub patterns: Vec<String>,
}

/// What one channel's plugin holds handles of. Made when the channel is configured.
#[derive(Clone, Default)]
pub struct ChannelSecrets {
    by_handle: HashMap<String, Secret>,
    /// Made when the first reply comes in.
    scrubber: OnceLock<Option<Arc<Scrubber>>>,
}

impl fmt::Debug for ChannelSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelSecrets").field("by_handle", &self.by_handle).finish_non_exhaustive()
    }
}

impl ChannelSecrets {
    /// No secrets.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Takes a secret in and answers its handle.
    pub fn add(&mut self, secret: Secret, entropy: &Entropy) -> String {
        let handle = new_handle(entropy);
        self.by_handle.insert(handle.clone(), secret);
        self.scrubber = OnceLock::new();
        handle
    }

    /// What a handle stands for; none: it is not this channel's.
    #[must_use]
    pub fn get(&self, handle: &str) -> Option<&Secret> {
        self.by_handle.get(handle)
    }

    /// Every secret, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Secret> {
        self.by_handle.values()
    }

    fn scrubber(&self) -> Option<&Arc<Scrubber>> {
        let make = || Scrubber::new(self.by_handle.values().map(|secret| secret.value.expose())).map(Arc::new);
        self.scrubber.get_or_init(make).as_ref()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_handle.is_empty()
    }
}

/// A handle nobody has seen: `csec_` and 26 letters or digits, 130 bits.
#[must_use]
pub fn new_handle(entropy: &Entropy) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut handle = String::with_capacity(HANDLE_LEN);
    handle.push_str(HANDLE_PREFIX);
    let letters = entropy.bytes::<26>();
    handle.extend(letters.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])));
    handle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_has_its_shape_and_is_never_the_same() {
        let entropy = Entropy::fixed(7);
        let (one, two) = (new_handle(&entropy), new_handle(&entropy));
        assert_ne!(one, two);
        for handle in [one, two] {
            assert_eq!(handle.len(), HANDLE_LEN);
            let rest = handle.strip_prefix(HANDLE_PREFIX).expect("the prefix");
            assert!(rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{handle}");
        }
    }

    #[test]
    fn a_value_is_found_by_its_handle_and_printed_by_nobody() {
        let mut secrets = ChannelSecrets::none();
        let secret = Secret {
            name: "token".into(),
            value: SecretText::new("xoxb-canary"),
            places: Places { auth: true, ..Places::default() },
            hosts: None,
        };
        let handle = secrets.add(secret, &Entropy::fixed(1));
        assert_eq!(secrets.get(&handle).expect("it was added").value.expose(), "xoxb-canary");
        assert!(secrets.get("csec_aaaaaaaaaaaaaaaaaaaaaaaaaa").is_none());
        assert!(!format!("{secrets:?}").contains("canary"));
    }

    #[test]
    fn a_file_is_read_without_its_last_newline() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("token");
        let read = |content: &[u8]| {
            std::fs::write(&path, content).expect("writes");
            SecretText::read(&SecretRef::File(path.clone()))
        };
        assert_eq!(read(b"s3cret\n").expect("a secret").expose(), "s3cret");
        assert_eq!(read(b" two words \r\n").expect("a secret").expose(), " two words ");
        assert!(matches!(read(b"\n"), Err(SecretError::Empty { .. })));
        assert!(matches!(read(b"\xff"), Err(SecretError::NotASecret { .. })));
        assert!(matches!(read(&vec![b'x'; SECRET_BYTES_MAX + 2]), Err(SecretError::NotASecret { .. })));
        let missing = SecretText::read(&SecretRef::File(dir.path().join("none")));
        assert!(missing.expect_err("no file").to_string().contains("cannot be read"));
    }

    #[test]
    fn every_reason_why_a_secret_cannot_be_had_says_what_to_do() {
        let reference = || "file:/run/token".to_owned();
        let mut errors = Vec::new();
        loop {
            errors.push(match errors.last() {
                None => SecretError::NoVariable { name: "TOKEN".to_owned() },
                Some(SecretError::NoVariable { .. }) => {
                    SecretError::NoFile { path: "/run/token".to_owned(), reason: "entity not found".to_owned() }
                }
                Some(SecretError::NoFile { .. }) => SecretError::Empty { reference: reference() },
                Some(SecretError::Empty { .. }) => SecretError::NotASecret { reference: reference() },
                Some(SecretError::NotASecret { .. }) => break,
            });
        }
        let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        the environment variable `TOKEN` is not set; set it, or write `file:/path` instead of `env:TOKEN`
        the file `/run/token` cannot be read: entity not found; put the secret there and let this program read it
        `file:/run/token` is empty; write the secret there, or name another place
        `file:/run/token` is longer than 32768 bytes, which no setting changes, or not UTF-8; a secret is a short text
        ");
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let missing = SecretText::read(&SecretRef::Env("CAMPANILE_TEST_NEVER_SET".into()));
        assert!(missing.expect_err("not set").to_string().contains("`CAMPANILE_TEST_NEVER_SET` is not set"));
    }
}
