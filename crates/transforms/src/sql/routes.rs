//! Which table, and what to do there, for the items of each topic.

use std::collections::HashMap;

use pipeline_core::{BuildErrors, Record, Shape, StageError, Topic, Value};
use std::sync::Arc;

use super::kwargs::{DatabaseSinkKwargs, TableKwargs};
use super::tables::{Dialect, Staging, TableSpec, check_table_name};
use crate::jq::{Jq, JqVars};

/// The fields of a diff item that a history keeps beside the key's.
const HISTORY: [&str; 5] = ["change", "old", "new", "changed_fields", "event_timestamp"];

/// What the file says, checked.
#[derive(Debug)]
pub(crate) struct Routing {
    dialect: Dialect,
    entries: HashMap<String, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    spec: TableSpec,
    history: bool,
    columns: Option<Columns>,
}

/// Computed columns.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    names: Vec<String>,
    programs: Vec<Jq>,
}

/// Where the items of a topic go.
#[derive(Debug)]
pub(crate) enum Route {
    /// Each item is a row.
    Rows { table: usize, columns: Option<Columns> },
    /// A diff: a removal deletes, a history is appended to.
    Diff(DiffRoute),
}

#[derive(Debug, Default)]
pub(crate) struct DiffRoute {
    /// The table whose rows removals delete.
    pub(crate) main: Option<usize>,
    /// The history's table, with the names of its key's fields.
    pub(crate) history: Option<(usize, Arc<Shape>)>,
    /// Or the table that the file names for the diff's items.
    pub(crate) own: Option<(usize, Option<Columns>)>,
}

impl Routing {
    /// Checks the tables.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn new(kwargs: &DatabaseSinkKwargs, dialect: Dialect) -> Result<Self, BuildErrors> {
        let mut errors = BuildErrors::default();
        let mut entries = HashMap::new();
        for (topic, table) in &kwargs.tables {
            let path = format!("tables.{topic}");
            let table = table.clone().unwrap_or_default();
            if let Some(entry) = errors.collect(entry(topic, &table, dialect, &path)) {
                let other = entries
                    .values()
                    .find(|other: &&Entry| same_table(other, &entry) && other.spec != entry.spec);
                if other.is_some() {
                    let name = entry.spec.shown();
                    errors.push(path, format!("another topic writes the table `{name}` with other options"));
                }
                entries.insert(topic.clone(), entry);
            }
        }
        errors.into_result().map(|()| Self { dialect, entries })
    }

    /// The route of a topic.
    ///
    /// # Errors
    /// Where its table cannot be.
    pub(crate) fn route(&self, topic: &Topic, staging: &mut Staging) -> Result<Route, StageError> {
        let own = self.entries.get(topic.as_str());
        let Some(main) = topic.strip_suffix(".diff") else {
            let spec = own.map_or_else(|| default_spec(topic), |entry| entry.spec.clone());
            let columns = own.and_then(|entry| entry.columns.clone());
            return Ok(Route::Rows { table: staging.table(spec)?, columns });
        };
        let mut route = DiffRoute::default();
        if let Some(own) = own {
            route.own = Some((staging.table(own.spec.clone())?, own.columns.clone()));
        }
        if let Some(main) = self.entries.get(main).filter(|main| !main.spec.key.is_empty()) {
            route.main = Some(staging.table(main.spec.clone())?);
            if main.history && own.is_none() {
                let table = staging.table(history_spec(&main.spec))?;
                let key = main.spec.key.iter().map(String::as_str);
                route.history = Some((table, Shape::new(key.chain(HISTORY))));
            }
        }
        Ok(Route::Diff(route))
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }
}

fn same_table(a: &Entry, b: &Entry) -> bool {
    (&a.spec.schema, &a.spec.name) == (&b.spec.schema, &b.spec.name)
}

fn default_spec(topic: &str) -> TableSpec {
    TableSpec { name: topic.replace('.', "_"), ..TableSpec::default() }
}

fn history_spec(main: &TableSpec) -> TableSpec {
    let name = format!("{}_history", main.name);
    TableSpec { schema: main.schema.clone(), name, texts: &HISTORY, ..TableSpec::default() }
}

