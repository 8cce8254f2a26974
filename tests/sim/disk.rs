//! A disk in memory that loses, tears and refuses, by seed.
//!
//! *Invariants:* what was synced survives everything. Of what was not, a loss of power keeps nothing, a beginning, or
//! any part, torn between sectors; the death of a process keeps all of it, since the system still has it. Names are
//! durable at once: a file that was made is there, a file that was removed is gone.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::chance::Chance;

/// What a disk writes whole or not at all, in bytes.
pub(crate) const SECTOR_BYTES: usize = 512;

/// Why the disk did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It could not be read.
    Read,
    /// It could not be written; half of it may stand there.
    Write,
    /// Nobody knows what of it is on the disk.
    Sync,
    Truncate,
    Open,
    Delete,
    /// There is no room for more.
    Full,
}

/// How often what goes wrong, in ten thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) syncs: u64,
    /// Files do not grow.
    pub(crate) is_full: bool,
}

/// How it comes that the process is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// It was killed.
    Process,
    /// The machine has no power.
    Power,
}

#[derive(Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => put(to, *at, bytes),
            Self::Truncate(length) => to.truncate(*length),
        }
    }

    /// Some sectors of it.
    fn apply_torn(&self, to: &mut Vec<u8>, chance: &mut Chance) {
        let Self::Write { at, bytes } = self else { return self.apply(to) };
        let mut from = 0;
        while from < bytes.len() {
            let end = bytes.len().min((at + from) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES - at);
            if chance.percent(50) {
                put(to, at + from, &bytes[from..end]);
            }
            from = end;
        }
    }
}

fn put(to: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if to.len() < at + bytes.len() {
        to.resize(at + bytes.len(), 0);
    }
    to[at..at + bytes.len()].copy_from_slice(bytes);
}

#[derive(Debug, Default)]
struct File {
    /// What is read.
    seen: Vec<u8>,
    /// What is on the disk for certain.
    synced: Vec<u8>,
    /// What lies between the two.
    unsynced: Vec<Change>,
}

impl File {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.synced);
        }
    }

    fn lose_power(&mut self, chance: &mut Chance) {
        let mut changes = std::mem::take(&mut self.unsynced);
        match chance.below(4) {
            0 => changes.clear(),
            1 => changes.truncate(chance.below(changes.len() as u64 + 1) as usize),
            2 => changes.retain(|_| chance.percent(50)),
            _ => {
                changes.drain(..).for_each(|change| change.apply_torn(&mut self.synced, chance));
            }
        }
        for change in changes {
            change.apply(&mut self.synced);
        }
        self.seen.clone_from(&self.synced);
    }
}

#[derive(Debug)]
struct State {
    files: BTreeMap<String, File>,
    chance: Chance,
    faults: Faults,
    /// Faults and the end of power wait meanwhile.
    is_held: bool,
    /// Nothing is written or read any more.
    is_off: bool,
    /// Goes off with the so-manieth operation from here.
    off_in: Option<u64>,
    nameless: u64,
}

/// The disk. Its files have no folders.
#[derive(Debug)]
pub(crate) struct Disk(Mutex<State>);

impl Disk {
    pub(crate) fn new(chance: Chance) -> Self {
        Self(Mutex::new(State {
            files: BTreeMap::new(),
            chance,
            faults: Faults::default(),
            is_held: false,
            is_off: false,
            off_in: None,
            nameless: 0,
        }))
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    pub(crate) fn faults(&self) -> Faults {
        self.lock().faults
    }

    /// While it is held nothing goes wrong: for a look at what is there.
    pub(crate) fn hold(&self, is_held: bool) {
        self.lock().is_held = is_held;
    }

    /// Goes off by itself with the so-manieth operation from now.
    pub(crate) fn go_off_in(&self, operations: Option<u64>) {
        self.lock().off_in = operations;
    }

    pub(crate) fn may_go_off(&self) -> bool {
        let state = self.lock();
        state.is_off || state.off_in.is_some()
    }

    pub(crate) fn go_off(&self) {
        self.lock().is_off = true;
    }

    pub(crate) fn is_off(&self) -> bool {
        self.lock().is_off
    }

    /// Comes back after `crash`, with what is left.
    pub(crate) fn come_back(&self, crash: Crash) {
        let state = &mut *self.lock();
        for file in state.files.values_mut() {
            match crash {
                Crash::Process => file.sync(),
                Crash::Power => file.lose_power(&mut state.chance),
            }
        }
        (state.is_off, state.off_in) = (false, None);
    }

    /// Makes the file where it is not there. One without a name gets one.
    pub(crate) fn open(&self, name: Option<&str>, may_make: bool) -> Result<String, Trouble> {
        let mut state = self.lock();
        state.admit(Trouble::Open)?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => {
                state.nameless += 1;
                format!("nameless-{}", state.nameless)
            }
        };
        if !may_make && !state.files.contains_key(&name) {
            return Err(Trouble::Open);
        }
        state.files.entry(name.clone()).or_default();
        Ok(name)
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.lock().files.contains_key(name)
    }

