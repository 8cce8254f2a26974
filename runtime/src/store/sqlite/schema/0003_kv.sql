-- Version 3. What channels keep between calls.

-- Keys sort by their bytes.
CREATE TABLE kv (
    channel TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    value   BLOB    NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (channel, key)
) WITHOUT ROWID;

-- How much each channel keeps, so that a quota costs no sum over its rows. `removed`: the highest version among the keys
-- it removed; a key that is set anew gets a higher one.
CREATE TABLE kv_usage (
    channel TEXT    NOT NULL PRIMARY KEY,
    bytes   INTEGER NOT NULL,
    keys    INTEGER NOT NULL,
    removed INTEGER NOT NULL
) WITHOUT ROWID;