fn entry(topic: &str, kwargs: &TableKwargs, dialect: Dialect, path: &str) -> Result<Entry, BuildErrors> {
    let mut errors = BuildErrors::default();
    let mut spec = default_spec(topic);
    if let Some(table) = &kwargs.table {
        match table.split_once('.').filter(|_| dialect == Dialect::Postgres) {
            Some((schema, name)) => {
                spec.schema = Some(schema.to_owned());
                spec.name = name.to_owned();
            }
            None => spec.name = table.clone(),
        }
    }
    spec.key = kwargs.key.clone();
    spec.first_seen = kwargs.first_seen.name("first_seen").map(str::to_owned);
    spec.last_seen = kwargs.last_seen.name("last_seen").map(str::to_owned);
    if let Err(error) = check_table_name(dialect, &spec) {
        errors.push(format!("{path}.table"), error.to_string());
    }
    for (at, field) in spec.key.iter().enumerate() {
        if spec.key[..at].contains(field) {
            errors.push(format!("{path}.key[{at}]"), format!("`{field}` stands here twice"));
        }
    }
    if spec.first_seen.is_some() && spec.first_seen == spec.last_seen {
        errors.push(format!("{path}.last_seen"), "is the same column as `first_seen`");
    }
    if kwargs.history && spec.key.is_empty() {
        errors.push(format!("{path}.history"), "needs a `key`: it is the history of rows");
    }
    if kwargs.history && topic.ends_with(".diff") {
        errors.push(format!("{path}.history"), "belongs to the topic whose diffs these are");
    }
    if kwargs.history && check_table_name(dialect, &history_spec(&spec)).is_err() {
        errors.push(format!("{path}.history"), format!("the name `{}_history` is too long", spec.name));
    }
    let columns = kwargs.columns.as_ref().map(|columns| {
        let mut compiled = Columns { names: Vec::new(), programs: Vec::new() };
        if columns.0.is_empty() {
            errors.push(format!("{path}.columns"), "names no column");
        }
        for (name, program) in &columns.0 {
            match Jq::compile(program) {
                Ok(program) => {
                    compiled.names.push(name.clone());
                    compiled.programs.push(program);
                }
                Err(error) => errors.push(format!("{path}.columns.{name}"), error),
            }
        }
        for field in spec.key.iter().filter(|field| !columns.0.iter().any(|(name, _)| name == *field)) {
            errors.push(format!("{path}.key"), format!("`{field}` is not among the `columns`"));
        }
        compiled
    });
    errors.into_result().map(|()| Entry { spec, history: kwargs.history, columns })
}

impl Columns {
    /// The row of an item. A column whose program gives nothing is left as it is.
    ///
    /// # Errors
    /// Where a program fails, or gives several values.
    pub(crate) fn row(&self, content: &Record, vars: &JqVars) -> Result<Record, StageError> {
        let mut row = Vec::with_capacity(self.names.len());
        for (name, program) in self.names.iter().zip(&self.programs) {
            let wrong = |why: String| StageError::item(why).at(format!("column {name} ({})", program.text()));
            let mut results = program.run_record(content, vars).map_err(wrong)?;
            match results.len() {
                0 => {}
                1 => row.push((name.as_str(), results.swap_remove(0))),
                count => return Err(wrong(format!("the program gave {count} values for one column"))),
            }
        }
        Ok(row.into_iter().collect())
    }
}

/// The values of a key in a diff item: its own fields, else those of `new` or `old`.
///
/// # Errors
/// Where one is nowhere.
pub(crate) fn diff_key(key: &[String], content: &Record) -> Result<Vec<Value>, StageError> {
    let within = |side: &str, field: &str| content.get(side)?.as_object()?.get(field).cloned();
    key.iter()
        .map(|field| {
            let value =
                content.get(field).cloned().or_else(|| within("new", field)).or_else(|| within("old", field));
            value.filter(|value| !value.is_null()).ok_or_else(|| {
                StageError::item(format!(
                    "the key field `{field}` is neither in the diff item nor in its content"
                ))
            })
        })
        .collect()
}

/// The row of a history.
pub(crate) fn history_row(shape: &Arc<Shape>, key: Vec<Value>, content: &Record) -> Record {
    let names = shape.names()[key.len()..].iter();
    let rest: Vec<Value> = names.map(|name| content.get(name).cloned().unwrap_or_default()).collect();
    Record::from_shape(shape.clone(), key.into_iter().chain(rest).collect())
}
