//! Values that last: a cursor, a counter, an id to thread by. Each channel has its own, within a quota.
//!
//! ```
//! use campanile_plugin_sdk::{Failure, kv, testing::MockHost};
//!
//! let (sent, _) = MockHost::new().run(|| {
//!     kv::update("sent", |count: &mut u64| *count += 1)?;
//!     kv::update("sent", |count: &mut u64| *count += 1)?;
//!     kv::read::<u64>("sent")
//! });
//! assert_eq!(sent.unwrap(), Some(2));
//! ```
//!
//! *Needs* [`Need::kv`](crate::Need::kv).

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Failure, Trouble, host};

/// How often [`update`] tries again when another call was faster.
const TRIES_MAX: u32 = 16;

/// A kept value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As it was set.
    pub value: Vec<u8>,
    /// Counts the changes of the key, from 1; higher than before where it was removed.
    pub version: u64,
}

/// The value under a key.
///
/// # Errors
///
/// [`Error`]; not one that a missing value would be.
pub fn get(key: &str) -> Result<Option<Entry>, Error> {
    host::kv_get(key)
}

/// Keeps a value, whatever was there. Answers its version.
///
/// # Errors
///
/// [`Error::Limit`] for a key over 512 bytes, a value over 64 KiB and over the channel's quota.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<u64, Error> {
    host::kv_set(key, value.as_ref(), None)
}

/// Keeps a value where the key has this version, 0 for "not there". Answers its new version.
///
/// # Errors
///
/// [`Error::Conflict`] where it has another; else as [`set`].
pub fn set_if(key: &str, value: impl AsRef<[u8]>, version: u64) -> Result<u64, Error> {
    host::kv_set(key, value.as_ref(), Some(version))
}

/// Forgets a key, if it is there.
///
/// # Errors
///
/// [`Error`].
pub fn remove(key: &str) -> Result<(), Error> {
    host::kv_remove(key, None)
}

/// Forgets a key where it has this version.
///
/// # Errors
///
/// [`Error::Conflict`] where it has another.
pub fn remove_if(key: &str, version: u64) -> Result<(), Error> {
    host::kv_remove(key, Some(version))
}

/// Up to `limit` keys that begin with `prefix`, behind `after`, in the order of their bytes. An empty page is the end;
/// the host gives at most 1,000 keys a page.
///
/// # Errors
///
/// [`Error`].
pub fn keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
    host::kv_keys(prefix, after, limit)
}

/// The value under a key, as JSON.
///
/// # Errors
///
/// [`Error::Unreadable`] where it is not JSON of this shape; else as [`get`].
pub fn read<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    get(key)?.map(|entry| parse(&entry.value)).transpose()
}

/// Keeps a value as JSON, whatever was there.
///
/// # Errors
///
/// As [`set`].
pub fn write<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<u64, Error> {
    set(key, print(value)?)
}

/// Changes the value under a key, from its default where it is not there, and answers what it is now. Where another
/// call changes it at the same time `change` is run again on what that one left.
///
/// # Errors
///
/// [`Error::Conflict`] where others were faster 16 times; else as [`read`] and [`write()`].
pub fn update<T>(key: &str, mut change: impl FnMut(&mut T)) -> Result<T, Error>
where
    T: Default + Serialize + DeserializeOwned,
{
    let mut tries = 0;
    loop {
        let (mut value, version) = match get(key)? {
            Some(entry) => (parse(&entry.value)?, entry.version),
            None => (T::default(), 0),
        };
        change(&mut value);
        tries += 1;
        match set_if(key, print(&value)?, version) {
            Ok(_) => return Ok(value),
            Err(Error::Conflict(_)) if tries < TRIES_MAX => {}
            Err(error) => return Err(error),
        }
    }
}

fn parse<T: DeserializeOwned>(value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(|problem| {
        let (line, column) = (problem.line(), problem.column());
        Error::Unreadable(format!("what is kept is not the json expected, at {line}:{column}"))
    })
}

