//! What an operator does with the store's file, without a runtime. Everything here blocks.

use std::path::Path;

use crate::clock::{Clock, SystemClock};
use crate::config::{Durability, StoreConfig};
use crate::domain::Actor;
use crate::store::sqlite::{self, Copied, Migrated, Restored, UpkeepError};

/// The version of the tables that this program writes.
pub const STORE_VERSION: u32 = sqlite::VERSION;

/// Copies the store's database to `to`, also while a server writes to it. The copy has in its audit log by whom it was made.
///
/// # Errors
///
/// [`UpkeepError`]; a file at `to` is as it was then.
pub fn backup_store(store: &StoreConfig, to: &Path, replace: bool, by: Actor) -> Result<Copied, UpkeepError> {
    sqlite::backup(file(store)?, to, replace, SystemClock::default().now(), by)
}

/// Puts a copy in the place of the store's database. What was there is kept beside it. By whom it
/// was restored is in its audit log.
///
/// # Errors
///
/// [`UpkeepError`], among them that a server has the store open; the database is as it was then.
pub fn restore_store(store: &StoreConfig, from: &Path, replace: bool, by: Actor) -> Result<Restored, UpkeepError> {
    sqlite::restore(from, file(store)?, replace, SystemClock::default().now(), by)
}

/// Brings the store's database up to [`STORE_VERSION`]; with `keep`, what was there stays beside it. By whom it
/// was done is in its audit log.
///
/// # Errors
///
/// [`UpkeepError`], among them that a server has the store open.
pub fn migrate_store(store: &StoreConfig, keep: bool, by: Actor) -> Result<Migrated, UpkeepError> {
    sqlite::migrate(file(store)?, keep, SystemClock::default().now(), by)
}

/// The version of the store's database; none where there is none yet. Changes nothing.
///
/// # Errors
///
/// [`UpkeepError`] where this program cannot use it.
pub fn store_version(store: &StoreConfig) -> Result<Option<u32>, UpkeepError> {
    sqlite::version(file(store)?)
}

fn file(store: &StoreConfig) -> Result<&Path, UpkeepError> {
    match store.durability {
        Durability::Full | Durability::Os => Ok(&store.path),
        Durability::Memory => Err(UpkeepError::InMemory),
    }
}
