-- Version 14. `epoch`: tells this life of the database from others, by chance. `numbered`: numbers of events up to this may
-- have been given where commits are not synced.
INSERT INTO marks (name, value) VALUES ('epoch', random()), ('numbered', 0);
