//! `campanile:plugin/kv` over `capability::kv`.

use crate::capability::kv::{KvError, OpenKv};
use crate::domain::KvEntry;

use super::super::bindings::campanile::plugin::kv::{Entry, Error, Host};
use super::super::state::KeepState;

impl KeepState {
    /// Opened when the guest first asks.
    fn kv(&mut self) -> Result<&mut OpenKv, Error> {
        if self.kv.is_none() {
            let kv = match &self.grants {
                Some(grants) => grants.kv.as_ref().map_err(|denied| Error::Denied(denied.to_string()))?,
                None => return Err(Error::Denied(super::UNGRANTED.to_owned())),
            };
            self.kv = Some(kv.open(self.deadline));
        }
        Ok(self.kv.as_mut().expect("it was opened just above"))
    }
}

fn told<T>(answer: Result<T, KvError>) -> Result<T, Error> {
    answer.map_err(|error| match error {
        KvError::Limit(reason) => Error::Limit(reason),
        KvError::Conflict(version) => Error::Conflict(version),
        KvError::Unavailable(reason) => Error::Unavailable(reason),
    })
}

impl Host for KeepState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Entry>, Error>> {
        let kv = match self.kv() {
            Ok(kv) => kv,
            Err(error) => return Ok(Err(error)),
        };
        let entry = told(kv.get(&key).await);
        Ok(entry.map(|entry| entry.map(|KvEntry { value, version }| Entry { value, version })))
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        expected: Option<u64>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        self.pulse.hand_over(value.len() as u64)?;
        Ok(match self.kv() {
            Ok(kv) => told(kv.set(&key, value, expected).await),
            Err(error) => Err(error),
        })
    }

    async fn remove(&mut self, key: String, expected: Option<u64>) -> wasmtime::Result<Result<(), Error>> {
        Ok(match self.kv() {
            Ok(kv) => told(kv.remove(&key, expected).await),
            Err(error) => Err(error),
        })
    }

    async fn keys(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, Error>> {
        Ok(match self.kv() {
            Ok(kv) => told(kv.keys(&prefix, after.as_deref(), limit).await),
            Err(error) => Err(error),
        })
    }
}
