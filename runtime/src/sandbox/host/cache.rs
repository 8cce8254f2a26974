//! `campanile:plugin/cache`.

use super::super::bindings::campanile::plugin::cache::{Error, Host};
use super::super::state::HttpState;

fn denied<T>() -> wasmtime::Result<Result<T, Error>> {
    Ok(Err(Error::Denied("cache is not granted to this call".to_owned())))
}

impl Host for HttpState {
    async fn get(&mut self, _: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        denied()
    }

    async fn get_or_claim(&mut self, _: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        denied()
    }

    async fn put(&mut self, _: String, _: Vec<u8>, _: u32) -> wasmtime::Result<Result<(), Error>> {
        denied()
    }

    async fn remove(&mut self, _: String) -> wasmtime::Result<Result<(), Error>> {
        denied()
    }
}
