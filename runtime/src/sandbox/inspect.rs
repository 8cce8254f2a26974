//! Looks at a candidate file before anything of it is compiled: is it a plugin at all, of which kind, for which version
//! of the contract?
//!
//! No engine is needed, so that the command line can inspect a file without making one.

mod stack;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};
use wasmparser::{KnownCustom, Parser, Payload, Validator};

use crate::config::format_size;
use crate::domain::PluginName;

use super::bounds::{self, Excess};
use super::contract::{self, CONTRACT_VERSION, ContractLine, Offered, of_contract};

pub use stack::stack_bytes;

/// The largest plugin file, in bytes. The largest known toolchain (Python's) makes components of about 35 MiB.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// Names in a refusal. A foreign component may have thousands of exports.
const EXPORTS_NAMED: usize = 5;

/// What a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PluginKind {
    /// It delivers.
    Channel,
    /// It renders.
    TemplateEngine,
}

impl PluginKind {
    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::TemplateEngine => "template-engine",
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The SHA-256 of a plugin file. Its `Display` is lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileHash(pub [u8; 32]);

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What can be said of a plugin file without running it.
#[derive(Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The file.
    pub bytes: Vec<u8>,
    /// Of `bytes`.
    pub sha256: FileHash,
    /// What it is.
    pub kind: PluginKind,
    /// The newest version of the contract that it names.
    pub contract: semver::Version,
    /// Names of what it imports, as written.
    pub imports: Vec<String>,
    /// Names of what it exports, as written.
    pub exports: Vec<String>,
    /// The name its toolchain gave it, if any. What counts is the name in its descriptor.
    pub name_hint: Option<String>,
    /// What speaks against loading it, though it may be loaded: who answers for it.
    pub warnings: Vec<String>,
}

impl fmt::Debug for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspected")
            .field("bytes", &self.bytes.len())
            .field("sha256", &self.sha256)
            .field("kind", &self.kind)
            .field("contract", &self.contract)
            .finish_non_exhaustive()
    }
}

