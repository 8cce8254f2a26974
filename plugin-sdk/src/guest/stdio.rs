//! What the standard library prints, in a component without WASI: it goes to the host's log. Called from functions with
//! libc's names, which `export_channel!` and `export_template_engine!` define.

use std::slice;

use super::imports::campanile::plugin::log::{Level, log};

/// `iovec` of libc.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Stretch {
    bytes: *const u8,
    length: usize,
}

const STDERR: i32 = 2;

/// One line of log: an error from standard error, which is where panics are told; all else is information.
///
/// # Safety
///
/// `bytes` points to `length` bytes.
pub unsafe fn write(descriptor: i32, bytes: *const u8, length: usize) -> isize {
    // SAFETY: the caller's promise.
    let bytes = if length == 0 { &[] } else { unsafe { slice::from_raw_parts(bytes, length) } };
    tell(descriptor, bytes);
    // A length is at most `isize::MAX`.
    length.cast_signed()
}

/// As [`write`], of several stretches at once.
///
/// # Safety
///
/// `stretches` points to `count` stretches, each of which points to as many bytes as it says.
pub unsafe fn write_all(descriptor: i32, stretches: *const Stretch, count: i32) -> isize {
    let count = usize::try_from(count).unwrap_or_default();
    // SAFETY: the caller's promise.
    let stretches = if count == 0 { &[] } else { unsafe { slice::from_raw_parts(stretches, count) } };
    let mut all = Vec::new();
    for stretch in stretches.iter().filter(|stretch| stretch.length > 0) {
        // SAFETY: the caller's promise.
        all.extend_from_slice(unsafe { slice::from_raw_parts(stretch.bytes, stretch.length) });
    }
    tell(descriptor, &all);
    all.len().cast_signed()
}

fn tell(descriptor: i32, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    if !text.is_empty() {
        let level = if descriptor == STDERR { Level::Error } else { Level::Info };
        log(level, text, &[]);
    }
}
