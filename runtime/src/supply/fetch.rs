//! Gets a plugin file and its signature from where the operator says.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_client::Reference;
use reqwest::StatusCode;
use reqwest::redirect::Policy;
use url::{Host, Url};

use super::registry;
use super::trust::{SIGNATURE_BYTES_MAX, SIGNATURE_SUFFIX, signature_path};
use crate::telemetry::Redacted;

/// Wall clock for one fetch, all of it: 64 MiB at 4 Mbit/s.
pub const FETCH_TIME_MAX: Duration = Duration::from_mins(2);
/// A connection that takes longer is not coming.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Release pages send from a name to a store to a cache.
const REDIRECTS_MAX: usize = 5;

/// Where a plugin file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file of this machine.
    File(PathBuf),
    /// `https`, or `http` to this machine.
    Url(Url),
    /// `oci://registry/repository` with `:tag` or `@sha256:…`.
    Registry(Reference),
}

/// Who one is in a registry.
#[derive(Clone, Debug)]
pub struct RegistryLogin {
    /// The user's name.
    pub user: String,
    /// The password, or a token.
    pub password: Redacted<String>,
}

/// What came.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The file.
    pub bytes: Vec<u8>,
    /// The text of its signature, where there is one.
    pub signature: Option<String>,
    /// Of the manifest in the registry.
    pub digest: Option<String>,
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched")
            .field("bytes", &self.bytes.len())
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupplyError {
    /// The text names no place.
    #[error("`{text}` is no place to get a plugin from: {reason}")]
    NoPlace {
        /// As it was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The operating system says no.
    #[error("`{path}` cannot be read or written")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The server answers something else than the file.
    #[error(
        "the server answered {status} for `{url}`, and not 200 with the file; check the address, or add a file that you have"
    )]
    Status {
        /// What it answered.
        status: StatusCode,
        /// Without its query.
        url: String,
    },
    /// No answer, or a broken one.
    #[error("`{place}` could not be reached: {reason}; check the address, or add a file that you have")]
    Unreachable {
        /// Host and port.
        place: String,
        /// What went wrong.
        reason: String,
    },
    /// It goes on and on.
    #[error("it has more than {limit} bytes, the limit; no setting changes that: have it built smaller")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// It takes too long.
    #[error(
        "fetching it took longer than {} s, the limit; no setting changes that: fetch it otherwise and add the file",
        .limit.as_secs()
    )]
    TooSlow {
        /// What it may take.
        limit: Duration,
    },
    /// The registry has it otherwise, or not at all.
    #[error(
        "the registry `{registry}` does not give it: {reason}; check its name, and set `CAMPANILE_REGISTRY_USER` and \
         `CAMPANILE_REGISTRY_PASSWORD` where it wants a login"
    )]
    Registry {
        /// Its host.
        registry: String,
        /// What went wrong.
        reason: String,
    },
    /// What the registry says of it is too much, something else, or nothing that can be read.
    #[error("the manifest that registry `{registry}` gives cannot be used: {reason}")]
    Manifest {
        /// Its host.
        registry: String,
        /// What is wrong.
        reason: String,
    },
    /// It is no plugin's artifact.
    #[error(
        "what the registry has is no plugin: expected one layer of `application/wasm`, found {}; push it with \
         `oras push REGISTRY/NAME:TAG FILE.wasm:application/wasm`",
        named(.types)
    )]
    NoLayer {
        /// Media types of its layers.
        types: Vec<String>,
    },
    /// It is not what was asked for.
    #[error(
        "its sha256 is {found}, and {expected} was asked for: nothing was installed; `--sha256 {found}` would take it"
    )]
    WrongHash {
        /// As asked for.
        expected: String,
        /// As found.
        found: String,
    },
}

