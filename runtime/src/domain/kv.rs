//! What a channel keeps between calls: keys with values and versions, within a quota.

use super::ChannelName;

/// A kept value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvEntry {
    /// As it was set.
    pub value: Vec<u8>,
    /// Counts the changes of its key, from 1. Of a key that was removed and is set again it is higher than before.
    pub version: u64,
}

/// The most a channel may keep. What is there already stays where a quota is lowered; nothing is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvQuota {
    /// Keys and values together, in bytes.
    pub bytes: u64,
    /// Keys.
    pub keys: u64,
}

/// How much a channel keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvUsage {
    /// Keys and values together, in bytes.
    pub bytes: u64,
    /// Keys.
    pub keys: u64,
}

/// What is to become of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvChange {
    /// It gets this value.
    Set(Vec<u8>),
    /// It goes, if it is there.
    Remove,
}

/// One change of one key, on a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvWrite {
    /// Whose.
    pub channel: ChannelName,
    /// Which.
    pub key: String,
    /// What to do.
    pub change: KvChange,
    /// The version that it must have now, 0 for "not there"; none for "whatever it is".
    pub expected: Option<u64>,
    /// Checked together with the change.
    pub quota: KvQuota,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvWritten {
    /// It is kept, with this version.
    Set(u64),
    /// It is not there any more, or never was.
    Removed,
    /// Nothing happened: it has this version, 0 for "not there".
    Conflict(u64),
    /// Nothing happened: the channel would keep this much.
    OverQuota(KvUsage),
}

impl KvUsage {
    /// What is kept when a key of so many bytes has a value of `after` bytes instead of `before`; none stands for no
    /// such key.
    #[must_use]
    pub const fn with(self, key: usize, before: Option<usize>, after: Option<usize>) -> Self {
        let Self { mut bytes, mut keys } = self;
        if let Some(value) = before {
            bytes = bytes.saturating_sub((key + value) as u64);
            keys = keys.saturating_sub(1);
        }
        if let Some(value) = after {
            bytes += (key + value) as u64;
            keys += 1;
        }
        Self { bytes, keys }
    }

    /// Whether a change from `before` to this is one that the quota forbids: one that adds where there is no room.
    #[must_use]
    pub const fn breaks(self, quota: KvQuota, before: Self) -> bool {
        (self.bytes > quota.bytes && self.bytes > before.bytes) || (self.keys > quota.keys && self.keys > before.keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_forbids_what_adds_and_never_what_makes_room() {
        let quota = KvQuota { bytes: 100, keys: 2 };
        let full = KvUsage { bytes: 150, keys: 3 };
        assert!(!full.with(10, Some(50), Some(40)).breaks(quota, full), "still over it, and less than before");
        assert!(!full.with(10, Some(50), None).breaks(quota, full));
        assert!(full.with(10, Some(50), Some(51)).breaks(quota, full));
        let empty = KvUsage::default();
        let exact = empty.with(10, None, Some(90));
        assert_eq!(exact, KvUsage { bytes: 100, keys: 1 });
        assert!(!exact.breaks(quota, empty));
        assert!(exact.with(1, None, Some(0)).breaks(quota, exact), "a key is bytes too");
        let keys = KvUsage { bytes: 2, keys: 2 };
        assert!(keys.with(1, None, Some(0)).breaks(quota, keys), "a third key");
    }
}
