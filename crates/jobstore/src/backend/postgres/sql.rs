//! The statements over many rows.

use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, SmallInt, Text};

use super::statement::statement;
use crate::model::ids::{JobId, Owner, RunId};
use crate::model::job::{JobSource, JobState};
use crate::model::run::{OnCrash, Outcome, Reason, RunState};

statement! {
    /// The server's clock, in microseconds.
    Clock<'a> { unit: &'a i64 } -> BigInt
    = "SELECT (extract(epoch FROM clock_timestamp()) * " [unit: BigInt] ")::bigint"
}

statement! {
    /// Takes guards, in the order of their names. Waits for those which others hold.
    LockGuards<'a> { names: &'a [String] } -> Text
    = "SELECT name FROM scraper_guards WHERE name = ANY(" [names: Array<Text>] ") ORDER BY name FOR UPDATE"
}

statement! {
    /// Takes those guards that nobody holds.
    TryGuards<'a> { names: &'a [String] } -> Text
    = "SELECT name FROM scraper_guards WHERE name = ANY(" [names: Array<Text>] ") ORDER BY name FOR UPDATE SKIP LOCKED"
}

statement! {
    /// Makes guards that are not there yet, in the order of their names.
    MakeGuards<'a> { names: &'a [String] } -> Text
    = "INSERT INTO scraper_guards (name) SELECT n FROM unnest(" [names: Array<Text>]
      ") AS n ORDER BY n ON CONFLICT DO NOTHING RETURNING name"
}

statement! {
    /// Which guards there are.
    KnownGuards<'a> { names: &'a [String] } -> Text
    = "SELECT name FROM scraper_guards WHERE name = ANY(" [names: Array<Text>] ")"
}

statement! {
    /// Moves jobs on to their next fire.
    AdvanceJobs<'a> {
        keys: Vec<i64>, versions: Vec<i64>, states: Vec<JobState>, next: Vec<Option<i64>>, due: Vec<Option<i64>>,
        errors: Vec<Option<&'a str>>, now: i64,
    } -> BigInt
    = "UPDATE scraper_jobs j SET state = u.state, next_fire_at = u.next_fire_at, due_at = u.due_at, error = u.error, \
       version = u.version + 1, updated_at = " [now: BigInt]
      " FROM unnest(" [keys: Array<BigInt>] ", " [versions: Array<BigInt>] ", " [states: Array<Text>]
      ", " [next: Array<Nullable<BigInt>>] ", " [due: Array<Nullable<BigInt>>] ", " [errors: Array<Nullable<Text>>]
      ") AS u(job_key, version, state, next_fire_at, due_at, error) \
       WHERE j.job_key = u.job_key AND j.version = u.version RETURNING j.job_key"
}

statement! {
    /// Stores new jobs.
    InsertJobs<'a> {
        namespaces: Vec<&'a str>, ids: Vec<&'a JobId>, pipelines: Vec<&'a str>, sources: Vec<JobSource>,
        states: Vec<JobState>, paused: Vec<bool>, triggers: Vec<&'a str>, timezones: Vec<&'a str>,
        specs: Vec<&'a str>, next: Vec<Option<i64>>, due: Vec<Option<i64>>, errors: Vec<Option<&'a str>>,
        requested_by: Vec<Option<&'a str>>, versions: Vec<i64>, created: Vec<i64>, updated: Vec<i64>,
    } -> Text
    = "INSERT INTO scraper_jobs (namespace, id, pipeline, source, state, paused, trigger, timezone, spec, \
       next_fire_at, due_at, error, requested_by, version, created_at, updated_at) SELECT * FROM unnest("
      [namespaces: Array<Text>] ", " [ids: Array<Text>] ", " [pipelines: Array<Text>] ", " [sources: Array<Text>]
      ", " [states: Array<Text>] ", " [paused: Array<Bool>] ", " [triggers: Array<Text>] ", " [timezones: Array<Text>]
      ", " [specs: Array<Text>] ", " [next: Array<Nullable<BigInt>>] ", " [due: Array<Nullable<BigInt>>]
      ", " [errors: Array<Nullable<Text>>] ", " [requested_by: Array<Nullable<Text>>] ", " [versions: Array<BigInt>]
      ", " [created: Array<BigInt>] ", " [updated: Array<BigInt>] ") ON CONFLICT DO NOTHING RETURNING id"
}

