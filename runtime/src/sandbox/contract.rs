//! Versions of the contract: which this program speaks, and whether a component speaks one of them.
//!
//! *Invariants:* judged by names alone, before anything is compiled. Whether the types behind the names are the
//! contract's is found out when the component is linked.

use std::fmt;

use semver::Version;

use super::inspect::InspectError;

/// The newest contract that this program speaks: the version of `wit/`.
pub const CONTRACT_VERSION: Version = Version::new(0, 1, 1);

/// How every name of the contract starts.
const PACKAGE: &str = "campanile:plugin/";

/// A contract that this program speaks.
struct Spoken {
    version: Version,
    /// The host interfaces that a plugin may import.
    offers: &'static [&'static str],
}

/// What this program speaks, newest first; until 1.0 there are to be at most three. A contract that is not the newest
/// gets an entry here, types of its own in `bindings`, and one place in `convert` that turns its values into today's.
const SPOKEN: &[Spoken] =
    &[Spoken { version: CONTRACT_VERSION, offers: &["types", "http", "sign", "cache", "kv", "log"] }];

/// Packages of WASI that are linked: clocks and random numbers real, output captured, the rest there and empty.
const WASI: [&str; 7] = ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];

/// The version of WASI, whatever its last number.
const WASI_VERSION: (u64, u64) = (0, 2);

/// Imports named in a refusal: a foreign component may have thousands.
const NAMED_MAX: usize = 16;

/// All versions that can stand for each other: before 1.0 the second number breaks, from then on the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContractLine(u64, u64);

impl ContractLine {
    const fn of(version: &Version) -> Self {
        Self(version.major, if version.major == 0 { version.minor } else { 0 })
    }
}

impl fmt::Display for ContractLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(0, minor) => write!(f, "0.{minor}"),
            Self(major, _) => write!(f, "{major}"),
        }
    }
}

/// The interface and version of a name of the contract.
pub(super) fn of_contract(name: &str) -> Option<(&str, Version)> {
    let (interface, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    Some((interface, Version::parse(version).ok()?))
}

/// The newest version that a component names, if this program can serve it. A later patch of a contract that it speaks
/// is served as long as nothing is imported that was not there yet.
pub(super) fn judge(imports: &[String], exports: &[String]) -> Result<Version, InspectError> {
    let all = || imports.iter().chain(exports).filter_map(|name| Some((name, of_contract(name)?.1)));
    let mut examples: Vec<(ContractLine, &str)> =
        all().map(|(name, v)| (ContractLine::of(&v), name.as_str())).collect();
    examples.sort_by_key(|(line, _)| *line);
    examples.dedup_by_key(|(line, _)| *line);
    let newest = all().map(|(_, version)| version).max().unwrap_or(CONTRACT_VERSION);
    if examples.len() > 1 {
        let named = examples.iter().take(NAMED_MAX).map(|(_, name)| (*name).to_owned()).collect();
        return Err(InspectError::SeveralContracts { named });
    }
    let line = ContractLine::of(&newest);
    let Some(spoken) = SPOKEN.iter().find(|spoken| ContractLine::of(&spoken.version) == line) else {
        let build_for = ContractLine::of(&CONTRACT_VERSION);
        return Err(if line > build_for {
            InspectError::NewerContract { needed: newest, offered: CONTRACT_VERSION, build_for }
        } else {
            InspectError::OlderContract { needed: newest, offered: CONTRACT_VERSION, build_for }
        });
    };
    let unknown: Vec<&String> = imports.iter().filter(|name| !spoken.offers(name)).collect();
    if unknown.is_empty() {
        return Ok(newest);
    }
    let is_later = |name: &&String| of_contract(name).is_some_and(|(_, version)| version > spoken.version);
    Err(InspectError::UnknownImports {
        unknown: unknown.iter().take(NAMED_MAX).map(|name| name.chars().take(128).collect()).collect(),
        more: unknown.len().saturating_sub(NAMED_MAX),
        offered: Offered { contract: spoken.version.clone(), interfaces: spoken.offers },
        later: unknown.iter().any(is_later),
    })
}

impl Spoken {
    fn offers(&self, import: &str) -> bool {
        if let Some((interface, _)) = of_contract(import) {
            return self.offers.contains(&interface);
        }
        let wasi = |name: &str| {
            let (path, version) = name.strip_prefix("wasi:")?.split_once('@')?;
            let (package, _) = path.split_once('/')?;
            let version = Version::parse(version).ok()?;
            Some(WASI.contains(&package) && (version.major, version.minor) == WASI_VERSION)
        };
        wasi(import).unwrap_or(false)
    }
}

/// What a plugin may import. Its `Display` is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    contract: Version,
    interfaces: &'static [&'static str],
}

impl Offered {
    /// The version of the contract.
    #[must_use]
    pub const fn contract(&self) -> &Version {
        &self.contract
    }
}

impl fmt::Display for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = WASI_VERSION;
        write!(f, "of `campanile:plugin@{}` {}; ", self.contract, self.interfaces.join(", "))?;
        write!(f, "of WASI {major}.{minor} {}", WASI.join(", "))
    }
}
