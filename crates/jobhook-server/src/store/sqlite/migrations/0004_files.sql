-- What a launch allows its job to do with files of others: JSON, nothing if it allows nothing.
ALTER TABLE actions ADD COLUMN grants TEXT;

-- Bytes that are stored, each once.
CREATE TABLE contents (
    sha256     BLOB    NOT NULL PRIMARY KEY,
    md5        BLOB    NOT NULL,
    challenge  BLOB    NOT NULL,
    size       INTEGER NOT NULL,
    blob       TEXT    NOT NULL,
    idle_since INTEGER              -- no file has it since then
) STRICT, WITHOUT ROWID;

CREATE INDEX contents_md5  ON contents (md5, challenge);
CREATE INDEX contents_blob ON contents (blob);
CREATE INDEX contents_idle ON contents (idle_since) WHERE idle_since IS NOT NULL;

-- Bytes that were uploaded and belong to nothing yet.
CREATE TABLE staged (
    blob      TEXT    NOT NULL PRIMARY KEY,
    sha256    BLOB    NOT NULL,
    md5       BLOB    NOT NULL,
    challenge BLOB    NOT NULL,
    size      INTEGER NOT NULL,
    at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX staged_at ON staged (at);

-- How many bytes both have, in one row: nobody has to count them.
CREATE TABLE stored (
    one   INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    bytes INTEGER NOT NULL
) STRICT;

INSERT INTO stored (one, bytes) VALUES (1, 0);

CREATE TRIGGER contents_come AFTER INSERT ON contents BEGIN
    UPDATE stored SET bytes = bytes + new.size WHERE one = 1;
END;
CREATE TRIGGER contents_go AFTER DELETE ON contents BEGIN
    UPDATE stored SET bytes = bytes - old.size WHERE one = 1;
END;
CREATE TRIGGER staged_come AFTER INSERT ON staged BEGIN
    UPDATE stored SET bytes = bytes + new.size WHERE one = 1;
END;
CREATE TRIGGER staged_go AFTER DELETE ON staged BEGIN
    UPDATE stored SET bytes = bytes - old.size WHERE one = 1;
END;

-- What has files. An action has a row here once it has some.
CREATE TABLE objects (
    store      TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    files      TEXT    NOT NULL,    -- JSON: how many each property has
    bytes      INTEGER NOT NULL,
    PRIMARY KEY (store, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE files (
    store       TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    property    TEXT    NOT NULL,
    number      INTEGER NOT NULL,   -- its index
    content     BLOB    NOT NULL REFERENCES contents (sha256),
    name        TEXT,
    mimetype    TEXT    NOT NULL,
    metadata    TEXT,               -- JSON
    attempt     INTEGER,
    attached_at INTEGER NOT NULL,
    PRIMARY KEY (store, id, property, number),
    FOREIGN KEY (store, id) REFERENCES objects (store, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Whether anybody has a content; whether a property has it under a name.
CREATE INDEX files_content ON files (content, name);
