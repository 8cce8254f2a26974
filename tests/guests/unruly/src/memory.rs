//! Marks left in memory, and a look for those that another call has left.

/// How much is marked: more than the pool resets by copying, so that both ways of resetting are seen.
const MARKED: usize = 4 << 20;

/// Put together at run time: the word must not stand in the program's own data.
fn word() -> u64 {
    std::hint::black_box(0x5ca1_ab1e_u64) << 32 | std::hint::black_box(0x0ddb_a115)
}

/// Fills every page that the allocator gives with the word, and leaves it there.
pub(crate) fn mark() {
    let words = vec![word(); MARKED / size_of::<u64>()];
    std::mem::forget(std::hint::black_box(words));
}

/// Counts the words in all of linear memory, after it has grown to the size it has when marked.
#[cfg(target_arch = "wasm32")]
pub(crate) fn count() -> usize {
    core::arch::wasm32::memory_grow::<0>(MARKED >> 16);
    let end = core::arch::wasm32::memory_size::<0>() << 16;
    let word = word();
    (8..end)
        .step_by(size_of::<u64>())
        // SAFETY: every address below `memory.size` may be read, and nothing else runs in this instance.
        .filter(|at| unsafe { std::ptr::read_volatile(*at as *const u64) } == word)
        .count()
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn count() -> usize {
    unreachable!("guests run in a sandbox")
}
