-- How many contents there are, and how much is staged, is counted beside the bytes of both.
ALTER TABLE stored ADD COLUMN count INTEGER NOT NULL DEFAULT 0;

UPDATE stored SET count =
    (SELECT count(*) FROM contents) + (SELECT count(*) FROM staged);

DROP TRIGGER contents_come;
DROP TRIGGER contents_go;
DROP TRIGGER staged_come;
DROP TRIGGER staged_go;

CREATE TRIGGER contents_come AFTER INSERT ON contents BEGIN
    UPDATE stored SET count = count + 1, bytes = bytes + new.size WHERE one = 1;
END;
CREATE TRIGGER contents_go AFTER DELETE ON contents BEGIN
    UPDATE stored SET count = count - 1, bytes = bytes - old.size WHERE one = 1;
END;
CREATE TRIGGER staged_come AFTER INSERT ON staged BEGIN
    UPDATE stored SET count = count + 1, bytes = bytes + new.size WHERE one = 1;
END;
CREATE TRIGGER staged_go AFTER DELETE ON staged BEGIN
    UPDATE stored SET count = count - 1, bytes = bytes - old.size WHERE one = 1;
END;
