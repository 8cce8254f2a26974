//! Names that operators and plugin authors choose.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing there.
    #[error("a {0} name is empty")]
    Empty(&'static str),
    /// Over the limit of 64 characters.
    #[error("a {kind} name has {length} characters, the limit is 64")]
    TooLong {
        /// What was to be named.
        kind: &'static str,
        /// Characters found.
        length: usize,
    },
    /// A character outside the alphabet.
    #[error(
        "`{name}` is not a {kind} name: it starts with a lower-case letter and goes on in `a-z`, `0-9`, `-`{}",
        .extra.chars().map(|c| format!(", `{c}`")).collect::<String>()
    )]
    Alphabet {
        /// What was to be named.
        kind: &'static str,
        /// The text, at most 64 characters.
        name: String,
        /// What this kind of name may have besides.
        extra: &'static str,
    },
}

/// The longest name, in bytes. Names stand in metric labels, file names and URLs.
const LENGTH_MAX: usize = 64;

fn check(kind: &'static str, text: &str, extra: &'static str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty(kind));
    }
    let length = text.chars().count();
    if length > LENGTH_MAX {
        return Err(NameError::TooLong { kind, length });
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || extra.contains(c);
    if text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(allowed) {
        Ok(())
    } else {
        Err(NameError::Alphabet { kind, name: text.to_owned(), extra })
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $extra:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks and takes a name.
            ///
            /// # Errors
            ///
            /// [`NameError`] where `text` is empty, longer than 64 characters or has others than its alphabet.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check($kind, text, $extra).map(|()| Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name!(
    /// Names a plugin, as its descriptor does: `[a-z][a-z0-9-]{0,63}`.
    ///
    /// ```
    /// use campanile::domain::PluginName;
    ///
    /// assert_eq!(PluginName::new("slack")?.as_str(), "slack");
    /// assert!(PluginName::new("Slack").is_err());
    /// # Ok::<(), campanile::domain::NameError>(())
    /// ```
    PluginName, "plugin", ""
);
name!(
    /// Names a configured channel, such as `ops-slack`: `[a-z][a-z0-9_-]{0,63}`.
    ///
    /// ```
    /// use campanile::domain::ChannelName;
    ///
    /// assert!(ChannelName::new("ops_slack").is_ok());
    /// assert!(ChannelName::new("").is_err());
    /// ```
    ChannelName, "channel", "_"
);
name!(
    /// Names a template: `[a-z][a-z0-9_.-]{0,63}`.
    ///
    /// ```
    /// use campanile::domain::TemplateName;
    ///
    /// assert!(TemplateName::new("welcome.v2").is_ok());
    /// assert!(TemplateName::new("../etc/passwd").is_err());
    /// ```
    TemplateName, "template", "_."
);
name!(
    /// Names a callback: `[a-z][a-z0-9_.-]{0,63}`. What is remembered of it, it finds again by this name.
    ///
    /// ```
    /// use campanile::domain::CallbackName;
    ///
    /// assert!(CallbackName::new("billing.sent").is_ok());
    /// assert!(CallbackName::new("billing sent").is_err());
    /// ```
    CallbackName, "callback", "_."
);