statement! {
    /// Stores new runs; an instant that a job has a run for already is left alone.
    InsertRuns<'a> {
        ids: Vec<RunId>, namespaces: Vec<&'a str>, pipelines: Vec<&'a str>, jobs: Vec<Option<&'a JobId>>,
        reasons: Vec<Reason>, states: Vec<RunState>, outcomes: Vec<Option<Outcome>>, scheduled: Vec<i64>,
        available: Vec<i64>, deadlines: Vec<Option<i64>>, priorities: Vec<i16>, overlaps: Vec<&'a str>,
        groups: Vec<Option<&'a str>>, group_max: Vec<Option<i32>>, on_crash: Vec<OnCrash>, max_attempts: Vec<i32>,
        attempts: Vec<i32>, owners: Vec<Option<&'a Owner>>, leases: Vec<Option<i64>>, started: Vec<Option<i64>>,
        finished: Vec<Option<i64>>, cancelled: Vec<Option<i64>>, cancelled_by: Vec<Option<&'a str>>,
        requested_by: Vec<Option<&'a str>>, errors: Vec<Option<&'a str>>, notes: Vec<Option<&'a str>>,
        missed: Vec<Option<i64>>, missed_first: Vec<Option<i64>>,
    } -> Text
    = "INSERT INTO scraper_runs (id, namespace, pipeline, job_id, reason, state, outcome, scheduled_for, \
       available_at, deadline_at, priority, overlap, limit_group, limit_max, on_crash, max_attempts, attempt, owner, \
       lease_until, started_at, finished_at, cancel_requested_at, cancel_requested_by, requested_by, error, note, \
       missed_count, missed_first, attempt_started_at, interruptions, staged) \
       SELECT u.*, u.started_at, 0, false FROM unnest("
      [ids: Array<Text>] ", " [namespaces: Array<Text>] ", " [pipelines: Array<Text>] ", " [jobs: Array<Nullable<Text>>]
      ", " [reasons: Array<Text>] ", " [states: Array<Text>] ", " [outcomes: Array<Nullable<Text>>]
      ", " [scheduled: Array<BigInt>] ", " [available: Array<BigInt>] ", " [deadlines: Array<Nullable<BigInt>>]
      ", " [priorities: Array<SmallInt>] ", " [overlaps: Array<Text>] ", " [groups: Array<Nullable<Text>>]
      ", " [group_max: Array<Nullable<Integer>>] ", " [on_crash: Array<Text>] ", " [max_attempts: Array<Integer>]
      ", " [attempts: Array<Integer>] ", " [owners: Array<Nullable<Text>>] ", " [leases: Array<Nullable<BigInt>>]
      ", " [started: Array<Nullable<BigInt>>] ", " [finished: Array<Nullable<BigInt>>]
      ", " [cancelled: Array<Nullable<BigInt>>] ", " [cancelled_by: Array<Nullable<Text>>]
      ", " [requested_by: Array<Nullable<Text>>] ", " [errors: Array<Nullable<Text>>] ", " [notes: Array<Nullable<Text>>]
      ", " [missed: Array<Nullable<BigInt>>] ", " [missed_first: Array<Nullable<BigInt>>]
      ") AS u(id, namespace, pipeline, job_id, reason, state, outcome, scheduled_for, available_at, deadline_at, \
       priority, overlap, limit_group, limit_max, on_crash, max_attempts, attempt, owner, lease_until, started_at, \
       finished_at, cancel_requested_at, cancel_requested_by, requested_by, error, note, missed_count, missed_first) \
       ON CONFLICT DO NOTHING RETURNING id"
}