fn named(types: &[String]) -> String {
    match types {
        [] => "none".to_owned(),
        types => types.iter().take(5).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}

impl Origin {
    /// Reads a path, a URL or an `oci://` reference.
    ///
    /// # Errors
    ///
    /// [`SupplyError::NoPlace`] says what would be one.
    pub fn parse(text: &str) -> Result<Self, SupplyError> {
        let error = |reason| SupplyError::NoPlace { text: text.chars().take(200).collect(), reason };
        if text.trim().is_empty() {
            return Err(error("name a file, a URL or `oci://REGISTRY/NAME:TAG`"));
        }
        if let Some(reference) = text.strip_prefix("oci://") {
            return registry::parse(reference).map(Self::Registry).map_err(error);
        }
        if !text.contains("://") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        let url = Url::parse(text)
            .map_err(|_| error("it is no URL; write a path, `https://…` or `oci://REGISTRY/NAME:TAG`"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SupplyError::NoPlace {
                text: String::from("https://…"),
                reason: "it holds credentials, which would end up in `plugins.lock`; download it and add the file",
            });
        }
        if !allowed(&url) {
            return Err(error("use `https://`; `http://` goes to this machine only"));
        }
        Ok(Self::Url(url))
    }
}

/// As it goes into the lock. A query may hold a key that was made for one download, and is left out.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(&plain(url)),
            Self::Registry(reference) => write!(f, "oci://{reference}"),
        }
    }
}

fn plain(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

fn allowed(url: &Url) -> bool {
    let here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && here)
}

/// Gets the file, at most `limit` bytes of it, and its signature.
///
/// # Errors
///
/// [`SupplyError`]; nothing was written.
pub async fn fetch(origin: &Origin, login: Option<&RegistryLogin>, limit: u64) -> Result<Fetched, SupplyError> {
    let fetching = async {
        match origin {
            Origin::File(path) => read(path, limit),
            Origin::Url(url) => download(url, limit).await,
            Origin::Registry(reference) => registry::pull(reference, login, limit).await,
        }
    };
    let fetched = tokio::time::timeout(FETCH_TIME_MAX, Box::pin(fetching)).await;
    fetched.map_err(|_| SupplyError::TooSlow { limit: FETCH_TIME_MAX })?
}

