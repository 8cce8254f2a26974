-- Version 11. What is remembered of channels: a row each, written when its breaker changes or somebody pauses it.
CREATE TABLE channels (
    name TEXT NOT NULL PRIMARY KEY,
    book BLOB NOT NULL
) WITHOUT ROWID;
