//! `campanile:plugin/sign` over `capability::sign`.

use super::super::bindings::campanile::plugin::sign::{Error, Host};
use super::super::state::HttpState;
use crate::capability::sign::SignError;

impl Host for HttpState {
    async fn sign(
        &mut self,
        key: String,
        algorithm: String,
        message: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let Some(open) = &mut self.sign else { return Ok(Err(not_granted(self.grant.is_some()))) };
        let signed = open.sign(&self.secrets, &key, &algorithm, &message);
        // A signature takes time that no fuel counts: the thread is somebody else's first.
        tokio::task::yield_now().await;
        Ok(signed.map_err(to_error))
    }

    async fn jwt(
        &mut self,
        key: String,
        algorithm: String,
        header: String,
        claims: String,
    ) -> wasmtime::Result<Result<String, Error>> {
        let Some(open) = &mut self.sign else { return Ok(Err(not_granted(self.grant.is_some()))) };
        let signed = open.jwt(&mut self.secrets, &key, &algorithm, &header, &claims);
        tokio::task::yield_now().await;
        Ok(signed.map_err(to_error))
    }
}

/// `any`: something else is granted.
fn not_granted(any: bool) -> Error {
    let unasked = "sign is not granted to this call: the plugin's author adds a need `sign` with its algorithms to the \
                   descriptor";
    Error::Denied(if any { unasked } else { super::UNGRANTED }.to_owned())
}

fn to_error(error: SignError) -> Error {
    match error {
        SignError::Denied(reason) => Error::Denied(reason),
        SignError::Invalid(reason) => Error::Invalid(reason),
        SignError::Unsupported(reason) => Error::Unsupported(reason),
    }
}