/// Why a file is not a plugin that this program can load.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The operating system says no.
    #[error("the file cannot be read; let the user that this program runs as read it")]
    Unreadable(#[source] io::Error),
    /// A folder, a pipe, a device.
    #[error("it is not a regular file: put the compiled component here")]
    NotAFile,
    /// Nothing in it.
    #[error("the file is empty: put the compiled component here")]
    Empty,
    /// Over [`FILE_BYTES_MAX`].
    #[error(
        "the file has {size} bytes, the limit is {limit} bytes ({}); no setting changes that: build it smaller, for \
         instance without debug information",
        format_size(*.limit)
    )]
    TooLarge {
        /// What it has, in bytes.
        size: u64,
        /// What it may have, in bytes.
        limit: u64,
    },
    /// Text, such as WAT or an error page saved under the wrong name.
    #[error("it is text, not WebAssembly: put the compiled component here")]
    Text,
    /// Anything else.
    #[error("it is not WebAssembly, it starts with bytes `{start}`: put the compiled component here")]
    NotWasm {
        /// The first bytes, in hex.
        start: String,
    },
    /// Native code: loading it would be running it outside the sandbox.
    #[error("it is precompiled (native code in ELF), which is never loaded: put the .wasm that it was made from here")]
    Precompiled,
    /// A copy that was broken off, or is still being written.
    #[error("the file is cut off: what starts at byte {at} needs {needed} bytes, {there} are there; copy it once more")]
    Truncated {
        /// Where the section starts.
        at: u64,
        /// How long it says that it is.
        needed: u64,
        /// What is left of the file.
        there: u64,
    },
    /// Something was appended to it.
    #[error("{there} bytes follow the component, which ends at byte {at}: copy it again, or build it again")]
    Trailing {
        /// Where the component ends.
        at: u64,
        /// How many bytes follow.
        there: u64,
    },
    /// More than the compiler is given.
    #[error(transparent)]
    TooMuch(#[from] Excess),
    /// WebAssembly of the older kind.
    #[error("it is a core module, not a component: build it for target `wasm32-wasip2`")]
    CoreModule,
    /// The whole file was validated, and something in it is wrong.
    #[error("it is not a valid component: {reason}; build it once more, for target `wasm32-wasip2`")]
    Invalid {
        /// What, and at which byte.
        reason: String,
    },
    /// A component that is not a plugin.
    #[error(
        "it is a component of another world: it exports {}; a plugin exports `campanile:plugin/channel@{offered}` or \
         `campanile:plugin/template-engine@{offered}`: build it against a world of `campanile:plugin`",
        first(.exports)
    )]
    OtherWorld {
        /// What it exports.
        exports: Vec<String>,
        /// The version of the contract that this program offers.
        offered: semver::Version,
    },
    /// A plugin is one thing.
    #[error("it exports a channel and a template engine: make two plugins of it")]
    TwoKinds,
    /// Parts of it were made for contracts that do not fit together.
    #[error("it is built against several contracts ({}): build all of it against one", quoted(.named))]
    SeveralContracts {
        /// A name from each.
        named: Vec<String>,
    },
    /// Made for a later program.
    #[error(
        "it needs contract {needed}, this program offers {offered}: update campanile, or build the plugin with an SDK \
         for {build_for}"
    )]
    NewerContract {
        /// What the file names.
        needed: semver::Version,
        /// What there is.
        offered: semver::Version,
        /// What to build it for.
        build_for: ContractLine,
    },
    /// Made for an earlier program.
    #[error(
        "it was made for contract {needed}, this program offers {offered}: build the plugin with an SDK for {build_for}"
    )]
    OlderContract {
        /// What the file names.
        needed: semver::Version,
        /// What there is.
        offered: semver::Version,
        /// What to build it for.
        build_for: ContractLine,
    },
    /// It imports what no host interface is.
    #[error(
        "it imports {}{}, which this program does not offer{}; a plugin may import {offered}",
        quoted(.unknown),
        if *.more > 0 { format!(" and {more} more") } else { String::new() },
        if *.later { ": update campanile, or build the plugin for its contract" } else { "" }
    )]
    UnknownImports {
        /// Their names, at most 16.
        unknown: Vec<String>,
        /// How many more there are.
        more: usize,
        /// What it may import.
        offered: Offered,
        /// Some are of a later patch of the contract.
        later: bool,
    },
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn first(exports: &[String]) -> String {
    if exports.is_empty() {
        return "nothing".to_owned();
    }
    let mut text = quoted(&exports[..exports.len().min(EXPORTS_NAMED)]);
    if let Some(more) = exports.len().checked_sub(EXPORTS_NAMED).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// Reads and inspects a file. Blocks: reads up to [`FILE_BYTES_MAX`] and validates every byte.
///
/// # Errors
///
/// [`InspectError`] where it is not a plugin for this program.
pub fn inspect_file(path: &Path) -> Result<Inspected, InspectError> {
    inspect(read(path)?)
}

/// The plugin's name that a file name suggests. What counts is the name in its descriptor.
///
/// ```
/// use campanile::sandbox::name_of_file;
/// use std::path::Path;
///
/// let name = name_of_file(Path::new("plugins/on_call.wasm"));
/// assert_eq!(name.map(|name| name.to_string()).as_deref(), Some("on-call"));
/// assert_eq!(name_of_file(Path::new("My Plugin.wasm")), None);
/// ```
#[must_use]
pub fn name_of_file(path: &Path) -> Option<PluginName> {
    PluginName::new(&path.file_stem()?.to_str()?.replace('_', "-")).ok()
}

/// The hash of a file that is small enough to be a plugin, whatever it holds. Blocks.
pub(super) fn hash_of(path: &Path) -> Option<FileHash> {
    Some(FileHash(Sha256::digest(read(path).ok()?).into()))
}

fn read(path: &Path) -> Result<Vec<u8>, InspectError> {
    // Looked at before it is opened: to open a pipe would wait for its writer.
    let before = std::fs::metadata(path).map_err(InspectError::Unreadable)?;
    check_size(&before)?;
    let file = File::open(path).map_err(InspectError::Unreadable)?;
    check_size(&file.metadata().map_err(InspectError::Unreadable)?)?;
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or_default());
    // It may grow while it is read.
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(InspectError::Unreadable)?;
    match bytes.len() as u64 {
        size if size > FILE_BYTES_MAX => Err(InspectError::TooLarge { size, limit: FILE_BYTES_MAX }),
        _ => Ok(bytes),
    }
}

fn check_size(metadata: &std::fs::Metadata) -> Result<(), InspectError> {
    if !metadata.is_file() {
        return Err(InspectError::NotAFile);
    }
    match metadata.len() {
        size if size > FILE_BYTES_MAX => Err(InspectError::TooLarge { size, limit: FILE_BYTES_MAX }),
        _ => Ok(()),
    }
}

/// Inspects the content of a file.
///
/// # Errors
///
/// [`InspectError`] where it is not a plugin for this program.
pub fn inspect(bytes: Vec<u8>) -> Result<Inspected, InspectError> {
    check_format(&bytes)?;
    if let Some(damage) = damage(&bytes) {
        return Err(damage);
    }
    bounds::check(&bytes)?;
    let invalid = |error: wasmparser::BinaryReaderError| InspectError::Invalid { reason: error.to_string() };
    Validator::new().validate_all(&bytes).map_err(invalid)?;
    let Outline { imports, exports, name_hint } = outline(&bytes).map_err(invalid)?;
    let kind = kind(&exports)?;
    let contract = contract::judge(&imports, &exports)?;
    let sha256 = FileHash(Sha256::digest(&bytes).into());
    Ok(Inspected { bytes, sha256, kind, contract, imports, exports, name_hint, warnings: Vec::new() })
}

