-- Times are microseconds since 1970-01-01 UTC: to_timestamp(x / 1e6) shows them.

-- A pipeline's name with a trigger. `due_at` is empty wherever the job does not fire (paused, disabled, finished …).
CREATE TABLE scraper_jobs (
    job_key       BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace     TEXT    NOT NULL,
    id            TEXT    NOT NULL,
    pipeline      TEXT    NOT NULL,
    source        TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    paused        BOOLEAN NOT NULL,
    trigger       TEXT    NOT NULL,
    timezone      TEXT    NOT NULL,
    spec          TEXT    NOT NULL,
    next_fire_at  BIGINT,
    due_at        BIGINT,
    error         TEXT,
    requested_by  TEXT,
    version       BIGINT  NOT NULL,
    created_at    BIGINT  NOT NULL,
    updated_at    BIGINT  NOT NULL,
    UNIQUE (namespace, id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
CREATE INDEX scraper_jobs_due ON scraper_jobs (namespace, due_at, job_key) WHERE due_at IS NOT NULL;

-- What a fire or a request starts: one row each, whatever dies. (namespace, job_id, scheduled_for) is the fire's
-- identity. `attempt`, `owner` and `lease_until` are those of the latest attempt; (owner, attempt) fences its writes.
CREATE TABLE scraper_runs (
    id                   TEXT     NOT NULL PRIMARY KEY,
    namespace            TEXT     NOT NULL,
    pipeline             TEXT     NOT NULL,
    job_id               TEXT,
    reason               TEXT     NOT NULL,
    state                TEXT     NOT NULL,
    outcome              TEXT,
    scheduled_for        BIGINT   NOT NULL,
    available_at         BIGINT   NOT NULL,
    deadline_at          BIGINT,
    priority             SMALLINT NOT NULL,
    overlap              TEXT     NOT NULL,
    limit_group          TEXT,
    limit_max            INTEGER,
    on_crash             TEXT     NOT NULL,
    max_attempts         INTEGER  NOT NULL,
    attempt              INTEGER  NOT NULL,
    interruptions        INTEGER  NOT NULL,
    owner                TEXT,
    lease_until          BIGINT,
    started_at           BIGINT,
    attempt_started_at   BIGINT,
    finished_at          BIGINT,
    cancel_requested_at  BIGINT,
    cancel_requested_by  TEXT,
    requested_by         TEXT,
    error                TEXT,
    note                 TEXT,
    stages               TEXT,
    missed_count         BIGINT,
    missed_first         BIGINT,
    staged               BOOLEAN  NOT NULL
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE UNIQUE INDEX scraper_runs_fire ON scraper_runs (namespace, job_id, scheduled_for);
CREATE INDEX scraper_runs_history ON scraper_runs (namespace, pipeline, id);
CREATE INDEX scraper_runs_active ON scraper_runs (namespace, pipeline) WHERE state <> 'finished';
CREATE INDEX scraper_runs_ready ON scraper_runs (namespace, priority, available_at, id) WHERE state = 'queued';
CREATE INDEX scraper_runs_deadline ON scraper_runs (namespace, deadline_at)
    WHERE state = 'queued' AND deadline_at IS NOT NULL;
CREATE INDEX scraper_runs_leases ON scraper_runs (namespace, lease_until) WHERE state = 'running';
CREATE INDEX scraper_runs_groups ON scraper_runs (limit_group) WHERE state = 'running' AND limit_group IS NOT NULL;
CREATE INDEX scraper_runs_cancels ON scraper_runs (owner) WHERE state = 'running' AND cancel_requested_at IS NOT NULL;

-- The attempts that were followed by another one, or that crashed; the latest one is in its run's row.
CREATE TABLE scraper_attempts (
    run_id       TEXT    NOT NULL REFERENCES scraper_runs (id) ON DELETE CASCADE,
    attempt      INTEGER NOT NULL,
    owner        TEXT,
    started_at   BIGINT  NOT NULL,
    finished_at  BIGINT  NOT NULL,
    outcome      TEXT    NOT NULL,
    error        TEXT,
    PRIMARY KEY (run_id, attempt)
);

CREATE TABLE scraper_run_logs (
    run_id   TEXT    NOT NULL REFERENCES scraper_runs (id) ON DELETE CASCADE,
    attempt  INTEGER NOT NULL,
    seq      BIGINT  NOT NULL,
    at       BIGINT  NOT NULL,
    level    TEXT    NOT NULL,
    stage    TEXT,
    text     TEXT    NOT NULL,
    PRIMARY KEY (run_id, attempt, seq)
);

-- Scheduler processes: for `health`, and for taking over the runs of a predecessor that is surely dead.
CREATE TABLE scraper_processes (
    owner          TEXT   NOT NULL PRIMARY KEY,
    namespace      TEXT   NOT NULL,
    host           TEXT   NOT NULL,
    boot_id        TEXT   NOT NULL,
    pid_namespace  TEXT   NOT NULL,
    pid            BIGINT NOT NULL,
    start_time     TEXT   NOT NULL,
    version        TEXT   NOT NULL,
    pipelines      TEXT   NOT NULL,
    started_at     BIGINT NOT NULL,
    last_seen      BIGINT NOT NULL,
    loop_late_us   BIGINT NOT NULL
);
CREATE INDEX scraper_processes_namespace ON scraper_processes (namespace, last_seen);

-- Messages to send, in the order of `id` for each target. `target` is a key that holds no secret.
CREATE TABLE scraper_outbox (
    id             BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace      TEXT    NOT NULL,
    pipeline       TEXT    NOT NULL,
    stage          TEXT    NOT NULL,
    run_id         TEXT,
    target         TEXT    NOT NULL,
    kind           TEXT    NOT NULL,
    payload        TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    batch          TEXT,
    nonce          TEXT,
    attempts       INTEGER NOT NULL,
    next_at        BIGINT  NOT NULL,
    error          TEXT,
    created_at     BIGINT  NOT NULL,
    owner          TEXT,
    claimed_until  BIGINT
);
CREATE INDEX scraper_outbox_order ON scraper_outbox (namespace, target, id) WHERE state <> 'dead';

-- Messages that become valid when their attempt succeeds.
CREATE TABLE scraper_outbox_staged (
    seq       BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id    TEXT    NOT NULL REFERENCES scraper_runs (id) ON DELETE CASCADE,
    attempt   INTEGER NOT NULL,
    pipeline  TEXT    NOT NULL,
    stage     TEXT    NOT NULL,
    target    TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    payload   TEXT    NOT NULL
);
CREATE INDEX scraper_outbox_staged_run ON scraper_outbox_staged (run_id, attempt);

-- What stages keep between runs.
CREATE TABLE scraper_stage_state (
    namespace  TEXT NOT NULL,
    pipeline   TEXT NOT NULL,
    stage      TEXT NOT NULL,
    key        BYTEA NOT NULL,
    value      BYTEA NOT NULL,
    PRIMARY KEY (namespace, pipeline, stage, key)
);

-- Writes to it that become valid when their attempt succeeds: `op` is put, delete or touch.
CREATE TABLE scraper_stage_staged (
    run_id    TEXT    NOT NULL REFERENCES scraper_runs (id) ON DELETE CASCADE,
    attempt   INTEGER NOT NULL,
    pipeline  TEXT    NOT NULL,
    stage     TEXT    NOT NULL,
    key       BYTEA    NOT NULL,
    op        TEXT    NOT NULL,
    value     BYTEA,
    PRIMARY KEY (run_id, attempt, pipeline, stage, key)
);

-- Counts the changes that running schedulers should notice at once.
CREATE TABLE scraper_changes (
    namespace  TEXT   NOT NULL PRIMARY KEY,
    counter    BIGINT NOT NULL
);

-- One row for each pipeline and limit group: its lock serialises what depends on what else is running.
CREATE TABLE scraper_guards (
    name  TEXT NOT NULL PRIMARY KEY
);