fn read(path: &Path, limit: u64) -> Result<Fetched, SupplyError> {
    let error = |source| SupplyError::Io { path: path.to_owned(), source };
    let bounded = |path: &Path, limit: u64| {
        // A pipe would be waited for.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = bounded(path, limit).map_err(error)?;
    if bytes.len() as u64 > limit {
        return Err(SupplyError::TooLarge { limit });
    }
    let signature = match bounded(&signature_path(path), SIGNATURE_BYTES_MAX) {
        Ok(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => None,
        Err(failed) => return Err(error(failed)),
    };
    Ok(Fetched { bytes, signature, digest: None })
}

async fn download(url: &Url, limit: u64) -> Result<Fetched, SupplyError> {
    let redirects = Policy::custom(|attempt| {
        if attempt.previous().len() > REDIRECTS_MAX {
            attempt.error(format!("more than {REDIRECTS_MAX} redirects, the limit, which no setting changes"))
        } else if allowed(attempt.url()) {
            attempt.follow()
        } else {
            attempt.error("a redirect away from https, which is never followed")
        }
    });
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirects)
        .user_agent(concat!("campanile/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| unreachable(url, &error))?;
    let bytes = get(&client, url, limit)
        .await?
        .ok_or_else(|| SupplyError::Status { status: StatusCode::NOT_FOUND, url: plain(url) })?;
    let mut beside = url.clone();
    beside.set_path(&format!("{}{SIGNATURE_SUFFIX}", url.path()));
    let signature = get(&client, &beside, SIGNATURE_BYTES_MAX).await?;
    let signature = signature.map(|text| String::from_utf8_lossy(&text).into_owned());
    Ok(Fetched { bytes, signature, digest: None })
}

/// None: it is not there.
async fn get(client: &reqwest::Client, url: &Url, limit: u64) -> Result<Option<Vec<u8>>, SupplyError> {
    let mut response = client.get(url.clone()).send().await.map_err(|error| unreachable(url, &error))?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
        status => return Err(SupplyError::Status { status, url: plain(url) }),
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(url, &error))? {
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(SupplyError::TooLarge { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// reqwest's own message would repeat the URL, query and all.
fn unreachable(url: &Url, error: &reqwest::Error) -> SupplyError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let place = format!("{}{port}", url.host_str().unwrap_or_default());
    SupplyError::Unreachable { place, reason: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_why_nothing_came_says_what_to_do() {
        let mut errors = Vec::new();
        loop {
            errors.push(match errors.last() {
                None => SupplyError::NoPlace { text: "a://b".to_owned(), reason: "use `https://`" },
                Some(SupplyError::NoPlace { .. }) => {
                    SupplyError::Io { path: "acme.wasm".into(), source: io::ErrorKind::NotFound.into() }
                }
                Some(SupplyError::Io { .. }) => SupplyError::Status {
                    status: StatusCode::FORBIDDEN,
                    url: "https://plugins.example.com/acme.wasm".to_owned(),
                },
                Some(SupplyError::Status { .. }) => SupplyError::Unreachable {
                    place: "plugins.example.com".to_owned(),
                    reason: "connection refused".to_owned(),
                },
                Some(SupplyError::Unreachable { .. }) => SupplyError::TooLarge { limit: 64 << 20 },
                Some(SupplyError::TooLarge { .. }) => SupplyError::TooSlow { limit: FETCH_TIME_MAX },
                Some(SupplyError::TooSlow { .. }) => SupplyError::Registry {
                    registry: "registry.example.com".to_owned(),
                    reason: "not authorized".to_owned(),
                },
                Some(SupplyError::Registry { .. }) => SupplyError::Manifest {
                    registry: "registry.example.com".to_owned(),
                    reason: "it is none: expected value at line 1 column 1".to_owned(),
                },
                Some(SupplyError::Manifest { .. }) => SupplyError::NoLayer { types: vec!["text/plain".to_owned()] },
                Some(SupplyError::NoLayer { .. }) => {
                    SupplyError::WrongHash { expected: "9f86…".to_owned(), found: "60303…".to_owned() }
                }
                Some(SupplyError::WrongHash { .. }) => break,
            });
        }
        let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        `a://b` is no place to get a plugin from: use `https://`
        `acme.wasm` cannot be read or written
        the server answered 403 Forbidden for `https://plugins.example.com/acme.wasm`, and not 200 with the file; check the address, or add a file that you have
        `plugins.example.com` could not be reached: connection refused; check the address, or add a file that you have
        it has more than 67108864 bytes, the limit; no setting changes that: have it built smaller
        fetching it took longer than 120 s, the limit; no setting changes that: fetch it otherwise and add the file
        the registry `registry.example.com` does not give it: not authorized; check its name, and set `CAMPANILE_REGISTRY_USER` and `CAMPANILE_REGISTRY_PASSWORD` where it wants a login
        the manifest that registry `registry.example.com` gives cannot be used: it is none: expected value at line 1 column 1
        what the registry has is no plugin: expected one layer of `application/wasm`, found `text/plain`; push it with `oras push REGISTRY/NAME:TAG FILE.wasm:application/wasm`
        its sha256 is 60303…, and 9f86… was asked for: nothing was installed; `--sha256 60303…` would take it
        ");
    }

    #[test]
    fn a_place_is_a_path_a_url_or_a_reference() {
        let told = |text: &str| Origin::parse(text).map_or_else(|error| error.to_string(), |origin| origin.to_string());
        for (text, expected) in [
            ("./acme.wasm", "./acme.wasm"),
            ("https://example.com/acme.wasm?token=1#x", "https://example.com/acme.wasm"),
            ("http://127.0.0.1:8080/acme.wasm", "http://127.0.0.1:8080/acme.wasm"),
            ("oci://registry.example.com/team/acme:1.2", "oci://registry.example.com/team/acme:1.2"),
            (
                "http://example.com/acme.wasm",
                "`http://example.com/acme.wasm` is no place to get a plugin from: use `https://`; `http://` goes to this \
                 machine only",
            ),
            (
                "https://user:canary@example.com/a",
                "`https://…` is no place to get a plugin from: it holds credentials, which would end up in `plugins.lock`; \
                 download it and add the file",
            ),
            (
                "ftp://example.com/a",
                "`ftp://example.com/a` is no place to get a plugin from: use `https://`; `http://` goes to this machine only",
            ),
            (
                "oci://acme",
                "`oci://acme` is no place to get a plugin from: write `oci://REGISTRY/NAME:TAG` or `oci://REGISTRY/NAME@sha256:…`",
            ),
            (
                "oci://registry.example.com/acme",
                "`oci://registry.example.com/acme` is no place to get a plugin from: write `oci://REGISTRY/NAME:TAG` or `oci://REGISTRY/NAME@sha256:…`",
            ),
        ] {
            assert_eq!(told(text), expected);
        }
    }
}
