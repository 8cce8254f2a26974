//! Names of webhooks, which no closure may have: what is remembered of a callback, it finds again by its name.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::CallbackName;

/// The names that webhooks have. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct TakenNames(Arc<Mutex<BTreeSet<CallbackName>>>);

impl TakenNames {
    /// Others in the place of those there are.
    pub(super) fn replace<'n>(&self, names: impl Iterator<Item = &'n CallbackName>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = names.cloned().collect();
    }

    pub(crate) fn has(&self, name: &CallbackName) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }
}
