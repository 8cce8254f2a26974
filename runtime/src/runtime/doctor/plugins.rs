//! The plugin folders: each file a start would load.

use std::io;
use std::path::{Path, PathBuf};

use super::{Check, DEFECT, size};
use crate::config::{PluginsConfig, Trust};
use crate::runtime::inspect_plugin;
use crate::sandbox::{find_bundled, inspect_file, plugin_files};
use crate::supply::{self, Sha256};

/// Files of the operator's that are compiled; each takes a second or more. The rest is looked at.
const COMPILED_MAX: usize = 32;

/// The operator's own folder, and every file in it as a start would take it.
pub(super) async fn of_own(plugins: &PluginsConfig, compiler: Option<&Path>) -> Vec<Check> {
    let (name, shown) = ("plugin folder", plugins.dir.display());
    let files = match files(&plugins.dir).await {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return vec![Check::ok(name, format!("`{shown}` is not there yet, `serve` makes it"))];
        }
        Err(error) => {
            let hint = "give it to the user that the server runs as, or set `dir` in `[plugins]`";
            return vec![Check::fail(name, format!("`{shown}` cannot be read: {error}"), hint)];
        }
    };
    let mut checks = vec![Check::ok(name, format!("`{shown}` has {}", counted(files.len())))];
    for (place, (path, bytes)) in files.into_iter().enumerate() {
        let compiler = compiler.filter(|_| place < COMPILED_MAX);
        checks.push(of_file(plugins, path, bytes, compiler).await);
    }
    checks
}

async fn of_file(plugins: &PluginsConfig, path: PathBuf, bytes: u64, compiler: Option<&Path>) -> Check {
    let name = format!("plugin {}", path.file_name().unwrap_or_default().to_string_lossy());
    let described = match compiler {
        Some(_) => inspect_plugin(&path, compiler)
            .await
            .map(|found| (found.descriptor.version.to_string(), Sha256(found.sha256.0)))
            .map_err(|error| error.to_string()),
        None => {
            let path = path.clone();
            let looked = tokio::task::spawn_blocking(move || inspect_file(&path)).await;
            match looked {
                Ok(found) => found
                    .map(|found| ("looked at, not compiled".to_owned(), Sha256(found.sha256.0)))
                    .map_err(|error| error.to_string()),
                Err(stopped) => return Check::fail(name, format!("the check was cut off: {stopped}"), DEFECT),
            }
        }
    };
    let (what, sha256) = match described {
        Ok(described) => described,
        Err(reason) => {
            let hint = format!("put another version there, or remove it: `rm {}`", path.display());
            return Check::fail(name, reason, hint);
        }
    };
    let sign = "`campanile plugins add` it anew from where it comes, or sign it and list its key in `trusted_keys`";
    match supply::vet(plugins, &path, sha256) {
        Err(error) => Check::fail(name, error.to_string(), sign),
        Ok(vetted) if !vetted.warnings.is_empty() => {
            Check::warn(name, format!("{what}, {}: {}", size(bytes), vetted.warnings.join("; ")), sign)
        }
        Ok(vetted) => {
            let signed = match (vetted.signed_by, plugins.trust) {
                (Some(key), _) => format!(", signed by {key}"),
                (None, Trust::Off) => String::new(),
                (None, Trust::Warn | Trust::Require) => ", not signed".to_owned(),
            };
            Check::ok(name, format!("{what}, {}{signed}", size(bytes)))
        }
    }
}

/// The plugins that come with the program. They are looked at and not compiled: that happens when a channel uses one.
pub(super) async fn of_bundled(plugins: &PluginsConfig) -> Check {
    let name = "bundled plugins";
    let hint = "install the program with its `plugins` folder, or set `bundled_dir` in `[plugins]`";
    let Some(dir) = plugins.bundled_dir.clone().or_else(find_bundled) else {
        return Check::warn(name, "there are none beside the program", hint);
    };
    let files = match files(&dir).await {
        Ok(files) => files,
        Err(error) => return Check::fail(name, format!("`{}` cannot be read: {error}", dir.display()), hint),
    };
    if files.is_empty() {
        return Check::warn(name, format!("there are none in `{}`", dir.display()), hint);
    }
    let count = files.len();
    let looked = tokio::task::spawn_blocking(move || {
        let broken = |(path, _): (PathBuf, u64)| {
            let error = inspect_file(&path).err()?;
            Some(format!("{}: {error}", path.file_name().unwrap_or_default().to_string_lossy()))
        };
        files.into_iter().filter_map(broken).collect::<Vec<_>>()
    });
    match looked.await {
        Ok(broken) if broken.is_empty() => Check::ok(name, format!("`{}` has {}", dir.display(), counted(count))),
        Ok(broken) => Check::fail(name, broken.join("; "), "install the program anew, or remove those files"),
        Err(stopped) => Check::fail(name, format!("the check was cut off: {stopped}"), DEFECT),
    }
}

async fn files(dir: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || plugin_files(&dir))
        .await
        .unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
}

fn counted(files: usize) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}