    pub(crate) fn delete(&self, name: &str) -> Result<(), Trouble> {
        let mut state = self.lock();
        state.admit(Trouble::Delete)?;
        state.files.remove(name);
        Ok(())
    }

    /// Fills `into` from `at` on and says how much there was.
    pub(crate) fn read(&self, name: &str, at: usize, into: &mut [u8]) -> Result<usize, Trouble> {
        let mut state = self.lock();
        state.admit(Trouble::Read)?;
        let seen = state.file(name, Trouble::Read)?.seen.get(at..).unwrap_or_default();
        let count = seen.len().min(into.len());
        into[..count].copy_from_slice(&seen[..count]);
        Ok(count)
    }

    pub(crate) fn write(&self, name: &str, at: usize, bytes: &[u8]) -> Result<(), Trouble> {
        let mut state = self.lock();
        let grows = at + bytes.len() > state.file(name, Trouble::Write)?.seen.len();
        if grows && state.faults.is_full && !state.is_held && !state.is_off {
            return Err(Trouble::Full);
        }
        let was_off = state.is_off;
        let admitted = state.admit(Trouble::Write);
        let count = match admitted {
            Ok(()) => bytes.len(),
            Err(_) if was_off => 0,
            // What failed may stand there in part.
            Err(_) => state.chance.below(bytes.len() as u64 + 1) as usize,
        };
        if count > 0 {
            state.file(name, Trouble::Write)?.change(Change::Write { at, bytes: bytes[..count].to_vec() });
        }
        admitted
    }

    pub(crate) fn truncate(&self, name: &str, length: usize) -> Result<(), Trouble> {
        let mut state = self.lock();
        state.admit(Trouble::Truncate)?;
        state.file(name, Trouble::Truncate)?.change(Change::Truncate(length));
        Ok(())
    }

    pub(crate) fn sync(&self, name: &str) -> Result<(), Trouble> {
        let mut state = self.lock();
        state.admit(Trouble::Sync)?;
        state.file(name, Trouble::Sync)?.sync();
        Ok(())
    }

    pub(crate) fn length(&self, name: &str) -> Result<usize, Trouble> {
        Ok(self.lock().file(name, Trouble::Read)?.seen.len())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn file(&mut self, name: &str, trouble: Trouble) -> Result<&mut File, Trouble> {
        self.files.get_mut(name).ok_or(trouble)
    }

    /// Whether an operation that may end in `trouble` ends well.
    fn admit(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        if self.is_off {
            return Err(trouble);
        }
        if self.is_held {
            return Ok(());
        }
        if let Some(left) = &mut self.off_in {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.is_off = true;
                return Err(trouble);
            }
        }
        let often = match trouble {
            Trouble::Read | Trouble::Open => self.faults.reads,
            Trouble::Write | Trouble::Truncate | Trouble::Delete | Trouble::Full => self.faults.writes,
            Trouble::Sync => self.faults.syncs,
        };
        if often > 0 && self.chance.below(10_000) < often { Err(trouble) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> Disk {
        let disk = Disk::new(Chance::new(7));
        disk.open(Some("a"), true).unwrap();
        disk
    }

    fn content(disk: &Disk) -> Vec<u8> {
        let mut bytes = vec![0; disk.length("a").unwrap()];
        disk.read("a", 0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_synced_survives_and_the_rest_may_not() {
        let mut lost = 0;
        for seed in 0..50 {
            let disk = Disk::new(Chance::new(seed));
            disk.open(Some("a"), true).unwrap();
            disk.write("a", 0, &[1; 2_000]).unwrap();
            disk.sync("a").unwrap();
            disk.write("a", 2_000, &[2; 2_000]).unwrap();
            assert_eq!(disk.length("a"), Ok(4_000));
            disk.go_off();
            assert_eq!(disk.write("a", 0, &[3]), Err(Trouble::Write));
            disk.come_back(Crash::Power);
            let content = content(&disk);
            assert_eq!(content[..2_000], [1; 2_000]);
            lost += usize::from(content[2_000..] != [2; 2_000]);
        }
        assert!((20..50).contains(&lost), "{lost} of 50");
    }

    #[test]
    fn the_death_of_a_process_loses_nothing_that_was_written() {
        let disk = disk();
        disk.write("a", 3, b"abc").unwrap();
        disk.go_off();
        disk.come_back(Crash::Process);
        assert_eq!(content(&disk), b"\0\0\0abc");
    }

    #[test]
    fn it_goes_off_with_the_operation_it_was_told_and_fails_as_often_as_it_is_told() {
        let disk = disk();
        disk.go_off_in(Some(2));
        assert_eq!(disk.sync("a"), Ok(()));
        assert_eq!(disk.sync("a"), Err(Trouble::Sync));
        assert!(disk.is_off());
        disk.come_back(Crash::Process);
        disk.set_faults(Faults { syncs: 5_000, is_full: true, ..Faults::default() });
        let failed = (0..1_000).filter(|_| disk.sync("a").is_err()).count();
        assert!((400..600).contains(&failed), "{failed} of 1000");
        assert_eq!(disk.write("a", 0, &[1]), Err(Trouble::Full));
        disk.hold(true);
        assert_eq!(disk.write("a", 0, &[1]), Ok(()));
    }
}
