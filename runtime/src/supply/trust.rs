//! Signatures of plugin files: one line in a file beside each.
//!
//! The line is `campanile-sig-v1 KEY SIGNATURE`: the signer's public key as it stands in `trusted_keys`, and in base64 an
//! Ed25519 signature of `campanile plugin signature v1`, a newline, and the file's SHA-256. The words before the hash keep
//! a signature from counting anywhere else.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::lock::Lock;
use super::{Sha256, write_whole};
use crate::config::{PluginsConfig, Trust, TrustedKey};

/// What a signature's file name ends with, after the whole name of what it signs.
pub const SIGNATURE_SUFFIX: &str = ".sig";

/// The longest signature file, in bytes: the line has 152.
pub const SIGNATURE_BYTES_MAX: u64 = 1 << 10;

/// The longest key file, in bytes.
const KEY_BYTES_MAX: u64 = 16 << 10;

const MAGIC: &str = "campanile-sig-v1";
const DOMAIN: &[u8] = b"campanile plugin signature v1\n";

fn signed(sha256: Sha256) -> Vec<u8> {
    [DOMAIN, &sha256.0].concat()
}

/// Somebody's signature of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Who signed.
    pub key: TrustedKey,
    bytes: [u8; 64],
}

impl Signature {
    /// Whether it is of this file.
    #[must_use]
    pub fn holds(&self, sha256: Sha256) -> bool {
        UnparsedPublicKey::new(&ED25519, self.key.0).verify(&signed(sha256), &self.bytes).is_ok()
    }
}

impl FromStr for Signature {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        let words: Vec<_> = text.split_whitespace().collect();
        let [MAGIC, key, signature] = words.as_slice() else { return Err(TrustError::Malformed) };
        let bytes = STANDARD.decode(signature).ok().and_then(|bytes| bytes.try_into().ok());
        let bytes = bytes.ok_or(TrustError::Malformed)?;
        Ok(Self { key: key.parse().map_err(|_| TrustError::Malformed)?, bytes })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MAGIC} {} {}", self.key, STANDARD.encode(self.bytes))
    }
}

/// Why a file is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// There is no signature.
    #[error(
        "it is not signed: there is no `{file}{SIGNATURE_SUFFIX}`; sign it with `campanile plugins sign {file} --key \
         KEYFILE`, or set `trust = \"off\"` in `[plugins]`"
    )]
    Unsigned {
        /// The plugin file's name.
        file: String,
    },
    /// What stands beside the file is no signature.
    #[error("its signature is none: expected one line `{MAGIC} ed25519:KEY SIGNATURE`; have it signed again")]
    Malformed,
    /// The signature is there and cannot be read.
    #[error("its signature cannot be read: {reason}; let this program read the file, or have it signed again")]
    Unreadable {
        /// What the system says.
        reason: String,
    },
    /// The signer is not one of those who count.
    #[error(
        "it is signed with `{key}`, which is not trusted; if you know whose key that is, add it: `trusted_keys = \
         [\"{key}\"]` in `[plugins]`"
    )]
    Stranger {
        /// Who signed.
        key: TrustedKey,
    },
    /// The signature is a trusted one of something else.
    #[error(
        "its signature with `{key}` is of another file: get both again from where they came, or have it signed again"
    )]
    Wrong {
        /// Who signed.
        key: TrustedKey,
    },
    /// Another file was taken in under this name, or the lock cannot be understood.
    #[error("{0}")]
    Lock(String),
}

/// What there is to say about a file that may be loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vetted {
    /// Whose trusted signature it bears.
    pub signed_by: Option<TrustedKey>,
    /// What speaks against it: for people to see.
    pub warnings: Vec<String>,
}

/// Where the signature of a file stands.
#[must_use]
pub fn signature_path(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(SIGNATURE_SUFFIX);
    path.into()
}

