//! What only this database can be made to do.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::connection::SimpleConnection as _;

use super::{Conn, RunQueryDsl, Store, open, ready};
use crate::error::StoreError;
use crate::model::ids::{JobId, Owner, RunId};
use crate::model::job::{DueJob, Expect, JobEdit, JobFilter, JobPut, JobSource, JobState};
use crate::model::run::{LogLine, Reason, RunFilter, RunPolicy};
use crate::model::turn::{FirePlan, FirePlanner, NextFire, PlannedRun, Turn};
use crate::open::OpenOptions;
use crate::store::JobStore as _;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
}

async fn file() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions { poll: None, ..OpenOptions::new("default", at(0)) };
    let store = open(Some(&directory.path().join("jobs.db")), &options).await.unwrap();
    (directory, store)
}

async fn execute(store: &Store, sql: &'static str) {
    store.without_transaction(move |c| Ok(c.batch_execute(sql)?)).await.unwrap();
}

fn put(id: &str) -> JobEdit {
    JobEdit::Put(Box::new(JobPut {
        id: JobId::from(id),
        pipeline: "a".to_owned(),
        source: JobSource::Config,
        state: JobState::Scheduled,
        paused: None,
        trigger: String::new(),
        timezone: "UTC".to_owned(),
        spec: "x".repeat(2000),
        next_fire_at: Some(at(60)),
        due_at: Some(at(60)),
        error: None,
        requested_by: None,
        expect: Expect::Anything,
    }))
}

/// Fires every minute; panics at a job named `panic`.
struct Planner;

impl FirePlanner for Planner {
    fn plan(&self, job: &DueJob, now: DateTime<Utc>) -> FirePlan {
        assert_ne!(job.id.as_str(), "panic", "the planner has a fault");
        let next = job.next_fire_at + TimeDelta::minutes(1);
        let run = PlannedRun {
            scheduled_for: job.next_fire_at,
            reason: Reason::Schedule,
            available_at: now,
            deadline_at: None,
            policy: RunPolicy::default(),
        };
        FirePlan { runs: vec![run], missed: None, next: NextFire::At { next_fire_at: next, due_at: next } }
    }
}

async fn turn(store: &Store, seconds: i64) -> Result<crate::TurnResult, StoreError> {
    let turn = Turn {
        now: at(seconds),
        owner: Owner::from("me"),
        pipelines: Arc::new(["a".to_owned()].into()),
        ends: Vec::new(),
        free_slots: 5,
        fire_limit: 100,
        lease: Duration::from_secs(30),
        sweep: true,
    };
    store.turn(Arc::new(turn), Arc::new(Planner)).await
}

#[tokio::test]
async fn a_full_disk_passes() {
    let (_directory, store) = file().await;
    store.edit_jobs(vec![put("a")], at(0)).await.unwrap();
    execute(&store, "PRAGMA max_page_count = 1").await;
    let many = || (0..500).map(|n| put(&format!("job {n}"))).collect();
    for _ in 0..3 {
        let full = store.edit_jobs(many(), at(0)).await.unwrap_err();
        assert!(matches!(full, StoreError::Full(_)) && full.is_transient(), "{full:?}");
    }
    let line = LogLine {
        run: RunId::generate(at(0)),
        attempt: 1,
        seq: 1,
        at: at(0),
        level: "info".to_owned(),
        stage: None,
        text: "x".to_owned(),
    };
    store.append_logs(vec![line]).await.unwrap();
    assert_eq!(store.jobs(JobFilter::default()).await.unwrap().len(), 1, "nothing of it was written");
    execute(&store, "PRAGMA max_page_count = 1000000").await;
    store.edit_jobs(many(), at(0)).await.unwrap();
    assert_eq!(turn(&store, 60).await.unwrap().fired.len(), 100, "and nothing is lost");
}

