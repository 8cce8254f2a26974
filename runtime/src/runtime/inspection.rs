//! What a plugin file is, without a runtime: for people who are about to use it.

use std::path::Path;
use std::sync::Arc;

use super::ChannelStatus;
use super::builder::{Memory, open_registry, open_sandbox};
use crate::clock::{Clock, Entropy, SystemClock};
use crate::config::{CallLimits, Config};
use crate::domain::ChannelName;
use crate::sandbox::{
    ConsoleSink, Descriptor, FileHash, InspectError, Inspected, Plugin, PrepareError, Sandbox, SandboxError,
    SandboxSettings, inspect, inspect_file, stack_bytes,
};
use crate::telemetry::Metrics;

/// What a plugin file says of itself, and what can be seen of it.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// In bytes.
    pub size: u64,
    /// Of the file.
    pub sha256: FileHash,
    /// The newest version of the contract that it names.
    pub contract: semver::Version,
    /// Names of what it imports, as written.
    pub imports: Vec<String>,
    /// Names of what it exports, as written.
    pub exports: Vec<String>,
    /// Its stack, where its toolchain shows how large it is.
    pub stack_bytes: Option<u64>,
    /// What it says of itself.
    pub descriptor: Arc<Descriptor>,
}

/// Why there is nothing to say.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectionError {
    /// It is no plugin for this program, as can be seen by looking at it.
    #[error(transparent)]
    File(#[from] InspectError),
    /// It cannot be run, or does not describe itself.
    #[error(transparent)]
    Plugin(#[from] PrepareError),
    /// There is no sandbox to ask it in.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

/// What a plugin prints while it describes itself is nobody's.
struct Unheard;

impl ConsoleSink for Unheard {
    fn line(&self, _: Option<&ChannelName>, _: &str) {}
}

/// Looks at a plugin file and asks it, in a sandbox with nothing granted, to describe itself. `compiler` is as in
/// [`RuntimeBuilder::compiler`](super::RuntimeBuilder::compiler): without one, the file is compiled in a thread, which
/// nothing bounds.
///
/// # Errors
///
/// [`InspectionError`] says why it is no plugin for this program.
pub async fn inspect_plugin(path: &Path, compiler: Option<&Path>) -> Result<Inspection, InspectionError> {
    let owned = path.to_owned();
    // Reads up to 64 MiB and validates every byte.
    let looked = tokio::task::spawn_blocking(move || inspect_file(&owned)).await;
    describe(looked.map_err(|stopped| InspectError::Unreadable(std::io::Error::other(stopped)))??, compiler).await
}

/// The same, of a file's content.
pub(super) async fn inspect_content(bytes: Vec<u8>, compiler: Option<&Path>) -> Result<Inspection, InspectionError> {
    let looked = tokio::task::spawn_blocking(move || inspect(bytes)).await;
    describe(looked.map_err(|stopped| InspectError::Unreadable(std::io::Error::other(stopped)))??, compiler).await
}

async fn describe(file: Inspected, compiler: Option<&Path>) -> Result<Inspection, InspectionError> {
    let settings = SandboxSettings {
        in_flight: 1,
        memory_max: CallLimits::default().memory,
        console: Arc::new(Unheard),
        metrics: Metrics::off(),
    };
    Ok(describe_in(&sandbox_with(settings, compiler)?, file).await?.0)
}

/// A sandbox that has files compiled by `compiler`, where there is one.
pub(super) fn sandbox_with(settings: SandboxSettings, compiler: Option<&Path>) -> Result<Arc<Sandbox>, SandboxError> {
    let sandbox = Sandbox::new(settings)?;
    if let Some(program) = compiler {
        sandbox.compile_with(program.to_owned());
    }
    Ok(sandbox)
}

/// The same in a sandbox that is there, with the plugin ready to be called.
pub(super) async fn inspect_in(sandbox: &Arc<Sandbox>, path: &Path) -> Result<(Inspection, Plugin), InspectionError> {
    let owned = path.to_owned();
    // Reads up to 64 MiB and validates every byte.
    let looked = tokio::task::spawn_blocking(move || inspect_file(&owned)).await;
    let file = looked.map_err(|stopped| InspectError::Unreadable(std::io::Error::other(stopped)))??;
    describe_in(sandbox, file).await
}

async fn describe_in(sandbox: &Arc<Sandbox>, file: Inspected) -> Result<(Inspection, Plugin), InspectionError> {
    let size = file.bytes.len() as u64;
    let stack_bytes = stack_bytes(&file.bytes);
    let plugin = sandbox.compile(file.bytes, file.sha256.0).await?;
    let inspection = Inspection {
        size,
        sha256: file.sha256,
        contract: file.contract,
        imports: file.imports,
        exports: file.exports,
        stack_bytes,
        descriptor: Arc::clone(plugin.descriptor()),
    };
    Ok((inspection, plugin))
}

/// Asks the plugins that a configuration names whether they can work with it. Nothing is started, stored or sent.
/// `compiler` is as in [`inspect_plugin`].
///
/// # Errors
///
/// [`SandboxError`] where there is no sandbox to ask them in.
pub async fn check_channels(config: &Config, compiler: Option<&Path>) -> Result<Vec<ChannelStatus>, SandboxError> {
    let mut config = config.clone();
    // Of its own: to look at an installation changes nothing in it.
    config.plugins.cache_dir = std::env::temp_dir().join(format!("campanile-check-{}", std::process::id()));
    let cache = config.plugins.cache_dir.clone();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let sandbox = open_sandbox(&config, Arc::new(Unheard), &Metrics::off())?;
    if let Some(program) = compiler {
        sandbox.compile_with(program.to_owned());
    }
    // It says what a first start would.
    let registry = open_registry(sandbox, &config, &clock, &Arc::new(Entropy::from_system()), Memory::none()).await;
    // What is left behind takes little room and does no harm.
    let _ = tokio::fs::remove_dir_all(cache).await;
    Ok(registry.channels())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;
    use crate::config::ChannelConfig;

    /// A plugin as `make guests` builds it.
    fn guest(name: &str) -> Vec<u8> {
        let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests/wasm32-wasip2/release"));
        let folder = std::env::var_os("CAMPANILE_GUESTS").map_or_else(default, PathBuf::from);
        let path = folder.join(name).with_extension("wasm");
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make guests` first", path.display()))
    }

    #[tokio::test]
    async fn a_configuration_is_checked_with_plugins_that_the_compiler_compiled_apart() {
        let place = tempfile::tempdir().expect("a folder");
        let (own, bundled, compiler) =
            (place.path().join("own"), place.path().join("bundled"), place.path().join("compiler"));
        fs::create_dir(&own).and_then(|()| fs::create_dir(&bundled)).expect("folders");
        fs::write(own.join("console.wasm"), guest("console")).expect("a plugin");
        fs::write(&compiler, "#!/bin/sh\n/bin/cat > /dev/null\necho error: it takes too much >&2\nexit 1\n")
            .expect("a program");
        fs::set_permissions(&compiler, Permissions::from_mode(0o700)).expect("it can be run");
        let mut config = Config::default();
        (config.plugins.dir, config.plugins.bundled_dir) = (own, Some(bundled));
        let channel = ChannelConfig::new("console".parse().expect("a name"), CallLimits::default());
        config.channels.insert("desk".parse().expect("a name"), channel);
        let problem = async |compiler: Option<&Path>| {
            let channels = check_channels(&config, compiler).await.expect("a sandbox");
            channels.into_iter().find(|channel| channel.name.as_str() == "desk").expect("it is configured").problem
        };
        insta::assert_snapshot!(problem(Some(&compiler)).await.expect("it cannot be compiled"), @"plugin `console` was refused: it cannot be compiled: it takes too much");
        assert_eq!(problem(None).await, None, "the plugin is a good one");
    }
}
