//! Which way deliveries took: written with the settlement that sends one through another channel.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::failure::Failure;
use super::read;
use super::wire::Damaged;
use crate::domain::{DeliveryId, NotificationId, Rerouted};

/// Adds one behind those that there are.
pub(super) fn insert(db: &Connection, id: DeliveryId, rerouted: &Rerouted) -> Result<(), Failure> {
    let Rerouted { from, to, at, reason } = rerouted;
    let key = id.notification();
    db.prepare_cached(
        "INSERT INTO reroutes (notification, idx, number, at, from_channel, to_channel, reason)
         SELECT ?1, ?2, coalesce(max(number), 0) + 1, ?3, ?4, ?5, ?6 FROM reroutes WHERE notification = ?1 AND idx = ?2",
    )?
    .execute(params![key.as_bytes(), id.index(), at.as_millis() as i64, from.as_str(), to.as_str(), reason])?;
    Ok(())
}

/// Of the deliveries of a notification with these indexes, by index.
pub(super) fn of(
    db: &Connection,
    id: NotificationId,
    first: u32,
    last: u32,
) -> Result<HashMap<u32, Vec<Rerouted>>, Failure> {
    let mut statement = db.prepare_cached(
        "SELECT idx, from_channel, to_channel, at, reason FROM reroutes
         WHERE notification = ?1 AND idx BETWEEN ?2 AND ?3 ORDER BY idx, number",
    )?;
    let mut rows = statement.query(params![id.as_bytes(), first, last])?;
    let mut reroutes: HashMap<u32, Vec<Rerouted>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let reason = row.get_ref(4)?.as_str().map_err(|_| Damaged("reroute"))?.to_owned();
        let (from, to, at) = (read::channel(row, 1)?, read::channel(row, 2)?, read::timestamp(row, 3)?);
        reroutes.entry(row.get(0)?).or_default().push(Rerouted { from, to, at, reason });
    }
    Ok(reroutes)
}
