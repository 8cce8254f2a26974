-- Version 6. Deliveries that are still to be made: what a large notification was accepted with, a thousand to a row.
-- Written before the notification is, so a row whose notification is not there was never accepted. `targets` is the row
-- codec's.
CREATE TABLE targets (
    notification BLOB    NOT NULL,
    first        INTEGER NOT NULL,
    count        INTEGER NOT NULL,
    targets      BLOB    NOT NULL,
    PRIMARY KEY (notification, first)
) WITHOUT ROWID;
