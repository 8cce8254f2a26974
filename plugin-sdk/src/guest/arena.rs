//! The allocator of a component whose instance lives for one call: nothing need be given back.
//!
//! An allocation is an addition. The first [`FIRST_BYTES`] are part of the component's initial memory, so that the
//! usual call never asks the host to grow it (which costs a system call). The newest block alone is shrunk, grown or
//! freed in place: that serves a string being built. All else is forgotten until the instance ends; the host's memory
//! limit is the bound on what a call may waste.

use std::{
    alloc::{GlobalAlloc, Layout},
    arch::wasm32::memory_grow,
    cell::{Cell, UnsafeCell},
    ptr,
};

/// Initial heap: one page of WebAssembly; a channel's call takes some 10 KiB.
const FIRST_BYTES: usize = 64 * 1024;

/// A page of WebAssembly.
const PAGE_BYTES: usize = 64 * 1024;

/// Least growth: 4 pages, so that a larger call asks a few times, not hundreds of times.
const GROWTH_PAGES_MIN: usize = 4;

/// See the module.
#[derive(Debug)]
pub struct Arena {
    first: UnsafeCell<[u8; FIRST_BYTES]>,
    /// Where the next block starts; 0 before the first.
    next: Cell<usize>,
    /// Where the present stretch ends.
    end: Cell<usize>,
    /// Where the newest block starts.
    newest: Cell<usize>,
}

// SAFETY: a component built for this target has one thread.
unsafe impl Sync for Arena {}

impl Arena {
    /// An arena with its first stretch unused.
    #[must_use]
    pub const fn new() -> Self {
        let first = UnsafeCell::new([0; FIRST_BYTES]);
        Self { first, next: Cell::new(0), end: Cell::new(0), newest: Cell::new(0) }
    }

    /// A stretch with room for `bytes` at any alignment: the first, or fresh memory.
    #[cold]
    fn open(&self, bytes: usize) -> bool {
        if self.end.get() == 0 && bytes <= FIRST_BYTES {
            let start = self.first.get() as usize;
            self.next.set(start);
            self.end.set(start + FIRST_BYTES);
            return true;
        }
        let pages = bytes.div_ceil(PAGE_BYTES).max(GROWTH_PAGES_MIN);
        let before = memory_grow::<0>(pages);
        if before == usize::MAX {
            return false;
        }
        let start = before * PAGE_BYTES;
        // Two growths in a row are one stretch. Wrapping: the last page of a 4 GiB memory ends at 2^32.
        if start != self.end.get() {
            self.next.set(start);
        }
        self.end.set(start.saturating_add(pages * PAGE_BYTES));
        true
    }

    fn take(&self, bytes: usize, align: usize) -> *mut u8 {
        loop {
            let start = self.next.get().wrapping_add(align - 1) & !(align - 1);
            if start >= self.next.get() && start <= self.end.get() && bytes <= self.end.get() - start && start != 0 {
                self.next.set(start + bytes);
                self.newest.set(start);
                return start as *mut u8;
            }
            // `align - 1` more, so that the block fits whatever the start. Layouts end below 2 GiB: no overflow.
            if !self.open(bytes + align - 1) {
                return ptr::null_mut();
            }
        }
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: blocks are disjoint: `take` hands out `[start, start + bytes)` and moves `next` to its end, and `next` only
// moves back to the start of the newest block, when that is freed or shrunk. Memory is either the static of this arena
// or pages that `memory_grow` has given to this arena alone. There is one thread.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size(), layout.align())
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        if block as usize == self.newest.get() {
            self.next.set(block as usize);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let start = block as usize;
        if start == self.newest.get() && size <= self.end.get().saturating_sub(start) {
            self.next.set(start + size);
            return block;
        }
        if size <= layout.size() {
            return block;
        }
        let moved = self.take(size, layout.align());
        if !moved.is_null() {
            // SAFETY: `block` holds `layout.size()` bytes, `moved` more than that, and they are disjoint.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size()) };
        }
        moved
    }
}
