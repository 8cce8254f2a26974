//! SQLite's view of a [`Disk`]: a file system of its own, registered under a name.
//!
//! *Invariants:* all that is unsafe is here. SQLite hands back pointers that it got from here, one call at a time for each
//! file; each function turns them into references for as long as it runs. Whoever opens connections in a [`Vfs`] closes
//! them before it is dropped.

#![allow(unsafe_code, reason = "SQLite's interface for file systems is in C")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::slice;
use std::sync::Arc;

use rusqlite::ffi::{self, sqlite3_file, sqlite3_io_methods, sqlite3_vfs};

use crate::disk::{Disk, SECTOR_BYTES, Trouble};

/// The longest name of a file, in bytes.
const NAME_BYTES_MAX: c_int = 512;

/// A file system that is registered with SQLite as long as this lives.
pub(crate) struct Vfs {
    name: CString,
    /// From `Box::into_raw`, and so is its `pAppData`, an `Arc` of the disk.
    table: *mut sqlite3_vfs,
}

/// What SQLite keeps for an open file: its head is what SQLite knows of.
#[repr(C)]
struct OpenFile {
    head: sqlite3_file,
    /// From `Box::into_raw`.
    opened: *mut Opened,
}

struct Opened {
    disk: Arc<Disk>,
    name: String,
    ends_with_close: bool,
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    // The first version: without shared memory and without mapped files.
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    // One connection has the file for itself.
    xLock: Some(no_lock),
    xUnlock: Some(no_lock),
    xCheckReservedLock: Some(is_reserved),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

impl Vfs {
    /// Registers `disk` under a name of its own.
    pub(crate) fn register(disk: &Arc<Disk>) -> Self {
        let data = Box::into_raw(Box::new(Arc::clone(disk)));
        let name = CString::new(format!("disk-{data:p}")).expect("an address has no zero bytes");
        let table = Box::into_raw(Box::new(sqlite3_vfs {
            iVersion: 1,
            szOsFile: size_of::<OpenFile>() as c_int,
            mxPathname: NAME_BYTES_MAX,
            pNext: ptr::null_mut(),
            zName: name.as_ptr(),
            pAppData: data.cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_name),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep_for),
            xCurrentTime: Some(current_time),
            xGetLastError: None,
            xCurrentTimeInt64: None,
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: the table and its name live until `drop` has taken them out again.
        let code = unsafe { ffi::sqlite3_vfs_register(table, 0) };
        assert_eq!(code, ffi::SQLITE_OK, "SQLite takes a file system");
        Self { name, table }
    }

    /// The name to open connections with.
    pub(crate) fn name(&self) -> &str {
        self.name.to_str().expect("it was made of text")
    }
}

impl Drop for Vfs {
    fn drop(&mut self) {
        // SAFETY: both pointers are from `register`, and no connection uses the table any more.
        unsafe {
            ffi::sqlite3_vfs_unregister(self.table);
            let table = Box::from_raw(self.table);
            drop(Box::from_raw(table.pAppData.cast::<Arc<Disk>>()));
        }
    }
}

/// The disk behind a table.
///
/// # Safety
///
/// `vfs` is a table that `Vfs::register` made and nobody has dropped.
unsafe fn disk_of<'a>(vfs: *mut sqlite3_vfs) -> &'a Arc<Disk> {
    // SAFETY: by this function's own condition; `register` has put it there.
    unsafe { &*(*vfs).pAppData.cast::<Arc<Disk>>() }
}

/// The open file behind SQLite's pointer.
///
/// # Safety
///
/// `file` was opened by [`open`] and is not closed.
unsafe fn opened<'a>(file: *mut sqlite3_file) -> &'a Opened {
    // SAFETY: `open` has put it there, and only `close` takes it away.
    unsafe { &*(*file.cast::<OpenFile>()).opened }
}

/// The text of a name.
///
/// # Safety
///
/// `name` is null or a text with a zero at its end that outlives the answer.
unsafe fn text<'a>(name: *const c_char) -> Option<&'a str> {
    if name.is_null() {
        return None;
    }
    // SAFETY: by this function's own condition.
    unsafe { CStr::from_ptr(name) }.to_str().ok()
}

const fn code_of(trouble: Trouble) -> c_int {
    match trouble {
        Trouble::Read => ffi::SQLITE_IOERR_READ,
        Trouble::Write => ffi::SQLITE_IOERR_WRITE,
        Trouble::Sync => ffi::SQLITE_IOERR_FSYNC,
        Trouble::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
        Trouble::Open => ffi::SQLITE_CANTOPEN,
        Trouble::Delete => ffi::SQLITE_IOERR_DELETE,
        Trouble::Full => ffi::SQLITE_FULL,
    }
}

fn code(done: Result<(), Trouble>) -> c_int {
    done.map_or_else(code_of, |()| ffi::SQLITE_OK)
}

/// # Safety
///
/// As SQLite calls it: `file` has room for an [`OpenFile`], `out` is null or can be written.
unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: by this function's own condition. Without methods SQLite does not close what was not opened.
    let (disk, name) = unsafe {
        (*file).pMethods = ptr::null();
        (disk_of(vfs), text(name))
    };
    match disk.open(name, flags & ffi::SQLITE_OPEN_CREATE != 0) {
        Err(trouble) => code_of(trouble),
        Ok(name) => {
            let ends_with_close = flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0;
            let opened = Box::into_raw(Box::new(Opened { disk: Arc::clone(disk), name, ends_with_close }));
            // SAFETY: by this function's own condition.
            unsafe {
                file.cast::<OpenFile>().write(OpenFile { head: sqlite3_file { pMethods: &raw const METHODS }, opened });
                if !out.is_null() {
                    *out = flags;
                }
            }
            ffi::SQLITE_OK
        }
    }
}

/// # Safety
///
/// As SQLite calls it: `file` is open, and is not used again.
unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: by this function's own condition; the pointer is from `Box::into_raw`.
    let opened = unsafe { Box::from_raw((*file.cast::<OpenFile>()).opened) };
    if opened.ends_with_close {
        return code(opened.disk.delete(&opened.name));
    }
    ffi::SQLITE_OK
}