#[tokio::test]
async fn a_panic_leaves_no_transaction_behind() {
    let (_directory, store) = file().await;
    store.edit_jobs(vec![put("a"), put("panic")], at(0)).await.unwrap();
    for _ in 0..2 {
        let broken = turn(&store, 60).await.unwrap_err();
        assert!(matches!(&broken, StoreError::Database(why) if why.contains("broke off")), "{broken:?}");
    }
    let removal = JobEdit::Delete { id: JobId::from("panic"), expect: Expect::Anything };
    store.edit_jobs(vec![removal], at(0)).await.unwrap();
    assert_eq!(turn(&store, 60).await.unwrap().started.len(), 1);
    assert_eq!(store.runs(RunFilter::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn another_writer_is_waited_for_and_then_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let options = OpenOptions {
        poll: None,
        busy_timeout: Duration::from_millis(100),
        ..OpenOptions::new("default", at(0))
    };
    let store = open(Some(&path), &options).await.unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = store.edit_jobs(vec![put("a")], at(0)).await.unwrap_err();
    assert!(matches!(busy, StoreError::Busy(_)) && busy.is_transient(), "{busy:?}");
    assert_eq!(store.jobs(JobFilter::default()).await.unwrap(), [], "reading goes on");
    other.execute_batch("COMMIT").unwrap();
    store.edit_jobs(vec![put("a")], at(0)).await.unwrap();
}

#[derive(diesel::QueryableByName)]
struct PlanRow {
    #[diesel(sql_type = diesel::sql_types::Text)]
    detail: String,
}

fn plan_of(c: &mut Conn, sql: &str) -> String {
    let rows: Vec<PlanRow> =
        ready(async { Ok(diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}")).load(c).await?) }).unwrap();
    rows.into_iter().map(|row| row.detail).collect::<Vec<_>>().join("; ")
}

/// What is asked in every turn finds its rows through an index that is made for it, and sorts nothing: otherwise a turn
/// would slow down with every run that is kept.
#[tokio::test]
async fn every_turn_uses_indexes() {
    let (_directory, store) = file().await;
    let cases: &[(&str, &str)] = &[
        (
            "SELECT * FROM scraper_jobs WHERE namespace = ? AND due_at <= ? ORDER BY due_at, job_key LIMIT 9",
            "scraper_jobs_due",
        ),
        (
            "SELECT * FROM scraper_jobs WHERE namespace = ? AND due_at IS NOT NULL ORDER BY due_at, job_key LIMIT 2",
            "scraper_jobs_due",
        ),
        (
            "SELECT * FROM scraper_runs WHERE namespace = ? AND pipeline = ? AND scraper_runs.state <> 'finished'",
            "scraper_runs_active",
        ),
        (
            "SELECT * FROM scraper_runs WHERE namespace = ? AND (scraper_runs.priority, scraper_runs.available_at, scraper_runs.id) > (?, ?, ?) AND scraper_runs.state = 'queued' ORDER BY priority, available_at, id LIMIT 9",
            "scraper_runs_ready",
        ),
        (
            "SELECT lease_until FROM scraper_runs WHERE namespace = ? AND scraper_runs.state = 'running' AND owner <> ? ORDER BY lease_until LIMIT 1",
            "scraper_runs_leases",
        ),
        (
            "SELECT deadline_at FROM scraper_runs WHERE namespace = ? AND deadline_at IS NOT NULL AND scraper_runs.state = 'queued' AND attempt = 0 ORDER BY deadline_at LIMIT 1",
            "scraper_runs_deadline",
        ),
        (
            "SELECT * FROM scraper_runs WHERE namespace = ? AND deadline_at < ? AND scraper_runs.state = 'queued' AND attempt = 0 LIMIT 9",
            "scraper_runs_deadline",
        ),
        (
            "SELECT * FROM scraper_runs WHERE namespace = ? AND lease_until < ? AND scraper_runs.state = 'running' AND owner <> ? LIMIT 9",
            "scraper_runs_leases",
        ),
        (
            "SELECT id FROM scraper_runs WHERE owner = ? AND scraper_runs.state = 'running' AND cancel_requested_at IS NOT NULL",
            "scraper_runs_cancels",
        ),
        (
            "SELECT count(*) FROM scraper_runs WHERE limit_group = ? AND scraper_runs.state = 'running'",
            "scraper_runs_groups",
        ),
        (
            "SELECT id FROM scraper_outbox WHERE namespace = ? AND target = ? AND scraper_outbox.state <> 'dead' ORDER BY id LIMIT 1",
            "scraper_outbox_order",
        ),
        (
            "SELECT * FROM scraper_runs WHERE namespace = ? AND pipeline = ? ORDER BY id DESC LIMIT 9",
            "scraper_runs_history",
        ),
        (
            "SELECT * FROM scraper_runs WHERE namespace = ? AND job_id = ? AND scraper_runs.state = 'finished' ORDER BY scheduled_for DESC LIMIT 1",
            "scraper_runs_fire",
        ),
    ];
    for (sql, index) in cases {
        let plan = store.without_transaction(move |c| Ok(plan_of(c, sql))).await.unwrap();
        assert!(plan.starts_with("SEARCH") && plan.contains(index), "{sql}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}
