-- Ids are the 16 bytes of a UUIDv7; times are milliseconds since the Unix epoch.
-- What the numbers in status, kind and source mean is written in columns.rs.

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE actions (
    id          BLOB    NOT NULL PRIMARY KEY,
    action_type TEXT    NOT NULL,
    status      INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    scheduled   INTEGER,
    expires_at  INTEGER,
    started_at  INTEGER,
    finished_at INTEGER,
    cancel      TEXT,               -- JSON: who, when, why
    retry_of    BLOB,
    timeouts    TEXT,               -- JSON
    traceparent TEXT,
    log_last    INTEGER NOT NULL,
    log_dropped INTEGER NOT NULL,
    log_bytes   INTEGER NOT NULL,
    open        INTEGER NOT NULL,
    payloads    INTEGER NOT NULL    -- one bit for each kind that it has
) STRICT, WITHOUT ROWID;

-- The queue: claims of all types go by the first, claims of some types by the second. They
-- hold the status so that a walk along them never looks into the table.
CREATE INDEX actions_due      ON actions (due_at, id, action_type, status) WHERE status < 2;
CREATE INDEX actions_waiting  ON actions (action_type, due_at, id, status) WHERE status < 2;
CREATE INDEX actions_expiring ON actions (expires_at, id) WHERE expires_at IS NOT NULL;
-- Lists, newest launch first.
CREATE INDEX actions_status   ON actions (status, id);
CREATE INDEX actions_type     ON actions (action_type, id);

-- Arguments, results, details, errors: what may be large, apart from what changes often.
CREATE TABLE payloads (
    action BLOB    NOT NULL REFERENCES actions (id) ON DELETE CASCADE,
    kind   INTEGER NOT NULL,
    body   TEXT    NOT NULL,
    PRIMARY KEY (action, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    action             BLOB    NOT NULL REFERENCES actions (id) ON DELETE CASCADE,
    number             INTEGER NOT NULL,
    runner             TEXT    NOT NULL,
    worker             TEXT    NOT NULL,
    key_id             TEXT    NOT NULL,
    nonce              TEXT    NOT NULL,
    auto_status        INTEGER NOT NULL,
    signature_required INTEGER NOT NULL,
    claimed_at         INTEGER NOT NULL,
    started_at         INTEGER,
    heard_at           INTEGER,
    job_time_ms        INTEGER,
    heartbeat_ns       INTEGER,
    said               INTEGER,
    said_final_at      INTEGER,
    said_failure       TEXT,        -- JSON
    timed_out          TEXT,
    output_offset      INTEGER NOT NULL,
    saw                TEXT,        -- JSON
    closing            TEXT,        -- JSON
    PRIMARY KEY (action, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_open ON attempts (action, number) WHERE closing IS NULL;

-- Which reports of each reporter were applied, until the attempt closes.
CREATE TABLE reporters (
    action   BLOB    NOT NULL REFERENCES actions (id) ON DELETE CASCADE,
    attempt  INTEGER NOT NULL,
    reporter TEXT    NOT NULL,
    applied  BLOB    NOT NULL,
    PRIMARY KEY (action, attempt, reporter)
) STRICT, WITHOUT ROWID;

-- No reference to its action: lines are stored and counted before the row that counts them.
CREATE TABLE lines (
    action  BLOB    NOT NULL,
    number  INTEGER NOT NULL,
    time    INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    source  INTEGER NOT NULL,
    text    TEXT    NOT NULL,
    PRIMARY KEY (action, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    name         TEXT    NOT NULL PRIMARY KEY,
    hash         BLOB    NOT NULL UNIQUE,
    scope        TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;
