-- Version 8. Who did what, and what is done to one delivery.

-- Deliveries cancelled by themselves while they were in flight. What is still open when the store is opened is cancelled
-- then.
CREATE TABLE cancelling_one (
    notification BLOB    NOT NULL,
    idx          INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (notification, idx)
) WITHOUT ROWID;
