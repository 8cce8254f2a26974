-- Version 7. What is in flight for long, so that a crash can be laid to it. `now`: 1 while it is in flight.
CREATE TABLE in_flight (
    notification BLOB    NOT NULL,
    idx          INTEGER NOT NULL,
    crashes      INTEGER NOT NULL,
    now          INTEGER NOT NULL,
    PRIMARY KEY (notification, idx)
) WITHOUT ROWID;

-- `open`: 1 while a process has the file; still 1 at the next start where it died.
CREATE TABLE marks (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
