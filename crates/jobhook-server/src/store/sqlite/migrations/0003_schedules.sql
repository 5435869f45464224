-- A deleted schedule keeps its row, so that no revision is ever used twice.
CREATE TABLE schedules (
    name       TEXT    NOT NULL PRIMARY KEY,
    revision   INTEGER NOT NULL,
    definition TEXT    NOT NULL,    -- JSON
    source     TEXT    NOT NULL,
    paused     TEXT,                -- JSON: when, who, why
    watermark  INTEGER NOT NULL,    -- every moment up to here is decided
    ticks      INTEGER NOT NULL,    -- the number of the newest
    queued     INTEGER NOT NULL,    -- how many of them wait
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT, WITHOUT ROWID;

-- What became of a schedule's moments. The key is why none fires twice.
CREATE TABLE ticks (
    schedule   TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    local      TEXT    NOT NULL,
    fold       INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    first_at   INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    more       INTEGER NOT NULL,
    decided_at INTEGER NOT NULL,
    caught_up  INTEGER NOT NULL,
    run_by     TEXT,
    outcome    TEXT    NOT NULL,    -- JSON
    queued     INTEGER NOT NULL,
    PRIMARY KEY (schedule, revision, local, fold)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX ticks_history ON ticks (schedule, number);
CREATE INDEX ticks_queued ON ticks (schedule, number) WHERE queued;

-- The actions of a schedule that are not over: not final, or open.
CREATE INDEX actions_live ON actions (schedule, id)
    WHERE schedule IS NOT NULL AND (status < 4 OR open);
