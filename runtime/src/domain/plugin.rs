//! What is remembered of a plugin, beyond the process that learnt it.
//!
//! *Invariants:* a version is its file: the SHA-256 names it, the number it gives itself is for people.

use std::fmt;

use super::{PluginName, Timestamp};

/// Something a plugin asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    /// A host interface, such as `http`.
    pub capability: String,
    /// What of it: of `http` a host pattern; empty where the interface has no parts.
    pub scope: String,
    /// Whether the plugin says that it cannot do without.
    pub required: bool,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.capability)?;
        if !self.scope.is_empty() {
            write!(f, ": `{}`", self.scope)?;
        }
        f.write_str(if self.required { ", required" } else { "" })
    }
}

/// One version of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionMark {
    /// Of its file.
    pub sha256: [u8; 32],
    /// As it calls itself.
    pub version: semver::Version,
    /// Since when it is what it is marked as.
    pub since: Timestamp,
}

/// Why a version is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BarKind {
    /// It failed too often, and there was none to go back to: its deliveries wait.
    Quarantined,
    /// It failed too often, and the version before it took over again.
    RolledBack,
}

impl BarKind {
    /// Every kind there is.
    pub const ALL: [Self; 2] = [Self::Quarantined, Self::RolledBack];

    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::RolledBack => "rolled-back",
        }
    }
}

/// A version that is not called until somebody releases it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Which, and since when.
    pub mark: VersionMark,
    /// How it came to this.
    pub kind: BarKind,
    /// A sentence for people.
    pub reason: String,
}

/// What is remembered of a plugin, whichever of its versions is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginBook {
    /// Whose book it is.
    pub plugin: PluginName,
    /// The version that serves, or served last.
    pub serving: Option<VersionMark>,
    /// The good one before it.
    pub previous: Option<VersionMark>,
    /// A version that is tried on a share of the calls.
    pub canary: Option<VersionMark>,
    /// What any of its versions may ask for.
    pub approved: Vec<Permission>,
    /// Versions that are not called; the newest [`BARS_MAX`](Self::BARS_MAX) of them, the oldest first.
    pub bars: Vec<Bar>,
    /// Whether any of its versions ever served. One that never did has nothing approved, and asks for more than nothing.
    pub has_served: bool,
    /// What was told of files that are held or refused, as hashes of file and reason: the newest
    /// [`TOLD_MAX`](Self::TOLD_MAX), the oldest first.
    pub told: Vec<[u8; 32]>,
}

impl PluginBook {
    /// Versions remembered as bad. Who puts back an older bad one finds out once more.
    pub const BARS_MAX: usize = 16;

    /// Reasons remembered as told. An older one is told once more.
    pub const TOLD_MAX: usize = 16;

    /// An empty book.
    #[must_use]
    pub const fn new(plugin: PluginName) -> Self {
        Self {
            plugin,
            serving: None,
            previous: None,
            canary: None,
            approved: Vec::new(),
            bars: Vec::new(),
            has_served: false,
            told: Vec::new(),
        }
    }

    /// What is held against a version.
    #[must_use]
    pub fn bar(&self, sha256: &[u8; 32]) -> Option<&Bar> {
        self.bars.iter().find(|bar| bar.mark.sha256 == *sha256)
    }

    /// Holds something against a version, in place of what was held against it before.
    pub fn put_bar(&mut self, bar: Bar) {
        self.lift(&bar.mark.sha256);
        if self.bars.len() == Self::BARS_MAX {
            self.bars.remove(0);
        }
        self.bars.push(bar);
    }

    /// Remembers that something was told. Tells whether it is news.
    pub fn put_told(&mut self, told: [u8; 32]) -> bool {
        if self.told.contains(&told) {
            return false;
        }
        if self.told.len() == Self::TOLD_MAX {
            self.told.remove(0);
        }
        self.told.push(told);
        true
    }

    /// Holds nothing against a version any more. Tells whether anything was.
    pub fn lift(&mut self, sha256: &[u8; 32]) -> bool {
        let before = self.bars.len();
        self.bars.retain(|bar| bar.mark.sha256 != *sha256);
        self.bars.len() != before
    }
}

/// What happened to a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PluginChange {
    /// The first version of it serves.
    Loaded,
    /// Another version of it serves.
    Swapped,
    /// A file is not used.
    Refused,
    /// A version waits to be approved: it asks for more than the one before.
    Held,
    /// An operator let it ask for more.
    Approved,
    /// A version is tried on a share of the calls.
    Tried,
    /// A version failed too often: its deliveries wait.
    Quarantined,
    /// A version failed too often: the one before it serves again.
    RolledBack,
    /// An operator lets a version be called again.
    Released,
    /// Its file is gone.
    Removed,
}

impl PluginChange {
    /// Every change there is.
    pub const ALL: [Self; 10] = [
        Self::Loaded,
        Self::Swapped,
        Self::Refused,
        Self::Held,
        Self::Approved,
        Self::Tried,
        Self::Quarantined,
        Self::RolledBack,
        Self::Released,
        Self::Removed,
    ];

    /// The type of its event.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Loaded => "plugin.loaded",
            Self::Swapped => "plugin.swapped",
            Self::Refused => "plugin.refused",
            Self::Held => "plugin.held",
            Self::Approved => "plugin.approved",
            Self::Tried => "plugin.tried",
            Self::Quarantined => "plugin.quarantined",
            Self::RolledBack => "plugin.rolled_back",
            Self::Released => "plugin.released",
            Self::Removed => "plugin.removed",
        }
    }
}

/// A fact about a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginEvent {
    /// What happened.
    pub change: PluginChange,
    /// The plugin's name; of a file that could not be asked, the file's.
    pub plugin: String,
    /// The version it happened to, where it is known.
    pub version: Option<semver::Version>,
    /// Of that version's file, where it is known.
    pub sha256: Option<[u8; 32]>,
    /// A sentence for people.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(number: u8, kind: BarKind) -> Bar {
        let mark = VersionMark {
            sha256: [number; 32],
            version: semver::Version::new(1, 0, 0),
            since: Timestamp::from_millis(u64::from(number)),
        };
        Bar { mark, kind, reason: "it trapped".to_owned() }
    }

    #[test]
    fn the_oldest_bad_version_is_forgotten_first() {
        let mut book = PluginBook::new(PluginName::new("acme").expect("a name"));
        for number in 0..=PluginBook::BARS_MAX as u8 {
            book.put_bar(bar(number, BarKind::Quarantined));
        }
        book.put_bar(bar(1, BarKind::RolledBack));
        assert_eq!(book.bars.len(), PluginBook::BARS_MAX);
        assert!(book.bar(&[0; 32]).is_none());
        assert_eq!(book.bar(&[1; 32]).map(|bar| bar.kind), Some(BarKind::RolledBack));
        assert!(book.lift(&[1; 32]) && !book.lift(&[1; 32]));
    }

    #[test]
    fn what_was_told_is_no_news_until_much_else_was_told() {
        let mut book = PluginBook::new(PluginName::new("acme").expect("a name"));
        assert!(book.put_told([0; 32]) && !book.put_told([0; 32]));
        for number in 1..=PluginBook::TOLD_MAX as u8 {
            assert!(book.put_told([number; 32]));
        }
        assert_eq!(book.told.len(), PluginBook::TOLD_MAX);
        assert!(book.put_told([0; 32]), "the oldest is forgotten first");
    }
}
