-- Version 9. Who did what, and what is done to one delivery.

-- Deliveries cancelled by themselves while they were in flight. What is still open when the store is opened is cancelled
-- then.
CREATE TABLE cancelling_one (
    notification BLOB    NOT NULL,
    idx          INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (notification, idx)
) WITHOUT ROWID;

-- Who did what, in frames: `count` entries, the first of them at `at`, all within a second. `seq` tells frames of one moment
-- apart. A commit adds as few rows as it can.
CREATE TABLE audit (
    at    INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    count INTEGER NOT NULL,
    frame BLOB    NOT NULL,
    PRIMARY KEY (at, seq)
) WITHOUT ROWID;

-- What is there of each kind, so that nobody has to count it: one row, which each commit brings up to date.
CREATE TABLE totals (
    id           INTEGER PRIMARY KEY CHECK (id = 0),
    dead_letters INTEGER NOT NULL,
    retrying     INTEGER NOT NULL,
    event_bytes  INTEGER NOT NULL,
    audit_bytes  INTEGER NOT NULL
);

INSERT INTO totals SELECT 0, (SELECT count(*) FROM dead_letters), 0,
    (SELECT coalesce(sum(length(frame)), 0) FROM outbox), 0;

-- What a key stands for is kept for as long as the key holds, also where there is too much.
CREATE INDEX idempotency_of ON idempotency (notification);
