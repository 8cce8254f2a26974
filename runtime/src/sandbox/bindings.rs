//! The contract as Rust types, generated from `wit/`.
//!
//! Nothing outside this room names them: [`convert`](super::convert) is the only place where they become ours.

#![allow(missing_docs, reason = "generated; `wit/` documents every item")]
#![allow(unreachable_pub, reason = "generated")]
#![allow(clippy::large_futures, clippy::needless_pass_by_value, clippy::too_many_lines, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "host",
    imports: { default: async | trappable, "campanile:plugin/log": trappable },
    exports: { default: async },
    // Parameters of exports are borrowed: no string is cloned for a call.
    ownership: Borrowing { duplicate_if_necessary: true },
    trappable_error_type: { "campanile:plugin/http.error" => super::host::HttpEnd },
});
