//! Where plugin files come from, and who answers for them.
//!
//! *Flow:* an [`Origin`] is fetched, bounded in size and time → put into the folder whole, with its signature and an
//! entry in the lock ([`install`]). A file is signed by its author ([`sign_file`]) → its signature and its entry in the lock are looked at
//! whenever it is loaded ([`vet`]).
//!
//! *Invariants:* a file is judged by the bytes that are loaded, never by a second look at the disk; nothing is written
//! half; a private key is never printed.
//!
//! *Not here:* whether a file is a plugin at all, and what it may do (`sandbox`).

mod fetch;
mod install;
mod lock;
mod place;
mod registry;
mod trust;

pub use fetch::{FETCH_TIME_MAX, Fetched, Origin, RegistryLogin, SupplyError, fetch};
pub use install::{Incoming, Installed, install, remove};
pub use lock::{LOCK_FILE, Lock, LockEntry, LockError};
pub use place::write_whole;
pub use trust::{
    KeyError, KeyPair, SIGNATURE_BYTES_MAX, SIGNATURE_SUFFIX, Signature, TrustError, Vetted, sign_file, signature_path,
    vet, vet_text,
};

use std::fmt;

/// The SHA-256 of a plugin file, as it is signed and locked. Its `Display` is lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
        Self(hash)
    }

    /// Reads 64 hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        hex::decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
