-- Version 8. A lane is of one flow: 0 is the one that most deliveries share. The rows keep their ids, by which `live` and
-- `deliveries` name them.
CREATE TABLE lanes_with_flows (
    id       INTEGER PRIMARY KEY,
    priority INTEGER NOT NULL,
    channel  TEXT    NOT NULL,
    flow     INTEGER NOT NULL,
    UNIQUE (priority, channel, flow)
);
INSERT INTO lanes_with_flows (id, priority, channel, flow) SELECT id, priority, channel, 0 FROM lanes;
DROP TABLE lanes;
ALTER TABLE lanes_with_flows RENAME TO lanes;
