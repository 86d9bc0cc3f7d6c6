//! The updates that a turn makes for each fire, claim and end.

use diesel::sql_types::{BigInt, Binary, Bool, Integer, Nullable, Text};

use super::cached::statement;
use crate::model::ids::{Owner, RunId};
use crate::model::job::JobState;
use crate::model::run::Outcome;

statement! {
    /// Moves a job on, unless somebody has changed it.
    AdvanceJob<'a>:
    "UPDATE scraper_jobs SET state = " [state: JobState as Text]
    ", next_fire_at = " [next_fire_at: Option<i64> as Nullable<BigInt>]
    ", due_at = " [due_at: Option<i64> as Nullable<BigInt>]
    ", error = " [error: Option<&'a str> as Nullable<Text>]
    ", version = version + 1, updated_at = " [now: i64 as BigInt]
    " WHERE job_key = " [job_key: i64 as BigInt]
    " AND version = " [version: i64 as BigInt]
}

statement! {
    /// Begins the next attempt of a waiting run, unless somebody has.
    ClaimRun<'a>:
    "UPDATE scraper_runs SET state = 'running', attempt = attempt + 1, owner = " [owner: &'a Owner as Text]
    ", lease_until = " [lease_until: i64 as BigInt]
    ", attempt_started_at = " [now: i64 as BigInt]
    ", started_at = coalesce(started_at, " [first_start: i64 as BigInt]
    ") WHERE id = " [run: RunId as Text]
    " AND state = 'queued' AND attempt = " [attempt: i32 as Integer]
}

statement! {
    /// Ends a run by the attempt that holds it. Gives back whether there are staged writes.
    FinishRun<'a> -> Bool:
    "UPDATE scraper_runs SET state = 'finished', outcome = " [outcome: Option<Outcome> as Nullable<Text>]
    ", finished_at = " [at: i64 as BigInt]
    ", lease_until = NULL, error = " [error: Option<&'a str> as Nullable<Text>]
    ", note = " [note: Option<&'a str> as Nullable<Text>]
    ", stages = " [stages: Option<&'a str> as Nullable<Text>]
    " WHERE id = " [run: RunId as Text]
    " AND state = 'running' AND owner = " [owner: &'a Owner as Text]
    " AND attempt = " [attempt: i32 as Integer]
    " RETURNING staged"
}

statement! {
    /// Renews the lease of the attempt that holds a run.
    RenewLease<'a>:
    "UPDATE scraper_runs SET lease_until = " [until: i64 as BigInt]
    " WHERE id = " [run: RunId as Text]
    " AND state = 'running' AND owner = " [owner: &'a Owner as Text]
    " AND attempt = " [attempt: i32 as Integer]
}

statement! {
    /// Notes a write of stage state that becomes valid when its attempt succeeds.
    UpsertStaged<'a>:
    "INSERT INTO scraper_stage_staged (run_id, attempt, pipeline, stage, key, op, value) VALUES ("
    [run: RunId as Text] ", " [attempt: i32 as Integer] ", " [pipeline: &'a str as Text] ", "
    [stage: &'a str as Text] ", " [key: &'a [u8] as Binary] ", " [op: &'a str as Text] ", "
    [value: Option<&'a [u8]> as Nullable<Binary>]
    ") ON CONFLICT (run_id, attempt, pipeline, stage, key) DO UPDATE SET op = excluded.op, value = excluded.value"
}
