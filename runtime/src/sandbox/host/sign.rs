//! `campanile:plugin/sign`.

use super::super::bindings::campanile::plugin::sign::{Error, Host};
use super::super::state::HttpState;

const DENIED: &str = "sign is not granted to this call";

impl Host for HttpState {
    async fn sign(&mut self, _: String, _: String, _: Vec<u8>) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(Err(Error::Denied(DENIED.to_owned())))
    }

    async fn jwt(&mut self, _: String, _: String, _: String, _: String) -> wasmtime::Result<Result<String, Error>> {
        Ok(Err(Error::Denied(DENIED.to_owned())))
    }
}
