-- Version 13. What is remembered of callbacks.

-- How far each has come in the outbox, and whether its receiver wants to hear no more.
CREATE TABLE callbacks (
    name            TEXT    NOT NULL PRIMARY KEY,
    cursor          INTEGER NOT NULL,
    disabled_at     INTEGER,
    disabled_reason TEXT
) WITHOUT ROWID;

-- Events that a callback is still to hear of, after its cursor has gone on.
CREATE TABLE owed_callbacks (
    callback     TEXT    NOT NULL,
    event        INTEGER NOT NULL,
    notification BLOB,
    attempts     INTEGER NOT NULL,
    due          INTEGER NOT NULL,
    last_error   TEXT,
    PRIMARY KEY (callback, event)
) WITHOUT ROWID;

-- Calls that were given up. An id never comes back: who walks through them in pages would miss one.
CREATE TABLE dead_callbacks (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    callback     TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    event        INTEGER NOT NULL,
    notification BLOB,
    idx          INTEGER,
    attempts     INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    at           INTEGER NOT NULL
);

ALTER TABLE totals ADD COLUMN dead_callbacks INTEGER NOT NULL DEFAULT 0;
