//! `campanile:plugin/cache` over `capability::cache`.

use std::time::Duration;

use bytes::Bytes;
use wasmtime::component::HasData;

use crate::capability::cache::{CacheError, OpenCache};

use super::super::bindings::campanile::plugin::cache::{Error, Host};
use super::super::state::{CallState, KeepState};

pub(super) struct KeepAbility;

impl HasData for KeepAbility {
    type Data<'a> = &'a mut KeepState;
}

pub(super) fn view(state: &mut CallState) -> &mut KeepState {
    state.pulse.host_call();
    &mut state.keep
}

impl KeepState {
    /// Opened when the guest first asks.
    fn cache(&mut self) -> Result<&mut OpenCache, Error> {
        if self.cache.is_none() {
            let cache = match &self.grants {
                Some(grants) => grants.cache.as_ref().map_err(|denied| Error::Denied(denied.to_string()))?,
                None => return Err(Error::Denied(super::UNGRANTED.to_owned())),
            };
            self.cache = Some(cache.open(self.deadline));
        }
        Ok(self.cache.as_mut().expect("it was opened just above"))
    }
}

fn told<T>(answer: Result<T, CacheError>) -> Result<T, Error> {
    answer.map_err(|error| match error {
        CacheError::Limit(reason) => Error::Limit(reason),
        CacheError::Timeout(reason) => Error::Timeout(reason),
    })
}

fn value(answer: Result<Option<Bytes>, CacheError>) -> Result<Option<Vec<u8>>, Error> {
    told(answer.map(|value| value.map(Vec::from)))
}

impl Host for KeepState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        Ok(self.cache().and_then(|cache| value(cache.get(&key))))
    }

    async fn get_or_claim(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        Ok(match self.cache() {
            Ok(cache) => value(cache.get_or_claim(&key).await),
            Err(error) => Err(error),
        })
    }

    async fn put(&mut self, key: String, value: Vec<u8>, ttl_ms: u32) -> wasmtime::Result<Result<(), Error>> {
        self.pulse.hand_over(value.len() as u64)?;
        let ttl = Duration::from_millis(ttl_ms.into());
        Ok(self.cache().and_then(|cache| told(cache.put(&key, value.into(), ttl))))
    }

    async fn remove(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.cache().and_then(|cache| told(cache.remove(&key))))
    }
}
