-- Version 1. Rows that are written for every delivery are keyed by ids that only grow, so inserts go to the right edge
-- of their trees. No table has a second index.

-- What was accepted; never changes. `payload` is the row codec's.
CREATE TABLE notifications (
    id         BLOB    NOT NULL PRIMARY KEY,
    deliveries INTEGER NOT NULL,
    payload    BLOB    NOT NULL
) WITHOUT ROWID;

-- Priority and channel, interned: `live` names a lane by a small number.
CREATE TABLE lanes (
    id       INTEGER PRIMARY KEY,
    priority INTEGER NOT NULL,
    channel  TEXT    NOT NULL,
    UNIQUE (priority, channel)
);

-- Where each delivery stands. `status`: 0 open, 1 sent, 2 failed, 3 cancelled.
CREATE TABLE deliveries (
    notification BLOB    NOT NULL,
    idx          INTEGER NOT NULL,
    lane         INTEGER NOT NULL,
    status       INTEGER NOT NULL,
    state        BLOB    NOT NULL,
    recipient    BLOB    NOT NULL,
    PRIMARY KEY (notification, idx)
) WITHOUT ROWID;

-- The deliveries that are not final, in the order of their lanes.
CREATE TABLE live (
    lane         INTEGER NOT NULL,
    due          INTEGER NOT NULL,
    notification BLOB    NOT NULL,
    idx          INTEGER NOT NULL,
    PRIMARY KEY (lane, due, notification, idx)
) WITHOUT ROWID;

-- Deliveries per status of a notification that has more than one; of one delivery its own row says it.
CREATE TABLE tallies (
    notification BLOB    NOT NULL PRIMARY KEY,
    open         INTEGER NOT NULL,
    sent         INTEGER NOT NULL,
    failed       INTEGER NOT NULL,
    cancelled    INTEGER NOT NULL
) WITHOUT ROWID;

-- Notifications cancelled while a delivery was in flight. What is still open when the store is opened is cancelled then.
CREATE TABLE cancelling (
    notification BLOB    NOT NULL PRIMARY KEY,
    at           INTEGER NOT NULL
) WITHOUT ROWID;

-- Every call that was made; only ever added to.
CREATE TABLE attempts (
    notification BLOB    NOT NULL,
    idx          INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    attempt      BLOB    NOT NULL,
    PRIMARY KEY (notification, idx, number)
) WITHOUT ROWID;

-- Events in frames: `count` of them, numbered from `first`. A commit adds as few rows as it can.
CREATE TABLE outbox (
    first INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    frame BLOB    NOT NULL
);

-- Templates by the SHA-256 of their source.
CREATE TABLE templates (
    version BLOB NOT NULL PRIMARY KEY,
    source  BLOB NOT NULL
) WITHOUT ROWID;
