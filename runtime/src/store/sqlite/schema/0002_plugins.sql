-- Version 2. What is remembered of plugins: a row each, written when an operator or a fault changes something.
CREATE TABLE plugins (
    name TEXT NOT NULL PRIMARY KEY,
    book BLOB NOT NULL
) WITHOUT ROWID;
