//! Callbacks that are called, or not, while deliveries are measured.

use std::sync::Arc;

use super::Beside;
use crate::callback::webhook::TakenNames;
use crate::callback::{CallbackError, CallbackSettings, Callbacks, Joints, Registration};
use crate::clock::{Clock, Entropy};
use crate::events::{EventLog, Outlet};
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

/// What calls callbacks, by the settings that a runtime has, with those that are wanted.
pub(super) async fn start(
    beside: Beside,
    outlet: Outlet,
    store: &Arc<dyn Store>,
    (clock, entropy): (&Arc<dyn Clock>, &Arc<Entropy>),
    metrics: &Arc<Metrics>,
) -> Result<Callbacks, StoreError> {
    let joints = Joints {
        store: Arc::clone(store),
        clock: Arc::clone(clock),
        entropy: Arc::clone(entropy),
        log: EventLog::start(outlet, Arc::clone(store)).await?,
        metrics: Arc::clone(metrics),
        taken: TakenNames::default(),
    };
    let defect = |error: &dyn std::fmt::Display| StoreError::Internal { reason: error.to_string() };
    let callbacks = Callbacks::start(joints, CallbackSettings::default()).map_err(|error| defect(&error))?;
    if beside == Beside::StuckCallback {
        let stuck = Registration::completion(|_| std::future::pending::<()>());
        callbacks.register(stuck).await.map_err(|error| match error {
            CallbackError::Store(error) => error,
            error => defect(&error),
        })?;
    }
    Ok(callbacks)
}
