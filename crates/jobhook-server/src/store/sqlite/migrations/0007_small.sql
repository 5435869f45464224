-- The bytes of small blobs. Their names are made of UUIDv7, so new ones lie beside each other.
CREATE TABLE small (
    blob  TEXT NOT NULL PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT, WITHOUT ROWID;

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