/// # Safety
///
/// As SQLite calls it: `file` is open, `into` has room for `count` bytes.
unsafe extern "C" fn read(file: *mut sqlite3_file, into: *mut c_void, count: c_int, at: i64) -> c_int {
    // SAFETY: by this function's own condition.
    let (file, into) = unsafe { (opened(file), slice::from_raw_parts_mut(into.cast::<u8>(), count as usize)) };
    match file.disk.read(&file.name, at as usize, into) {
        Ok(read) if read == into.len() => ffi::SQLITE_OK,
        Ok(read) => {
            into[read..].fill(0);
            ffi::SQLITE_IOERR_SHORT_READ
        }
        Err(trouble) => code_of(trouble),
    }
}

/// # Safety
///
/// As SQLite calls it: `file` is open, `from` has `count` bytes.
unsafe extern "C" fn write(file: *mut sqlite3_file, from: *const c_void, count: c_int, at: i64) -> c_int {
    // SAFETY: by this function's own condition.
    let (file, from) = unsafe { (opened(file), slice::from_raw_parts(from.cast::<u8>(), count as usize)) };
    code(file.disk.write(&file.name, at as usize, from))
}

/// # Safety
///
/// As SQLite calls it: `file` is open.
unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: i64) -> c_int {
    // SAFETY: by this function's own condition.
    let file = unsafe { opened(file) };
    code(file.disk.truncate(&file.name, length as usize))
}

/// # Safety
///
/// As SQLite calls it: `file` is open.
unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: by this function's own condition.
    let file = unsafe { opened(file) };
    code(file.disk.sync(&file.name))
}

/// # Safety
///
/// As SQLite calls it: `file` is open, `out` can be written.
unsafe extern "C" fn file_size(file: *mut sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: by this function's own condition.
    let file = unsafe { opened(file) };
    match file.disk.length(&file.name) {
        Ok(length) => {
            // SAFETY: by this function's own condition.
            unsafe { *out = length as i64 };
            ffi::SQLITE_OK
        }
        Err(_) => ffi::SQLITE_IOERR_FSTAT,
    }
}

unsafe extern "C" fn no_lock(_file: *mut sqlite3_file, _level: c_int) -> c_int {
    ffi::SQLITE_OK
}

/// # Safety
///
/// As SQLite calls it: `out` can be written.
unsafe extern "C" fn is_reserved(_file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: by this function's own condition.
    unsafe { *out = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_file: *mut sqlite3_file, _operation: c_int, _argument: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut sqlite3_file) -> c_int {
    SECTOR_BYTES as c_int
}

/// A write that is torn harms nothing beside it, as SQLite takes for granted on Unix.
unsafe extern "C" fn characteristics(_file: *mut sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

/// # Safety
///
/// As SQLite calls it: `name` is a text.
unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, name: *const c_char, _sync_folder: c_int) -> c_int {
    // SAFETY: by this function's own condition.
    let (disk, name) = unsafe { (disk_of(vfs), text(name)) };
    match name {
        Some(name) if disk.exists(name) => code(disk.delete(name)),
        Some(_) | None => ffi::SQLITE_IOERR_DELETE_NOENT,
    }
}

/// # Safety
///
/// As SQLite calls it: `name` is a text, `out` can be written.
unsafe extern "C" fn access(vfs: *mut sqlite3_vfs, name: *const c_char, _flags: c_int, out: *mut c_int) -> c_int {
    // SAFETY: by this function's own condition.
    unsafe { *out = c_int::from(text(name).is_some_and(|name| disk_of(vfs).exists(name))) };
    ffi::SQLITE_OK
}

/// # Safety
///
/// As SQLite calls it: `name` is a text, `out` has room for `room` bytes.
unsafe extern "C" fn full_name(_vfs: *mut sqlite3_vfs, name: *const c_char, room: c_int, out: *mut c_char) -> c_int {
    // SAFETY: by this function's own condition.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if bytes.len() > room as usize {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: there is room, and SQLite does not let the two overlap.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len()) };
    ffi::SQLITE_OK
}

/// Always the same: chance comes by the seed.
///
/// # Safety
///
/// As SQLite calls it: `out` has room for `count` bytes.
unsafe extern "C" fn randomness(_vfs: *mut sqlite3_vfs, count: c_int, out: *mut c_char) -> c_int {
    // SAFETY: by this function's own condition.
    unsafe { ptr::write_bytes(out, 0x5a, count as usize) };
    count
}

/// Nobody waits in a simulation.
unsafe extern "C" fn sleep_for(_vfs: *mut sqlite3_vfs, microseconds: c_int) -> c_int {
    microseconds
}

/// The store has a clock of its own, and SQLite needs none.
///
/// # Safety
///
/// As SQLite calls it: `out` can be written.
unsafe extern "C" fn current_time(_vfs: *mut sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: by this function's own condition.
    unsafe { *out = 2_460_000.5 };
    ffi::SQLITE_OK
}
