-- Version 5. What is found without looking at every row.

-- Deliveries that failed and that nobody replayed or purged.
CREATE TABLE dead_letters (
    notification BLOB    NOT NULL,
    idx          INTEGER NOT NULL,
    PRIMARY KEY (notification, idx)
) WITHOUT ROWID;

INSERT INTO dead_letters SELECT notification, idx FROM deliveries WHERE status = 2;

-- Addresses and correlation ids, hashed, with the notifications that have them. `hour` is that of the notification's
-- id: inserts stay in the few pages of the present, however many rows there are, and a question looks at one place for
-- each hour.
CREATE TABLE lookups (
    hour         INTEGER NOT NULL,
    hash         INTEGER NOT NULL,
    notification BLOB    NOT NULL,
    PRIMARY KEY (hour, hash, notification)
) WITHOUT ROWID;
