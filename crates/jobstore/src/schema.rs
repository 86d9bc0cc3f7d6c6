//! The tables, as Diesel sees them: the same for both databases.

diesel::table! {
    /// Jobs.
    scraper_jobs (job_key) {
        job_key -> BigInt,
        namespace -> Text,
        id -> Text,
        pipeline -> Text,
        source -> Text,
        state -> Text,
        paused -> Bool,
        trigger -> Text,
        timezone -> Text,
        spec -> Text,
        next_fire_at -> Nullable<BigInt>,
        due_at -> Nullable<BigInt>,
        error -> Nullable<Text>,
        requested_by -> Nullable<Text>,
        version -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    /// Runs.
    scraper_runs (id) {
        id -> Text,
        namespace -> Text,
        pipeline -> Text,
        job_id -> Nullable<Text>,
        reason -> Text,
        state -> Text,
        outcome -> Nullable<Text>,
        scheduled_for -> BigInt,
        available_at -> BigInt,
        deadline_at -> Nullable<BigInt>,
        priority -> SmallInt,
        overlap -> Text,
        limit_group -> Nullable<Text>,
        limit_max -> Nullable<Integer>,
        on_crash -> Text,
        max_attempts -> Integer,
        attempt -> Integer,
        interruptions -> Integer,
        owner -> Nullable<Text>,
        lease_until -> Nullable<BigInt>,
        started_at -> Nullable<BigInt>,
        attempt_started_at -> Nullable<BigInt>,
        finished_at -> Nullable<BigInt>,
        cancel_requested_at -> Nullable<BigInt>,
        cancel_requested_by -> Nullable<Text>,
        requested_by -> Nullable<Text>,
        error -> Nullable<Text>,
        note -> Nullable<Text>,
        stages -> Nullable<Text>,
        missed_count -> Nullable<BigInt>,
        missed_first -> Nullable<BigInt>,
        staged -> Bool,
    }
}

diesel::table! {
    /// Attempts that were followed by another one, or crashed.
    scraper_attempts (run_id, attempt) {
        run_id -> Text,
        attempt -> Integer,
        owner -> Nullable<Text>,
        started_at -> BigInt,
        finished_at -> BigInt,
        outcome -> Text,
        error -> Nullable<Text>,
    }
}

diesel::table! {
    /// Lines of runs' logs.
    scraper_run_logs (run_id, attempt, seq) {
        run_id -> Text,
        attempt -> Integer,
        seq -> BigInt,
        at -> BigInt,
        level -> Text,
        stage -> Nullable<Text>,
        text -> Text,
    }
}

diesel::table! {
    /// Scheduler processes.
    scraper_processes (owner) {
        owner -> Text,
        namespace -> Text,
        host -> Text,
        boot_id -> Text,
        pid_namespace -> Text,
        pid -> BigInt,
        start_time -> Text,
        version -> Text,
        pipelines -> Text,
        started_at -> BigInt,
        last_seen -> BigInt,
        loop_late_us -> BigInt,
    }
}

diesel::table! {
    /// Messages to send.
    scraper_outbox (id) {
        id -> BigInt,
        namespace -> Text,
        pipeline -> Text,
        stage -> Text,
        run_id -> Nullable<Text>,
        target -> Text,
        kind -> Text,
        payload -> Text,
        state -> Text,
        batch -> Nullable<Text>,
        nonce -> Nullable<Text>,
        attempts -> Integer,
        next_at -> BigInt,
        error -> Nullable<Text>,
        created_at -> BigInt,
        owner -> Nullable<Text>,
        claimed_until -> Nullable<BigInt>,
    }
}

diesel::table! {
    /// Messages that become valid when their attempt succeeds.
    scraper_outbox_staged (seq) {
        seq -> BigInt,
        run_id -> Text,
        attempt -> Integer,
        pipeline -> Text,
        stage -> Text,
        target -> Text,
        kind -> Text,
        payload -> Text,
    }
}

diesel::table! {
    /// What stages keep between runs.
    scraper_stage_state (namespace, pipeline, stage, key) {
        namespace -> Text,
        pipeline -> Text,
        stage -> Text,
        key -> Binary,
        value -> Binary,
    }
}

diesel::table! {
    /// Writes to it that become valid when their attempt succeeds.
    scraper_stage_staged (run_id, attempt, pipeline, stage, key) {
        run_id -> Text,
        attempt -> Integer,
        pipeline -> Text,
        stage -> Text,
        key -> Binary,
        op -> Text,
        value -> Nullable<Binary>,
    }
}

diesel::table! {
    /// How many changes there were that schedulers should notice.
    scraper_changes (namespace) {
        namespace -> Text,
        counter -> BigInt,
    }
}

diesel::table! {
    /// Which migrations have been made.
    scraper_schema (version) {
        version -> BigInt,
        name -> Text,
        applied_at -> BigInt,
    }
}

diesel::table! {
    /// Locks for what depends on what else is running (PostgreSQL only).
    scraper_guards (name) {
        name -> Text,
    }
}

/// Conditions that partial indexes are made for. They are written out and not bound, because neither database can tell
/// that a bound value implies an index's condition.
macro_rules! literal_condition {
    ($(#[$meta:meta])* $name:ident on $table:ident: $sql:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, diesel::query_builder::QueryId, diesel::expression::ValidGrouping)]
        pub(crate) struct $name;

        impl diesel::expression::Expression for $name {
            type SqlType = diesel::sql_types::Bool;
        }
        impl diesel::expression::AppearsOnTable<$table::table> for $name {}
        impl diesel::expression::SelectableExpression<$table::table> for $name {}
        impl<DB: diesel::backend::Backend> diesel::query_builder::QueryFragment<DB> for $name {
            fn walk_ast<'b>(&'b self, mut out: diesel::query_builder::AstPass<'_, 'b, DB>) -> diesel::QueryResult<()> {
                out.push_sql($sql);
                Ok(())
            }
        }
    };
}

literal_condition! {
    /// The run has no outcome yet.
    IsActive on scraper_runs: "scraper_runs.state <> 'finished'"
}
literal_condition! {
    /// The run waits.
    IsQueued on scraper_runs: "scraper_runs.state = 'queued'"
}
literal_condition! {
    /// An attempt holds the run.
    IsRunning on scraper_runs: "scraper_runs.state = 'running'"
}
literal_condition! {
    /// The run has its outcome.
    IsFinished on scraper_runs: "scraper_runs.state = 'finished'"
}
literal_condition! {
    /// The run was started (its outcome is neither skipped nor missed).
    WasReal on scraper_runs: "scraper_runs.outcome NOT IN ('skipped', 'missed')"
}
literal_condition! {
    /// The run was never started.
    WasDropped on scraper_runs: "scraper_runs.outcome IN ('skipped', 'missed')"
}
literal_condition! {
    /// The message is not given up on.
    IsAlive on scraper_outbox: "scraper_outbox.state <> 'dead'"
}

/// The run stands after a place in the order of starting: compared as a whole, which an index can follow.
#[derive(Clone, Copy, Debug, diesel::query_builder::QueryId, diesel::expression::ValidGrouping)]
pub(crate) struct IsAfter {
    pub(crate) priority: i16,
    pub(crate) available_at: i64,
    pub(crate) id: crate::RunId,
}

impl diesel::expression::Expression for IsAfter {
    type SqlType = diesel::sql_types::Bool;
}
impl diesel::expression::AppearsOnTable<scraper_runs::table> for IsAfter {}
impl diesel::expression::SelectableExpression<scraper_runs::table> for IsAfter {}

impl<DB> diesel::query_builder::QueryFragment<DB> for IsAfter
where
    DB: diesel::backend::Backend
        + diesel::sql_types::HasSqlType<diesel::sql_types::SmallInt>
        + diesel::sql_types::HasSqlType<diesel::sql_types::BigInt>
        + diesel::sql_types::HasSqlType<diesel::sql_types::Text>,
    i16: diesel::serialize::ToSql<diesel::sql_types::SmallInt, DB>,
    i64: diesel::serialize::ToSql<diesel::sql_types::BigInt, DB>,
    crate::RunId: diesel::serialize::ToSql<diesel::sql_types::Text, DB>,
{
    fn walk_ast<'b>(
        &'b self,
        mut out: diesel::query_builder::AstPass<'_, 'b, DB>,
    ) -> diesel::QueryResult<()> {
        out.push_sql("(scraper_runs.priority, scraper_runs.available_at, scraper_runs.id) > (");
        out.push_bind_param::<diesel::sql_types::SmallInt, _>(&self.priority)?;
        out.push_sql(", ");
        out.push_bind_param::<diesel::sql_types::BigInt, _>(&self.available_at)?;
        out.push_sql(", ");
        out.push_bind_param::<diesel::sql_types::Text, _>(&self.id)?;
        out.push_sql(")");
        Ok(())
    }
}