fn print<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|problem| Error::Unreadable(format!("it cannot be written as json: {problem}")))
}

/// Why a question is not answered. The sentence is the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not granted; says which line would grant it.
    Denied(String),
    /// A key, a value, the channel's quota, or what one call may ask for. Nothing happened.
    Limit(String),
    /// The key has this version, 0 for "not there". Nothing happened.
    Conflict(u64),
    /// The store does not answer: a change may have been made.
    Unavailable(String),
    /// What is kept is not what was asked for, or cannot be kept as JSON.
    Unreadable(String),
}

impl Error {
    /// Its word: `denied`, `limit`, `conflict`, `unavailable`, `unreadable`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Limit(_) => "limit",
            Self::Conflict(_) => "conflict",
            Self::Unavailable(_) => "unavailable",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(why) | Self::Limit(why) | Self::Unavailable(why) | Self::Unreadable(why) => {
                formatter.write_str(why)
            }
            Self::Conflict(0) => formatter.write_str("the key is not there"),
            Self::Conflict(version) => write!(formatter, "the key has version {version}"),
        }
    }
}

impl std::error::Error for Error {}

/// A missing grant, a limit and a value nobody can read are the channel's fault; the rest is tried again.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (code, why) = (error.name(), error.to_string());
        match error {
            Error::Denied(_) | Error::Limit(_) | Error::Unreadable(_) => Self::channel(code, why),
            Error::Conflict(_) | Error::Unavailable(_) => Self::retry(Trouble::Other, why).code(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{MockHost, NOW_MS};

    #[test]
    fn a_value_has_a_version_and_a_change_on_another_is_refused() {
        let ((), _) = MockHost::new().run(|| {
            assert_eq!(set_if("cursor", "12", 0), Ok(1));
            assert_eq!(set_if("cursor", "13", 0), Err(Error::Conflict(1)));
            assert_eq!(set("cursor", "14"), Ok(2));
            assert_eq!(get("cursor"), Ok(Some(Entry { value: b"14".to_vec(), version: 2 })));
            assert_eq!(remove_if("cursor", 1), Err(Error::Conflict(2)));
            assert_eq!(remove_if("cursor", 2), Ok(()));
            assert_eq!(set_if("cursor", "15", 0), Ok(3), "no version comes twice");
        });
    }

    #[test]
    fn keys_come_in_pages_of_a_prefix() {
        let ((), _) = MockHost::new().run(|| {
            for key in ["b/2", "b/1", "a", "c", "b/3"] {
                set(key, "").unwrap();
            }
            assert_eq!(keys("b/", None, 2).unwrap(), ["b/1", "b/2"]);
            assert_eq!(keys("b/", Some("b/2"), 2).unwrap(), ["b/3"]);
            assert_eq!(keys("b/", Some("b/3"), 2).unwrap(), [""; 0]);
        });
    }

    #[test]
    fn what_is_kept_is_there_in_the_next_call() {
        let (_, first) = MockHost::new().run(|| update("seen", |count: &mut u32| *count += 1).unwrap());
        let later = MockHost::new().keeping(first.kept).at(NOW_MS + 86_400_000);
        assert_eq!(later.run(|| update("seen", |count: &mut u32| *count += 1)).0, Ok(2));
    }

    #[test]
    fn limits_are_the_hosts() {
        let ((), _) = MockHost::new().run(|| {
            assert_eq!(set("", "x").unwrap_err().name(), "limit");
            assert_eq!(set(&"k".repeat(513), "x").unwrap_err().name(), "limit");
            assert_eq!(set("key", vec![0; (64 << 10) + 1]).unwrap_err().name(), "limit");
            set("key", "not json").unwrap();
            assert_eq!(read::<u32>("key").unwrap_err().name(), "unreadable");
        });
        let (denied, _) = MockHost::new().deny("kv").run(|| get("key").unwrap_err());
        assert!(matches!(&denied, Error::Denied(_)), "{denied}");
        assert!(matches!(Failure::from(denied).kind, crate::FailureKind::Channel));
    }
}
