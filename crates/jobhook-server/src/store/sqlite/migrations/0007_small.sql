-- The bytes of small blobs. With a rowid, unlike the other tables: rows are long, and come in order.
CREATE TABLE small (
    blob  TEXT NOT NULL UNIQUE,
    bytes BLOB NOT NULL
) STRICT;

-- They go with the last row that names them.
CREATE TRIGGER contents_small_go AFTER DELETE ON contents
WHEN NOT EXISTS (SELECT 1 FROM contents INDEXED BY contents_blob WHERE blob = old.blob)
    AND NOT EXISTS (SELECT 1 FROM staged WHERE blob = old.blob)
BEGIN
    DELETE FROM small WHERE blob = old.blob;
END;
CREATE TRIGGER staged_small_go AFTER DELETE ON staged
WHEN NOT EXISTS (SELECT 1 FROM contents INDEXED BY contents_blob WHERE blob = old.blob)
BEGIN
    DELETE FROM small WHERE blob = old.blob;
END;

-- How many bytes they are is counted beside those of all.
ALTER TABLE stored ADD COLUMN small INTEGER NOT NULL DEFAULT 0;

CREATE TRIGGER small_come AFTER INSERT ON small BEGIN
    UPDATE stored SET small = small + length(new.bytes) WHERE one = 1;
END;
CREATE TRIGGER small_change AFTER UPDATE ON small BEGIN
    UPDATE stored SET small = small - length(old.bytes) + length(new.bytes) WHERE one = 1;
END;
CREATE TRIGGER small_go AFTER DELETE ON small BEGIN
    UPDATE stored SET small = small - length(old.bytes) WHERE one = 1;
END;
