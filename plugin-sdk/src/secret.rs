//! Secrets: the plugin holds a handle, the host puts the value in place when a request leaves.

use serde_json::{Value, json};

use crate::config::{Config, ConfigProblem};

/// Stands for a secret of the channel's config. What it holds is a handle, good for nothing outside the host; in a
/// native test it is whatever the test's config says.
///
/// ```
/// use campanile_plugin_sdk::{Config, Secret};
///
/// #[derive(Config)]
/// pub struct Chat {
///     /// The bot's token.
///     token: Secret,
///     /// Webhook of the room: a secret as a whole.
///     #[config(places = "url")]
///     url: Secret,
/// }
///
/// let secrets = Chat::secrets();
/// assert_eq!(secrets[0].key, "/token");
/// assert!(secrets[0].places.auth && secrets[1].places.url);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The handle: to be put where the secret's places allow it, as in a header's value.
    pub fn handle(&self) -> &str {
        &self.0
    }

    #[allow(dead_code, reason = "made of what the host answers")]
    pub(crate) const fn of_handle(handle: String) -> Self {
        Self(handle)
    }
}

/// The handle, so that a secret can be given wherever text is taken.
impl From<&Secret> for String {
    fn from(secret: &Secret) -> Self {
        secret.0.clone()
    }
}

impl std::fmt::Display for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Config for Secret {
    fn from_value(value: Value) -> Result<Self, ConfigProblem> {
        String::from_value(value).map(Self)
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }

    fn secrets() -> Vec<SecretKey> {
        vec![SecretKey { key: String::new(), places: Places { auth: true, ..Places::NONE } }]
    }
}

/// Where a secret may be put. What is not asked for is refused by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// In the URL, after the host; or as the whole URL.
    pub url: bool,
    /// In values of headers.
    pub headers: bool,
    /// In the text of a body.
    pub body: bool,
    /// By `bearer`, `basic`, `auth_header`, `auth_query` and the signing ways of a request.
    pub auth: bool,
    /// As a key of [`sign`](crate::sign).
    pub sign: bool,
}

impl Places {
    /// Nowhere.
    pub const NONE: Self = Self { url: false, headers: false, body: false, auth: false, sign: false };

    /// Reads a list such as `"headers, sign"`: what `#[config(places = …)]` takes.
    ///
    /// # Errors
    ///
    /// The word that is no place.
    pub fn parse(list: &str) -> Result<Self, &str> {
        let mut places = Self::NONE;
        for word in list.split(',').map(str::trim) {
            match word {
                "url" => places.url = true,
                "headers" => places.headers = true,
                "body" => places.body = true,
                "auth" => places.auth = true,
                "sign" => places.sign = true,
                other => return Err(other),
            }
        }
        Ok(places)
    }
}

/// One part of the config that is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey {
    /// A JSON Pointer into the config.
    pub key: String,
    /// Where it may be put.
    pub places: Places,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_a_list_of_words() {
        assert_eq!(Places::parse("headers, sign"), Ok(Places { headers: true, sign: true, ..Places::NONE }));
        assert_eq!(Places::parse("url,cookies"), Err("cookies"));
    }
}
