-- Version 4. What is to happen once.

-- Idempotency keys of callers, hashed, with what they were first used for. `deduplicated` is the row codec's.
CREATE TABLE idempotency (
    key          BLOB    NOT NULL PRIMARY KEY,
    at           INTEGER NOT NULL,
    digest       BLOB    NOT NULL,
    notification BLOB    NOT NULL,
    deduplicated BLOB    NOT NULL
) WITHOUT ROWID;

-- The delivery that was the first with a dedupe key, channel and address, hashed together.
CREATE TABLE dedupe (
    key          BLOB    NOT NULL PRIMARY KEY,
    at           INTEGER NOT NULL,
    notification BLOB    NOT NULL,
    idx          INTEGER NOT NULL
) WITHOUT ROWID;
