//! The host interfaces as guests see them: thin adapters, one file for each ability.
//!
//! *Invariants:* every interface of the contract is always linked; what is not granted answers `denied`.
//!
//! *Not here:* what an ability does (`capability`).

mod cache;
mod http;
mod kv;
mod log;
mod sign;
mod wasi_http;

use wasmtime::Engine;
use wasmtime::component::Linker;

pub(super) use http::HttpEnd;

use super::bindings::campanile::plugin;
use super::state::CallState;

/// What a call is told that nothing is granted to: no section of the configuration could.
const UNGRANTED: &str = "nothing is granted to this call: a plugin that describes itself, judges a config or renders \
                         reaches nobody and keeps nothing, and no setting changes that";

/// Everything a plugin can import, linked once for all plugins.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    plugin::types::add_to_linker::<_, http::HttpAbility>(&mut linker, http::view)?;
    plugin::http::add_to_linker::<_, http::HttpAbility>(&mut linker, http::view)?;
    plugin::sign::add_to_linker::<_, http::HttpAbility>(&mut linker, http::view)?;
    plugin::cache::add_to_linker::<_, cache::KeepAbility>(&mut linker, cache::view)?;
    plugin::kv::add_to_linker::<_, cache::KeepAbility>(&mut linker, cache::view)?;
    plugin::log::add_to_linker::<_, log::LogAbility>(&mut linker, log::view)?;
    Ok(linker)
}
