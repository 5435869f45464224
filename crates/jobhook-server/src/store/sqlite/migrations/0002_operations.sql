-- An action that was launched as an operation has the operation's id as its type.
ALTER TABLE actions ADD COLUMN operation INTEGER NOT NULL DEFAULT 0;
-- The schedule that launched it.
ALTER TABLE actions ADD COLUMN schedule TEXT;
