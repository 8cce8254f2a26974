//! Takes plugins in and out of the operator's folder, without a running server: one that watches the folder follows.

use std::path::{Path, PathBuf};

use super::inspection::{InspectionError, inspect_content};
use crate::clock::{Clock, SystemClock};
use crate::config::{PluginsConfig, TrustedKey};
use crate::domain::PluginName;
use crate::sandbox::{FILE_BYTES_MAX, InspectError, inspect_file};
use crate::supply::{
    self, Incoming, KeyError, KeyPair, LockEntry, LockError, Origin, RegistryLogin, Sha256, SupplyError, TrustError,
};

/// What is to be taken in.
#[derive(Clone, Debug)]
pub struct AddRequest {
    /// A path, a URL or `oci://…`.
    pub source: String,
    /// The file's hash, where it is known: 64 hex digits.
    pub sha256: Option<String>,
    /// For registries that ask who one is.
    pub login: Option<RegistryLogin>,
    /// As in [`RuntimeBuilder::compiler`](super::RuntimeBuilder::compiler): without one, the plugin is compiled in a
    /// thread, which nothing bounds.
    pub compiler: Option<PathBuf>,
}

/// What was taken in.
#[derive(Clone, Debug)]
pub struct Added {
    /// Where it stands.
    pub file: PathBuf,
    /// Its entry in the lock.
    pub entry: LockEntry,
    /// The very same was there already.
    pub already: bool,
    /// Its signature is trusted.
    pub trusted: bool,
    /// What speaks against it, though it was taken in.
    pub warnings: Vec<String>,
}

/// Why nothing was taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// It did not come.
    #[error(transparent)]
    Supply(#[from] SupplyError),
    /// It is no plugin for this program.
    #[error(transparent)]
    Inspection(#[from] InspectionError),
    /// Nobody trusted answers for it.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The folder, or its lock.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// Fetches a plugin, looks into it as the loader would, and puts it into the folder.
///
/// # Errors
///
/// [`AddError`]; the folder is as it was.
pub async fn add_plugin(plugins: &PluginsConfig, request: &AddRequest) -> Result<Added, AddError> {
    let origin = Origin::parse(&request.source)?;
    let fetched = supply::fetch(&origin, request.login.as_ref(), FILE_BYTES_MAX).await?;
    let sha256 = Sha256::of(&fetched.bytes);
    if let Some(expected) = &request.sha256
        && Sha256::parse(expected) != Some(sha256)
    {
        return Err(SupplyError::WrongHash { expected: expected.clone(), found: sha256.to_string() }.into());
    }
    let inspection = inspect_content(fetched.bytes.clone(), request.compiler.as_deref()).await?;
    let described = &inspection.descriptor.version;
    let signature = fetched.signature.as_deref();
    let vetted = supply::vet_text(plugins, &format!("{}.wasm", described.name), signature, sha256)?;
    let installed = supply::install(
        &plugins.dir,
        &Incoming {
            bytes: &fetched.bytes,
            signature,
            name: &described.name,
            version: &described.version.to_string(),
            source: &origin.to_string(),
            digest: fetched.digest.as_deref(),
            added_at: &SystemClock::default().now().to_string(),
        },
    )?;
    let supply::Installed { file, entry, already } = installed;
    Ok(Added { file, entry, already, trusted: vetted.signed_by.is_some(), warnings: vetted.warnings })
}

/// Removes a plugin that was added, or whose file bears its name; says whether there was one.
///
/// # Errors
///
/// [`LockError`] where the folder cannot be written.
pub fn remove_plugin(plugins: &PluginsConfig, name: &PluginName) -> Result<bool, LockError> {
    supply::remove(&plugins.dir, name)
}

/// Makes a key to sign plugins with and answers what others have to trust.
///
/// # Errors
///
/// [`KeyError`] where the file is there already or cannot be written.
pub fn make_key(path: &Path) -> Result<TrustedKey, KeyError> {
    KeyPair::generate(path).map(|key| key.public())
}

/// Why a file was not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignFileError {
    /// It is no plugin.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// The key, or the signature's file.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Signs a plugin file; answers where the signature stands and whose it is. Blocks.
///
/// # Errors
///
/// [`SignFileError`]: what is no plugin is not signed.
pub fn sign_plugin(file: &Path, key: &Path) -> Result<(PathBuf, TrustedKey), SignFileError> {
    let key = KeyPair::read(key)?;
    let inspected = inspect_file(file)?;
    let path = supply::sign_file(file, Sha256(inspected.sha256.0), &key)?;
    Ok((path, key.public()))
}