statement! {
    /// Claims waiting runs.
    ClaimRuns<'a> { ids: Vec<RunId>, attempts: Vec<i32>, owner: &'a Owner, lease_until: i64, now: i64 } -> Text
    = "UPDATE scraper_runs r SET state = 'running', attempt = r.attempt + 1, owner = " [owner: Text]
      ", lease_until = " [lease_until: BigInt] ", started_at = coalesce(r.started_at, u.now), attempt_started_at = u.now \
       FROM (SELECT q.id, w.now FROM unnest(" [ids: Array<Text>] ", " [attempts: Array<Integer>]
      ") AS w0(id, attempt) CROSS JOIN (SELECT " [now: BigInt]
      "::bigint AS now) w JOIN scraper_runs q ON q.id = w0.id AND q.attempt = w0.attempt AND q.state = 'queued' \
       ORDER BY q.id FOR UPDATE OF q SKIP LOCKED) u \
       WHERE r.id = u.id RETURNING r.id"
}

statement! {
    /// Locks runs in the order of their ids, so that two transactions cannot wait for one another.
    LockRuns<'a> { ids: &'a [RunId] } -> Text
    = "SELECT id FROM scraper_runs WHERE id = ANY(" [ids: Array<Text>] ") ORDER BY id FOR UPDATE"
}

statement! {
    /// Ends attempts, each only if its (owner, attempt) still holds the run.
    EndAttempts<'a> {
        ids: Vec<RunId>, owners: Vec<&'a Owner>, attempts: Vec<i32>, requeue: Vec<bool>, outcomes: Vec<Option<Outcome>>,
        ended: Vec<i64>, available: Vec<i64>, interrupted: Vec<i32>, errors: Vec<Option<&'a str>>,
        notes: Vec<Option<&'a str>>, stages: Vec<Option<&'a str>>,
    } -> (Text, Text, Bool, Nullable<BigInt>)
    = "UPDATE scraper_runs r SET \
       state = CASE WHEN u.requeue AND r.cancel_requested_at IS NULL THEN 'queued' ELSE 'finished' END, \
       outcome = CASE WHEN u.requeue AND r.cancel_requested_at IS NULL THEN NULL \
           WHEN u.requeue THEN 'cancelled' ELSE u.outcome END, \
       finished_at = CASE WHEN u.requeue AND r.cancel_requested_at IS NULL THEN NULL ELSE u.ended END, \
       available_at = CASE WHEN u.requeue THEN u.available_at ELSE r.available_at END, \
       interruptions = r.interruptions + u.interrupted, \
       lease_until = NULL, error = u.error, note = u.note, stages = u.stages \
       FROM unnest("
      [ids: Array<Text>] ", " [owners: Array<Text>] ", " [attempts: Array<Integer>] ", " [requeue: Array<Bool>]
      ", " [outcomes: Array<Nullable<Text>>] ", " [ended: Array<BigInt>] ", " [available: Array<BigInt>]
      ", " [interrupted: Array<Integer>] ", " [errors: Array<Nullable<Text>>] ", " [notes: Array<Nullable<Text>>]
      ", " [stages: Array<Nullable<Text>>]
      ") AS u(id, owner, attempt, requeue, outcome, ended, available_at, interrupted, error, note, stages) \
       WHERE r.id = u.id AND r.owner = u.owner AND r.attempt = u.attempt AND r.state = 'running' \
       RETURNING r.id, r.state, r.staged, r.attempt_started_at"
}

statement! {
    /// Renews leases. Rows that another transaction has locked are left out instead of waited for.
    RenewLeases<'a> { ids: Vec<RunId>, attempts: Vec<i32>, owner: &'a Owner, until: i64 } -> Text
    = "UPDATE scraper_runs r SET lease_until = " [until: BigInt]
      " FROM (SELECT q.id FROM unnest(" [ids: Array<Text>] ", " [attempts: Array<Integer>]
      ") AS w(id, attempt) JOIN scraper_runs q ON q.id = w.id AND q.attempt = w.attempt \
       WHERE q.state = 'running' AND q.owner = " [owner: Text]
      " ORDER BY q.id FOR UPDATE OF q SKIP LOCKED) u WHERE r.id = u.id RETURNING r.id"
}
