//! Brings the rows of a stage to their table.

use pipeline_core::StageError;

use super::super::catalog::quoted;
use super::super::tables::{Dialect, StagedTable};
use super::connect::PgConnection;
use super::error::fatal;
use super::tables::Target;
use super::write::Copied;

const DOING: &str = "writing the rows";

/// The statements that bring the rows of a stage to their table.
pub(super) struct Merge<'a> {
    db: &'a PgConnection,
    table: &'a StagedTable,
    target: &'a Target,
    stage: String,
    key: Vec<usize>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(db: &'a PgConnection, table: &'a StagedTable, target: &'a Target, stage: &str) -> Self {
        // Where there is a row, its key's columns are known.
        let key = table.key_columns(Dialect::Postgres).unwrap_or_default();
        Self { db, table, target, stage: stage.to_owned(), key }
    }

    pub(super) async fn run(mut self, mut copied: Copied) -> Result<(), StageError> {
        if !self.key.is_empty() {
            if copied.removals {
                self.remove().await?;
            }
            self.fold_repeated().await?;
        }
        match (copied.layouts.pop_first(), copied.layouts.pop_first()) {
            (None, _) => Ok(()),
            // The usual case: all rows have the same columns.
            (Some(layout), None) => {
                let update =
                    if self.key.is_empty() { String::new() } else { self.on_conflict_update(&layout) };
                self.insert(Some(&layout), &update).await
            }
            (Some(_), Some(_)) if self.key.is_empty() => self.insert(None, "").await,
            (Some(_), Some(_)) => {
                self.update().await?;
                let conflict = format!(" ON CONFLICT ({}) DO NOTHING", self.key_names());
                self.insert(None, &conflict).await
            }
        }
    }

    /// Deletes rows, and what of the stage came before the removal of its row.
    async fn remove(&self) -> Result<(), StageError> {
        let (stage, name) = (&self.stage, &self.target.name);
        let gone = self.equal(|at| format!("t.{}", self.column(at)), |at| format!("gone.k{at}"));
        let before = self.equal(|at| self.cast("s.", at), |at| format!("gone.k{at}"));
        let keys = self.key_casts("", true);
        let group = self.key_casts("", false);
        let sql = format!(
            "DELETE FROM {name} AS t USING (SELECT DISTINCT {keys} FROM {stage} WHERE removes) AS gone WHERE {gone};
             DELETE FROM {stage} AS s
                 USING (SELECT {keys}, max(seq) AS last FROM {stage} WHERE removes GROUP BY {group}) AS gone
                 WHERE {before} AND s.seq <= gone.last"
        );
        self.db.execute("removing rows", &sql).await
    }

    /// Makes one row of those with the same key: each column has the last value that came for it.
    async fn fold_repeated(&mut self) -> Result<(), StageError> {
        let (stage, group) = (&self.stage, self.key_casts("", false));
        let repeated = format!("SELECT EXISTS (SELECT FROM {stage} GROUP BY {group} HAVING count(*) > 1)");
        let row = self.db.client().query_one(&repeated, &[]).await.and_then(|row| row.try_get(0));
        let is_repeated: bool = row.map_err(|error| fatal(DOING, error))?;
        if !is_repeated {
            return Ok(());
        }
        let last = |at: usize| {
            format!("(array_agg(c{at} ORDER BY seq DESC) FILTER (WHERE get_bit(has, {at}) = 1))[1] AS c{at}")
        };
        let columns: Vec<String> = (0..self.table.columns.len()).map(last).collect();
        let folded = format!("{stage}_folded");
        let sql = format!(
            "CREATE TEMP TABLE {folded} ON COMMIT DROP AS
                 SELECT max(seq) AS seq, false AS removes, bit_or(has)::bit varying AS has, {}
                 FROM {stage} GROUP BY {group};
             ANALYZE {folded}",
            columns.join(", ")
        );
        self.db.execute(DOING, &sql).await?;
        self.stage = folded;
        Ok(())
    }

    /// Updates the rows that are there, each in the columns that came for it.
    async fn update(&self) -> Result<(), StageError> {
        let sets: Vec<String> = self
            .settable(None)
            .map(|at| {
                let (column, value) = (self.column(at), self.cast("s.", at));
                let new =
                    if self.is_first_seen(at) { format!("coalesce(t.{column}, {value})") } else { value };
                format!("{column} = CASE WHEN get_bit(s.has, {at}) = 1 THEN {new} ELSE t.{column} END")
            })
            .collect();
        if sets.is_empty() {
            return Ok(());
        }
        let same = self.equal(|at| format!("t.{}", self.column(at)), |at| self.cast("s.", at));
        let (name, stage) = (&self.target.name, &self.stage);
        let sql = format!("UPDATE {name} AS t SET {} FROM {stage} AS s WHERE {same}", sets.join(", "));
        self.db.execute(DOING, &sql).await
    }

    /// Inserts all rows: in the columns of their one layout, or in all columns, where a row that lacks one
    /// gets its default.
    async fn insert(&self, layout: Option<&str>, conflict: &str) -> Result<(), StageError> {
        let at: Vec<usize> = (0..self.table.columns.len()).filter(|at| has(layout, *at)).collect();
        let names: Vec<String> = at.iter().map(|at| self.column(*at)).collect();
        let value = |at: &usize| match (layout, self.target.defaults[*at].as_str()) {
            (Some(_), _) | (None, "NULL") => self.cast("", *at),
            (None, default) => {
                format!("CASE WHEN get_bit(has, {at}) = 1 THEN {} ELSE {default} END", self.cast("", *at))
            }
        };
        let values: Vec<String> = at.iter().map(value).collect();
        // Where rows are numbered as they come, the order is part of the data.
        let order = if self.key.is_empty() { " ORDER BY seq" } else { "" };
        let sql = format!(
            "INSERT INTO {} AS t ({}) SELECT {} FROM {}{order}{conflict}",
            self.target.name,
            names.join(", "),
            values.join(", "),
            self.stage
        );
        self.db.execute(DOING, &sql).await
    }

    fn on_conflict_update(&self, layout: &str) -> String {
        let set = |at: usize| {
            let column = self.column(at);
            match self.is_first_seen(at) {
                true => format!("{column} = coalesce(t.{column}, excluded.{column})"),
                false => format!("{column} = excluded.{column}"),
            }
        };
        let sets: Vec<String> = self.settable(Some(layout)).map(set).collect();
        let action =
            if sets.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", sets.join(", ")) };
        format!(" ON CONFLICT ({}) DO {action}", self.key_names())
    }

    /// The columns that an update may set.
    fn settable<'s>(&'s self, layout: Option<&'s str>) -> impl Iterator<Item = usize> + 's {
        (0..self.table.columns.len()).filter(move |at| has(layout, *at) && !self.key.contains(at))
    }

    fn is_first_seen(&self, at: usize) -> bool {
        self.table.spec.first_seen.as_deref() == Some(&self.table.columns[at].name)
    }

    fn column(&self, at: usize) -> String {
        quoted(&self.table.columns[at].name)
    }

    /// A value of the stage as the column's type.
    fn cast(&self, side: &str, at: usize) -> String {
        format!("{side}c{at}::{}", self.target.types[at])
    }

    fn key_names(&self) -> String {
        self.key.iter().map(|at| self.column(*at)).collect::<Vec<_>>().join(", ")
    }

    fn key_casts(&self, side: &str, named: bool) -> String {
        let cast = |at: &usize| {
            let cast = self.cast(side, *at);
            if named { format!("{cast} AS k{at}") } else { cast }
        };
        self.key.iter().map(cast).collect::<Vec<_>>().join(", ")
    }

    fn equal(&self, left: impl Fn(usize) -> String, right: impl Fn(usize) -> String) -> String {
        let term = |at: &usize| format!("{} = {}", left(*at), right(*at));
        self.key.iter().map(term).collect::<Vec<_>>().join(" AND ")
    }
}

/// Whether rows of this layout have a column; rows of any may.
fn has(layout: Option<&str>, at: usize) -> bool {
    layout.is_none_or(|layout| layout.as_bytes().get(at) == Some(&b'1'))
}
