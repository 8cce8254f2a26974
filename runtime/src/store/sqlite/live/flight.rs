//! What readers are told of claims.

use super::Live;
use crate::domain::DeliveryState;
use crate::store::{DeliveryRecord, Flight};

impl Live {
    /// Says of each that waits whether it is in flight, and whether a cancel is asked for that waits for it.
    pub(in crate::store::sqlite) fn mark(&self, deliveries: &mut [DeliveryRecord]) {
        let state = self.lock();
        if state.in_flight.is_empty() {
            return;
        }
        for delivery in deliveries {
            let DeliveryState::Waiting(progress) = &delivery.state else { continue };
            if !state.in_flight.contains_key(&delivery.id) {
                continue;
            }
            // What its provider took goes on to its final word, whoever cancels it.
            let is_withdrawn = progress.accepted.is_none() && state.is_cancelling(delivery.id);
            delivery.flight = if is_withdrawn { Flight::Withdrawn } else { Flight::UnderWay };
        }
    }
}
