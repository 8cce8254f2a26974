//! How many workers somebody has set by hand: a mark of the database.

use rusqlite::{Connection, OptionalExtension as _};

use super::failure::Failure;

pub(super) fn keep(db: &Connection, workers: Option<u32>) -> Result<(), Failure> {
    match workers {
        Some(workers) => db
            .prepare_cached("INSERT OR REPLACE INTO marks (name, value) VALUES ('workers', ?1)")?
            .execute([workers])?,
        None => db.prepare_cached("DELETE FROM marks WHERE name = 'workers'")?.execute([])?,
    };
    Ok(())
}

pub(super) fn kept(db: &Connection) -> Result<Option<u32>, Failure> {
    let mut statement = db.prepare_cached("SELECT value FROM marks WHERE name = 'workers'")?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?)
}
