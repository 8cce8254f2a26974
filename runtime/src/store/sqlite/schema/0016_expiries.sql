-- Version 16. Until when what was accepted may be sent: what waits behind a channel that is held ends then too.

-- When to look next at a notification that expires, and from which of its deliveries on.
CREATE TABLE expiries (
    at           INTEGER NOT NULL,
    notification BLOB    NOT NULL,
    idx          INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (at, notification)
) WITHOUT ROWID;
