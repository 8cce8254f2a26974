//! `campanile:plugin/kv`.

use super::super::bindings::campanile::plugin::kv::{Entry, Error, Host};
use super::super::state::HttpState;

fn denied<T>() -> wasmtime::Result<Result<T, Error>> {
    Ok(Err(Error::Denied("kv is not granted to this call".to_owned())))
}

impl Host for HttpState {
    async fn get(&mut self, _: String) -> wasmtime::Result<Result<Option<Entry>, Error>> {
        denied()
    }

    async fn set(&mut self, _: String, _: Vec<u8>, _: Option<u64>) -> wasmtime::Result<Result<u64, Error>> {
        denied()
    }

    async fn remove(&mut self, _: String, _: Option<u64>) -> wasmtime::Result<Result<(), Error>> {
        denied()
    }

    async fn keys(&mut self, _: String, _: Option<String>, _: u32) -> wasmtime::Result<Result<Vec<String>, Error>> {
        denied()
    }
}
