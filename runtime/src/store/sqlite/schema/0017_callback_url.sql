-- Version 17. Where notifications have what happens to them told. Those that name no place have no row.

-- `ended`: its receiver wants to hear no more of this notification.
CREATE TABLE callback_urls (
    notification BLOB    NOT NULL PRIMARY KEY,
    url          TEXT    NOT NULL,
    ended        INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
