//! Where a secret is to be found: never the secret itself.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A reference to a secret, as it stands in the configuration.
///
/// ```
/// use campanile::config::SecretRef;
///
/// let reference: SecretRef = "env:SLACK_TOKEN".parse().unwrap();
/// assert_eq!(reference.to_string(), "env:SLACK_TOKEN");
/// assert!("xoxb-12345".parse::<SecretRef>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// `env:NAME`: an environment variable.
    Env(String),
    /// `file:/path`: the content of a file, without one newline at its end.
    File(PathBuf),
}

/// The text is not a reference. Does not quote it: it may be the secret itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no reference to a secret: write `env:NAME` for an environment variable or `file:/path` for a file, never the \
     secret itself"
)]
pub struct ParseSecretRefError;

impl FromStr for SecretRef {
    type Err = ParseSecretRefError;

    fn from_str(text: &str) -> Result<Self, ParseSecretRefError> {
        let is_name = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
        match text.split_once(':') {
            Some(("env", name)) if is_name(name) => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            _ => Err(ParseSecretRefError),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// One entry of a channel's `secrets`: where it is, and which hosts it may go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretGrant {
    /// Where it is.
    pub from: SecretRef,
    /// Host patterns; none: every host the channel is granted.
    pub hosts: Option<Vec<String>>,
}

impl SecretGrant {
    /// As it stands in a configuration. A reference is no secret: it says where one is.
    pub(crate) fn written(&self) -> toml::Value {
        let from = toml::Value::String(self.from.to_string());
        let Some(hosts) = &self.hosts else { return from };
        let hosts = hosts.iter().cloned().map(toml::Value::String).collect();
        let pairs = [("from".to_owned(), from), ("hosts".to_owned(), toml::Value::Array(hosts))];
        toml::Value::Table(pairs.into_iter().collect())
    }
}

/// A channel's secrets by their key in its `config`.
pub type SecretGrants = BTreeMap<String, SecretGrant>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_says_where_and_nothing_else_is_one() {
        assert_eq!("env:TOKEN".parse(), Ok(SecretRef::Env("TOKEN".into())));
        assert_eq!("file:/run/secrets/token".parse(), Ok(SecretRef::File("/run/secrets/token".into())));
        for text in ["", "env:", "file:"] {
            assert!(text.parse::<SecretRef>().is_err(), "{text}");
        }
        for text in ["xoxb-1", "env:A=B", "vault:x", "ENV:A", "https://hooks.example.com/T0/x"] {
            let error = text.parse::<SecretRef>().expect_err(text).to_string();
            assert!(!error.contains(text), "{error} quotes {text}");
        }
    }
}