/// Judges a file by the signature beside it and by the lock of its folder. `sha256` is of the bytes that are about to be
/// loaded. A file outside the operator's own folder is the program's: nothing is asked of it. Blocks.
///
/// # Errors
///
/// [`TrustError`], where `trust` is `require`; otherwise the same is a warning.
pub fn vet(plugins: &PluginsConfig, file: &Path, sha256: Sha256) -> Result<Vetted, TrustError> {
    let mut vetted = Vetted::default();
    if file.parent() != Some(plugins.dir.as_path()) {
        return Ok(vetted);
    }
    let locked = Lock::read(&plugins.dir).map(|lock| lock.mismatch(file, sha256));
    let against = locked.unwrap_or_else(|error| Some(error.to_string())).map(TrustError::Lock);
    let judged = match plugins.trust {
        Trust::Off => None,
        Trust::Warn | Trust::Require => Some(judge(&plugins.trusted_keys, file, sha256)),
    };
    let (signed_by, unsigned) = match judged {
        Some(Ok(key)) => (Some(key), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    vetted.signed_by = signed_by;
    for error in against.into_iter().chain(unsigned) {
        match plugins.trust {
            Trust::Require => return Err(error),
            Trust::Off | Trust::Warn => vetted.warnings.push(error.to_string()),
        }
    }
    Ok(vetted)
}

/// Judges a file that is about to be put into the operator's own folder by the text of its signature.
///
/// # Errors
///
/// As [`vet`].
pub fn vet_text(
    plugins: &PluginsConfig,
    name: &str,
    signature: Option<&str>,
    sha256: Sha256,
) -> Result<Vetted, TrustError> {
    let judged = match (plugins.trust, signature) {
        (Trust::Off, _) => return Ok(Vetted::default()),
        (_, Some(text)) => judge_signature(&plugins.trusted_keys, text, sha256),
        (_, None) => Err(TrustError::Unsigned { file: name.to_owned() }),
    };
    match judged {
        Ok(key) => Ok(Vetted { signed_by: Some(key), warnings: Vec::new() }),
        Err(error) if plugins.trust == Trust::Require => Err(error),
        Err(error) => Ok(Vetted { signed_by: None, warnings: vec![error.to_string()] }),
    }
}

fn judge(trusted: &[TrustedKey], file: &Path, sha256: Sha256) -> Result<TrustedKey, TrustError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = match read_bounded(&signature_path(file), SIGNATURE_BYTES_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(TrustError::Unsigned { file: name }),
        Err(error) => return Err(TrustError::Unreadable { reason: error.to_string() }),
    };
    judge_signature(trusted, &text, sha256)
}

fn judge_signature(trusted: &[TrustedKey], text: &str, sha256: Sha256) -> Result<TrustedKey, TrustError> {
    let signature: Signature = text.parse()?;
    let key = signature.key;
    if !trusted.contains(&key) {
        return Err(TrustError::Stranger { key });
    }
    if signature.holds(sha256) { Ok(key) } else { Err(TrustError::Wrong { key }) }
}

fn read_bounded(path: &Path, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

/// Why there is no key, or no signature made with it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A key file is not written over: what was signed with it could not be signed again.
    #[error("there is a file `{path}` already; name another")]
    Exists {
        /// As it was given.
        path: PathBuf,
    },
    /// The operating system says no.
    #[error("`{path}` cannot be read or written")]
    Io {
        /// As it was given.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no private key.
    #[error("`{path}` is no Ed25519 key as PKCS#8 in PEM; `campanile plugins keygen FILE` makes one")]
    NotAKey {
        /// As it was given.
        path: PathBuf,
    },
    /// The crypto library made no key.
    #[error("no key could be made")]
    NoRandomness,
}

/// A key to sign plugin files with.
pub struct KeyPair(Ed25519KeyPair);

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public())
    }
}

impl KeyPair {
    /// Makes a key and writes it, readable by nobody else. Blocks.
    ///
    /// # Errors
    ///
    /// [`KeyError`] where the file is there already or cannot be written.
    pub fn generate(path: &Path) -> Result<Self, KeyError> {
        if path.exists() {
            return Err(KeyError::Exists { path: path.to_owned() });
        }
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::NoRandomness)?;
        let encoded = STANDARD.encode(document.as_ref());
        let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        write_whole(path, pem.as_bytes(), 0o600).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
        Ed25519KeyPair::from_pkcs8(document.as_ref()).map(Self).map_err(|_| KeyError::NoRandomness)
    }

    /// Reads a key. Blocks.
    ///
    /// # Errors
    ///
    /// [`KeyError`] where it is none.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text =
            read_bounded(path, KEY_BYTES_MAX).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).ok();
        let pair = der.and_then(|der| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).ok());
        pair.map(Self).ok_or_else(|| KeyError::NotAKey { path: path.to_owned() })
    }

    /// What others have to trust.
    #[must_use]
    pub fn public(&self) -> TrustedKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        TrustedKey(bytes)
    }

    /// Signs a file's hash.
    #[must_use]
    pub fn sign(&self, sha256: Sha256) -> Signature {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.0.sign(&signed(sha256)).as_ref());
        Signature { key: self.public(), bytes }
    }
}

/// Signs a file and writes the signature beside it; answers where. `sha256` is the file's. Blocks.
///
/// # Errors
///
/// [`KeyError::Io`].
pub fn sign_file(file: &Path, sha256: Sha256, key: &KeyPair) -> Result<PathBuf, KeyError> {
    let path = signature_path(file);
    let line = format!("{}\n", key.sign(sha256));
    write_whole(&path, line.as_bytes(), 0o644).map_err(|source| KeyError::Io { path: path.clone(), source })?;
    Ok(path)
}

#[cfg(test)]
mod tests;
