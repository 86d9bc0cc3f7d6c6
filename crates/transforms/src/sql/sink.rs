//! `sql.DatabaseSink`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use pipeline_core::{
    BuildContext, BuildErrors, Definition, Item, ParsedItem, Record, Sink, StageContext, StageError, Topic,
    Transform,
};

use super::databases::Databases;
use super::kwargs::DatabaseSinkKwargs;
use super::place::Place;
use super::postgres::{PgPlace, PgUnit, PgWrite};
use super::routes::{DiffRoute, Route, Routing, diff_key, history_row};
use super::sqlite_write::SqliteWrite;
use super::tables::{Dialect, Staging};
use super::unit::SqliteUnit;
use crate::jq::JqVars;
use crate::output;

/// The class `sql.DatabaseSink`.
#[derive(Debug)]
pub struct DatabaseSink;

impl Definition for DatabaseSink {
    const CLASS: &'static str = "sql.DatabaseSink";
    const SUMMARY: &'static str =
        "Writes items into tables of SQLite or PostgreSQL, all of a run in one step when it has succeeded.";
    const EXAMPLE: &'static str = "class: sql.DatabaseSink
kwargs:
  db_path: shop.db
  tables:
    shop.book: {table: book, key: [title], history: true, first_seen: true, last_seen: updated_at}
";
    type Kwargs = DatabaseSinkKwargs;

    fn build(kwargs: DatabaseSinkKwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        let place = errors.collect(Place::of(kwargs.db_path.as_deref(), kwargs.db_url.as_deref()));
        let place = place.and_then(|place| {
            errors.collect(match place {
                Place::Sqlite(path) => Ok(Where::Sqlite(path)),
                Place::Postgres(url) => PgPlace::parse(&url)
                    .map(|place| Where::Postgres(Box::new(place), url))
                    .map_err(|why| BuildErrors::at("db_url", why)),
            })
        });
        let dialect = match place {
            Some(Where::Postgres(..)) => Dialect::Postgres,
            _ => Dialect::Sqlite,
        };
        let routing = errors.collect(Routing::new(&kwargs, dialect));
        errors.into_result()?;
        let (Some(place), Some(routing)) = (place, routing) else { return Err(BuildErrors::default()) };
        Ok(pipeline_core::sink(Running {
            place,
            staging: Staging::new(routing.dialect()),
            routing,
            topics: kwargs.topics,
            routes: HashMap::new(),
            unit: None,
            vars: None,
        }))
    }
}

enum Where {
    Sqlite(PathBuf),
    /// How to connect, and the URL, which tells one database from another.
    Postgres(Box<PgPlace>, String),
}

struct Running {
    place: Where,
    routing: Routing,
    topics: Option<Vec<Topic>>,
    staging: Staging,
    routes: HashMap<Topic, Arc<Route>>,
    unit: Option<Unit>,
    vars: Option<JqVars>,
}

enum Unit {
    Sqlite(Arc<SqliteUnit>),
    Postgres(Arc<PgUnit>),
}

impl Sink for Running {
    fn accepts(&self, item: &Item) -> bool {
        match (item.topic(), &self.topics) {
            (Some(topic), Some(topics)) => topics.contains(topic),
            (topic, _) => topic.is_some(),
        }
    }

    async fn open(&mut self, ctx: &StageContext) -> Result<(), StageError> {
        self.vars = Some(JqVars::new(ctx.run()));
        self.unit = Some(match &self.place {
            Where::Sqlite(path) => {
                let unit = Databases::sqlite(ctx.run(), path);
                unit.probe().await?;
                Unit::Sqlite(unit)
            }
            Where::Postgres(place, url) => {
                let unit = Databases::postgres(ctx.run(), url, || PgUnit::new((**place).clone()));
                if !ctx.is_dry_run() {
                    unit.probe().await?;
                }
                Unit::Postgres(unit)
            }
        });
        Ok(())
    }

    async fn handle(&mut self, item: &Item, ctx: &StageContext) -> Result<(), StageError> {
        let Item::Parsed(item) = item else { return Ok(()) };
        let route = match self.routes.get(&item.topic) {
            Some(route) => route.clone(),
            None => {
                let route = Arc::new(self.routing.route(&item.topic, &mut self.staging)?);
                self.routes.insert(item.topic.clone(), route.clone());
                route
            }
        };
        let handled = match &*route {
            Route::Rows { table, columns: None } => self.row(*table, &item.content, item, ctx).await,
            Route::Rows { table, columns: Some(columns) } => {
                let row = columns.row(&item.content, self.vars()?);
                self.computed(*table, row, item, ctx).await
            }
            Route::Diff(diff) => self.diff(diff, item, ctx).await,
        };
        handled.map_err(|error| error.at(&item.topic))
    }

    async fn finish(&mut self, ctx: &StageContext) -> Result<(), StageError> {
        let Some(staged) = self.staging.finish().await? else { return Ok(()) };
        let stage = format!("stage {} ({})", ctx.number(), ctx.class());
        match &self.unit {
            Some(Unit::Sqlite(unit)) => unit.add_part(SqliteWrite::new(staged, stage)),
            Some(Unit::Postgres(unit)) => unit.add_part(PgWrite::new(staged, stage)).await,
            None => return Err(StageError::fatal("the sink was not opened")),
        }
        Ok(())
    }
}

impl Running {
    fn vars(&self) -> Result<&JqVars, StageError> {
        self.vars.as_ref().ok_or_else(|| StageError::fatal("the sink was not opened"))
    }

    async fn computed(
        &mut self,
        table: usize,
        row: Result<Record, StageError>,
        item: &ParsedItem,
        ctx: &StageContext,
    ) -> Result<(), StageError> {
        self.row(table, &row?, item, ctx).await
    }

    async fn row(
        &mut self,
        table: usize,
        row: &Record,
        item: &ParsedItem,
        ctx: &StageContext,
    ) -> Result<(), StageError> {
        if !ctx.is_dry_run() {
            return self.staging.row(table, row, item.discovered_at).await;
        }
        self.staging.check_row(table, row)?;
        let spec = self.staging.spec(table);
        let does = if spec.key.is_empty() { "append to" } else { "upsert into" };
        output::line(ctx, &format!("would {does} {}: {}", spec.shown(), row.to_json()))
    }

    async fn diff(
        &mut self,
        route: &DiffRoute,
        item: &ParsedItem,
        ctx: &StageContext,
    ) -> Result<(), StageError> {
        if let Some((table, columns)) = &route.own {
            match columns {
                None => self.row(*table, &item.content, item, ctx).await?,
                Some(columns) => {
                    let row = columns.row(&item.content, self.vars()?);
                    self.computed(*table, row, item, ctx).await?;
                }
            }
        }
        let Some(main) = route.main else { return Ok(()) };
        let removed = item.content.get_str("change") == Some("removed");
        if !removed && route.history.is_none() {
            return Ok(());
        }
        let key = diff_key(&self.staging.spec(main).key, &item.content)?;
        if let Some((history, shape)) = &route.history {
            let row = history_row(shape, key.clone(), &item.content);
            self.row(*history, &row, item, ctx).await?;
        }
        if !removed {
            return Ok(());
        }
        if !ctx.is_dry_run() {
            return self.staging.delete(main, &key).await;
        }
        let spec = self.staging.spec(main);
        let shown: Record = spec.key.iter().map(String::as_str).zip(key).collect();
        output::line(ctx, &format!("would delete from {}: {}", spec.shown(), shown.to_json()))
    }
}