const MAGIC: &[u8; 4] = b"\0asm";
const ELF: &[u8; 4] = b"\x7fELF";
/// Magic, version and layer.
const HEADER: usize = 8;
/// The last kind of section that a component can have.
const SECTION_LAST: u8 = 12;
/// The kind of section that has a name, and so at least the length of one.
const SECTION_CUSTOM: u8 = 0;

fn check_format(bytes: &[u8]) -> Result<(), InspectError> {
    if bytes.is_empty() {
        return Err(InspectError::Empty);
    }
    if bytes.starts_with(ELF) {
        return Err(InspectError::Precompiled);
    }
    if MAGIC.starts_with(&bytes[..bytes.len().min(MAGIC.len())]) {
        if bytes.len() < HEADER {
            return Err(InspectError::Truncated { at: 0, needed: HEADER as u64, there: bytes.len() as u64 });
        }
        return if Parser::is_core_wasm(bytes) { Err(InspectError::CoreModule) } else { Ok(()) };
    }
    // Enough to tell text from anything else, little enough to look at twice.
    let start = &bytes[..bytes.len().min(512)];
    if start.utf8_chunks().next().is_some_and(|chunk| is_text(chunk.valid(), chunk.invalid(), start.len())) {
        return Err(InspectError::Text);
    }
    Err(InspectError::NotWasm { start: hex::encode(&bytes[..bytes.len().min(8)]) })
}

/// The cut at 512 bytes may fall into a character, so up to three bytes at the end may be invalid.
fn is_text(valid: &str, invalid: &[u8], length: usize) -> bool {
    valid.len() + invalid.len() == length
        && invalid.len() < 4
        && !valid.is_empty()
        && valid.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
}

/// Whether a section says that it is longer than what is left, or something follows the last one. A validator reports
/// that as one error among many; here it has to be told apart, for it means "copy it again".
fn damage(bytes: &[u8]) -> Option<InspectError> {
    let mut at = HEADER;
    while at < bytes.len() {
        if is_no_section(&bytes[at..]) {
            return Some(InspectError::Trailing { at: at as u64, there: (bytes.len() - at) as u64 });
        }
        let body = at + 1;
        let rest = &bytes[body..];
        let Some((needed, width)) = leb128_u32(rest) else {
            // Not a number: cut inside it, or the validator will say what else is wrong.
            let cut = rest.len() < 5 && rest.iter().all(|byte| byte & 0x80 != 0);
            return cut.then_some(InspectError::Truncated { at: at as u64, needed: 1, there: rest.len() as u64 });
        };
        let there = (rest.len() - width) as u64;
        if u64::from(needed) > there {
            return Some(InspectError::Truncated { at: at as u64, needed: needed.into(), there });
        }
        at = body + width + needed as usize;
    }
    None
}

/// Whether what follows a section cannot be another: of no kind there is, padding, a second file, the end of a text.
fn is_no_section(rest: &[u8]) -> bool {
    rest[0] > SECTION_LAST
        || rest.starts_with(&[SECTION_CUSTOM, 0])
        || rest.starts_with(MAGIC)
        || rest.iter().all(u8::is_ascii_whitespace)
}

/// A number and how many bytes it took.
fn leb128_u32(bytes: &[u8]) -> Option<(u32, usize)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok().map(|value| (value, index + 1));
        }
    }
    None
}

struct Outline {
    imports: Vec<String>,
    exports: Vec<String>,
    name_hint: Option<String>,
}

/// Imports and exports of the outermost component; those nested in it are its own affair.
fn outline(bytes: &[u8]) -> wasmparser::Result<Outline> {
    let mut outline = Outline { imports: Vec::new(), exports: Vec::new(), name_hint: None };
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    outline.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    outline.exports.push(export?.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) if depth == 0 => {
                if let KnownCustom::ComponentName(names) = section.as_known() {
                    // A name section is decoration: one that cannot be read is as good as none.
                    outline.name_hint = names.into_iter().flatten().find_map(|name| match name {
                        wasmparser::ComponentName::Component { name, .. } => Some(name.chars().take(64).collect()),
                        _ => None,
                    });
                }
            }
            _ => {}
        }
    }
    Ok(outline)
}

fn kind(exports: &[String]) -> Result<PluginKind, InspectError> {
    let exports_one = |wanted| exports.iter().filter_map(|name| of_contract(name)).any(|(name, _)| name == wanted);
    match (exports_one("channel"), exports_one("template-engine")) {
        (true, false) => Ok(PluginKind::Channel),
        (false, true) => Ok(PluginKind::TemplateEngine),
        (true, true) => Err(InspectError::TwoKinds),
        (false, false) => Err(InspectError::OtherWorld { exports: exports.to_vec(), offered: CONTRACT_VERSION }),
    }
}

#[cfg(test)]
pub(super) mod tests;
