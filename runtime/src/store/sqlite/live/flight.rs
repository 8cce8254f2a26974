//! What readers are told of claims.

use super::Live;
use crate::domain::DeliveryState;
use crate::store::{DeliveryRecord, Flight};

impl Live {
    /// Says of each that waits whether it is in flight, whether a cancel is asked for that waits for it, and how often the
    /// process died of it, as far as known.
    pub(in crate::store::sqlite) fn mark(&self, deliveries: &mut [DeliveryRecord]) {
        let state = self.lock();
        for delivery in deliveries {
            let DeliveryState::Waiting(progress) = &delivery.state else { continue };
            delivery.crashes = state.suspects.crashes(delivery.id);
            if !state.in_flight.contains_key(&delivery.id) {
                continue;
            }
            // What its provider took goes on to its final word, whoever cancels it.
            let is_withdrawn = progress.accepted.is_none() && state.is_cancelling(delivery.id);
            delivery.flight = if is_withdrawn { Flight::Withdrawn } else { Flight::UnderWay };
        }
    }
}
