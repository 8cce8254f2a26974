-- Version 15. What is told of large notifications, and told again with a key.

-- Deliveries that were cancelled before they were made: they count as cancelled, and have no row.
ALTER TABLE tallies ADD COLUMN never_made INTEGER NOT NULL DEFAULT 0;

-- Places of recipients whom no channel reached when the key was first used. The row codec's.
ALTER TABLE idempotency ADD COLUMN skipped BLOB NOT NULL DEFAULT x'';
