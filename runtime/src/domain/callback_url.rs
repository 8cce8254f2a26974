//! Where one notification has what happens to it told.

use std::fmt;

use url::Url;

use super::CallbackName;

/// The name under which every `callback_url` is called.
const NAME: &str = "callback-url";

/// A URL that a caller gave with a notification, to be called when something happens to it. May hold a secret in its path or
/// its query: [`masked`](Self::masked) is what may be shown to who may see the notification, and a log gets neither.
#[derive(Clone, PartialEq, Eq)]
pub struct CallbackUrl(String);

/// Why a text is no URL to call. Quotes nothing: there may be a secret in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackUrlError {
    /// Over [`CallbackUrl::BYTES_MAX`], as written or with its special characters escaped.
    #[error("{bytes} bytes, the limit is {}", CallbackUrl::BYTES_MAX)]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// Not absolute, or not to be read at all.
    #[error("is no absolute URL: write `https://HOST/PATH`")]
    NotAUrl,
    /// Neither `https` nor `http`.
    #[error("must begin with `https://`")]
    Scheme,
    /// A user's name or a password.
    #[error("carries credentials, which are not sent: calls are signed, and a token can stand in the query")]
    Credentials,
    /// What only a browser sees.
    #[error("has a fragment, which is never sent: leave out `#` and what is behind it")]
    Fragment,
    /// Nobody can listen there.
    #[error("has port 0, where nobody listens: leave the port out, or name that of the receiver")]
    PortZero,
}

impl CallbackUrl {
    /// Bytes of one, in UTF-8: what browsers and proxies take.
    pub const BYTES_MAX: usize = 2_048;

    /// Reads one. Whether its host may be called is another question.
    ///
    /// # Errors
    ///
    /// [`CallbackUrlError`], which quotes nothing.
    pub fn new(text: &str) -> Result<Self, CallbackUrlError> {
        let fits = |text: &str| match text.len() {
            bytes if bytes > Self::BYTES_MAX => Err(CallbackUrlError::TooLong { bytes }),
            _ => Ok(()),
        };
        fits(text)?;
        let url = Url::parse(text).map_err(|_| CallbackUrlError::NotAUrl)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(CallbackUrlError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(CallbackUrlError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(CallbackUrlError::Fragment);
        }
        if url.port() == Some(0) {
            return Err(CallbackUrlError::PortZero);
        }
        fits(url.as_str())?;
        Ok(Self(url.into()))
    }

    /// All of it, to be called with.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same without what is in its query: `https://example.com/done?***`.
    #[must_use]
    pub fn masked(&self) -> String {
        match self.0.split_once('?') {
            Some((bare, _)) => format!("{bare}?***"),
            None => self.0.clone(),
        }
    }

    /// Host and port, as in `example.com:443`: who has one place has one queue.
    #[must_use]
    pub fn place(&self) -> String {
        let Ok(url) = Url::parse(&self.0) else { return String::new() };
        format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
    }
}

impl fmt::Debug for CallbackUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CallbackUrl").field(&"***").finish()
    }
}

impl CallbackName {
    /// The name under which every `callback_url` is called: `callback-url`. Nothing else has it.
    #[must_use]
    pub fn of_callback_urls() -> Self {
        Self::new(NAME).unwrap_or_else(|error| unreachable!("`{NAME}` is a name: {error}"))
    }

    /// Whether it is that name.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.as_str() == NAME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_called_is_taken_and_its_query_is_shown_to_nobody() {
        let url = CallbackUrl::new("https://Example.com/done?token=canary").expect("it can be called");
        assert_eq!(url.as_str(), "https://example.com/done?token=canary");
        assert_eq!(url.masked(), "https://example.com/done?***");
        assert_eq!(url.place(), "example.com:443");
        assert!(!format!("{url:?}").contains("canary"));
        let bare = CallbackUrl::new("http://127.0.0.1:8080").expect("it can be called");
        assert_eq!((bare.masked().as_str(), bare.place().as_str()), ("http://127.0.0.1:8080/", "127.0.0.1:8080"));
    }

    #[test]
    fn what_cannot_be_called_is_refused_without_being_quoted() {
        let long = format!("https://example.com/{}", "a".repeat(CallbackUrl::BYTES_MAX));
        // Each of these characters takes six bytes in a URL.
        let longer = format!("https://example.com/{}", "ä".repeat(CallbackUrl::BYTES_MAX / 4));
        let cases = [
            ("canary", CallbackUrlError::NotAUrl),
            ("/canary", CallbackUrlError::NotAUrl),
            ("https://", CallbackUrlError::NotAUrl),
            ("ftp://canary/", CallbackUrlError::Scheme),
            ("file:///canary", CallbackUrlError::Scheme),
            ("https://canary@example.com/", CallbackUrlError::Credentials),
            ("https://:canary@example.com/", CallbackUrlError::Credentials),
            ("https://example.com/#canary", CallbackUrlError::Fragment),
            ("https://example.com:0/canary", CallbackUrlError::PortZero),
            (long.as_str(), CallbackUrlError::TooLong { bytes: long.len() }),
        ];
        for (text, expected) in cases {
            let error = CallbackUrl::new(text).expect_err(text);
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        assert!(matches!(CallbackUrl::new(&longer), Err(CallbackUrlError::TooLong { bytes }) if bytes > longer.len()));
    }
}
