//! The door to the host: the contract's imports in the sandbox, the mock host in a native build.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::guest::host::{
    cache_get, cache_get_or_claim, cache_put, cache_remove, exchange, jwt, kv_get, kv_keys, kv_remove, kv_set, log,
    sign,
};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::host::{
    cache_get, cache_get_or_claim, cache_put, cache_remove, exchange, jwt, kv_get, kv_keys, kv_remove, kv_set, log,
    sign,
};

/// Writes one line to standard output, which the host captures and hands on.
///
/// `line` is written as it is: escape what may not be in it.
pub fn print_line(line: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::guest::host::print_line(line);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::host::print_line(line);
}
