-- Version 12. Which way a delivery took: a row each time another channel stood in, numbered from 1.
CREATE TABLE reroutes (
    notification BLOB    NOT NULL,
    idx          INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    from_channel TEXT    NOT NULL,
    to_channel   TEXT    NOT NULL,
    reason       TEXT    NOT NULL,
    PRIMARY KEY (notification, idx, number)
) WITHOUT ROWID;
