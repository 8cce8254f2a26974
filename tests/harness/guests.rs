//! Where the built guests and examples lie.

use std::path::PathBuf;

/// The folder of built plugins and test guests.
///
/// # Panics
///
/// Where `CAMPANILE_GUESTS` is not set: a test that cannot find its guests must not pass by.
#[must_use]
pub fn guests_dir() -> PathBuf {
    let folder = std::env::var_os("CAMPANILE_GUESTS")
        .expect("CAMPANILE_GUESTS names the folder of built guests; run the tests through `make test` or `make quick`");
    PathBuf::from(folder)
}

/// The component of the plugin `name`.
///
/// # Panics
///
/// Where it has not been built.
#[must_use]
pub fn plugin(name: &str) -> PathBuf {
    let path = guests_dir().join(format!("{name}.wasm"));
    assert!(path.is_file(), "`{}` is missing; run `make guests`", path.display());
    path
}

/// The component of the test guest `name`.
///
/// # Panics
///
/// Where it has not been built.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    plugin(&name.replace('-', "_"))
}

/// The component of an example plugin that was built with another language's toolchain.
///
/// # Panics
///
/// Where it has not been built.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    let folder = std::env::var_os("CAMPANILE_EXAMPLES")
        .expect("CAMPANILE_EXAMPLES names the folder of built examples; run the tests through `make test`");
    let path = PathBuf::from(folder).join(format!("{name}.wasm"));
    assert!(path.is_file(), "`{}` is missing; run `make examples`", path.display());
    path
}

/// Python with the packages of `tests/requirements.txt`.
///
/// # Panics
///
/// Where it has not been installed.
#[must_use]
pub fn python() -> PathBuf {
    let folder = std::env::var_os("CAMPANILE_EXAMPLES")
        .expect("CAMPANILE_EXAMPLES names the folder of built examples; run the tests through `make test`");
    let path = PathBuf::from(folder).join("venv/bin/python");
    assert!(path.exists(), "`{}` is missing; run `make examples`", path.display());
    path
}

/// The guest `fickle` as this version of it. `mood` is `good`, or `bad`: then every call panics. `hosts` is what it
/// asks for, separated by commas.
///
/// # Panics
///
/// Where it has not been built, or the settings are longer than 128 bytes.
#[must_use]
pub fn fickle(version: &str, mood: &str, hosts: &str) -> Vec<u8> {
    const MARK: &[u8] = b"fickle:";
    const LENGTH: usize = 128;
    let mut bytes = std::fs::read(guest("fickle")).expect("a built guest can be read");
    let settings = format!("fickle:{version};{mood};{hosts};");
    assert!(settings.len() <= LENGTH, "`{settings}` does not fit");
    let at = bytes.windows(MARK.len()).position(|found| found == MARK).expect("the guest has its settings");
    bytes[at..at + LENGTH].fill(b' ');
    bytes[at..at + settings.len()].copy_from_slice(settings.as_bytes());
    bytes
}
