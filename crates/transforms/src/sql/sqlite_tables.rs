//! Makes the tables of a SQLite file ready for the rows of a run.

use pipeline_core::StageError;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use super::catalog::{Column, column_value, columns_of, quoted, quoted_list};
use super::columns::{Affinity, Kinds};
use super::error::fatal;
use super::sorted::SortKey;
use super::tables::{Dialect, StagedTable};

/// What the writer must know of a table that is ready.
#[derive(Debug, Default)]
pub(super) struct Target {
    /// For each staged column what SQLite does to its values.
    pub(super) affinities: Vec<Affinity>,
    /// By what its rows may be sorted.
    pub(super) sort_key: SortKey,
}

/// Creates the table, or adds what it lacks.
pub(super) fn ready(db: &Connection, table: &StagedTable) -> Result<Target, StageError> {
    let looked = || columns_of(db, &table.spec.name).map_err(|error| fatal("reading the table", error));
    let mut existing = looked()?;
    if existing.is_empty() {
        create(db, table)?;
    } else {
        add_columns(db, table, &existing)?;
        for column in &table.columns {
            let found = find(&existing, &column.name);
            if found.is_some_and(|found| needs_text(found, column.kinds)) {
                widen(db, table, &column.name)?;
            }
        }
        make_key_unique(db, table)?;
    }
    existing = looked()?;
    let affinity =
        |name: &str| find(&existing, name).map_or(Affinity::None, |found| Affinity::of(&found.declared));
    let affinities: Vec<Affinity> = table.columns.iter().map(|column| affinity(&column.name)).collect();
    let mut sort_key = SortKey::new();
    // Under another order of texts, two keys may be one that bytes tell apart.
    if !has_collation(db, &table.spec.name).map_err(|error| fatal("reading the table", error))? {
        let key = table.key_columns(Dialect::Sqlite).unwrap_or_default();
        sort_key.extend(key.into_iter().map(|at| (at, affinities[at])));
    }
    Ok(Target { affinities, sort_key })
}

fn has_collation(db: &Connection, name: &str) -> rusqlite::Result<bool> {
    let select = "SELECT coalesce(max(sql LIKE '%COLLATE%'), 0) FROM db.sqlite_schema WHERE tbl_name = ?1 COLLATE NOCASE";
    db.query_row(select, [name], |row| row.get(0))
}

fn find<'a>(existing: &'a [Column], name: &str) -> Option<&'a Column> {
    existing.iter().find(|column| column.name.eq_ignore_ascii_case(name))
}

fn run(db: &Connection, doing: &str, sql: &str) -> Result<(), StageError> {
    db.execute_batch(sql).map_err(|error| fatal(doing, error))
}

fn create(db: &Connection, table: &StagedTable) -> Result<(), StageError> {
    let spec = &table.spec;
    let is_key = |name: &str| spec.key.iter().any(|key| key.eq_ignore_ascii_case(name));
    let mut lines: Vec<String> = Vec::with_capacity(table.columns.len() + 1);
    for column in &table.columns {
        let declared = column.kinds.column_type().sqlite();
        let not_null = if is_key(&column.name) { " NOT NULL" } else { "" };
        lines.push(format!("{} {declared}{not_null}", quoted(&column.name)));
    }
    let mut options = "";
    if !spec.key.is_empty() {
        lines.push(format!("PRIMARY KEY ({})", quoted_list(spec.key.iter().map(String::as_str))));
        // The key is the table's order: half the pages to write, and an integer key takes text later on.
        options = " WITHOUT ROWID";
    }
    let sql = format!("CREATE TABLE db.{} ({}){options}", quoted(&spec.name), lines.join(", "));
    run(db, "creating it", &sql)
}

fn add_columns(db: &Connection, table: &StagedTable, existing: &[Column]) -> Result<(), StageError> {
    for column in table.columns.iter().filter(|column| find(existing, &column.name).is_none()) {
        let (name, declared) = (quoted(&column.name), column.kinds.column_type().sqlite());
        let sql = format!("ALTER TABLE db.{} ADD COLUMN {name} {declared}", quoted(&table.spec.name));
        run(db, &format!("adding the column `{}`", column.name), &sql)?;
    }
    Ok(())
}

/// Whether SQLite would change values of this run in a column of one of our numeric types.
///
/// Other values of a foreign kind it stores as they are, whatever the column's type says, and other
/// people's types are left to SQLite's own rules.
fn needs_text(existing: &Column, kinds: Kinds) -> bool {
    let ours = ["INTEGER", "REAL", "BOOLEAN"].contains(&existing.declared.as_str());
    let changed = kinds.has(Kinds::NUMERIC_TEXT)
        || kinds.has(Kinds::BIG)
        || (existing.declared == "REAL" && kinds.has(Kinds::WIDE_INT));
    ours && changed
}

/// Makes a column of numbers one of text, keeping what is in it.
fn widen(db: &Connection, table: &StagedTable, column: &str) -> Result<(), StageError> {
    const NEW: &str = "scraper_widened";
    let doing = format!("making the column `{column}` one of text, since it gets values that are no numbers");
    let failed = |error| {
        fatal(&doing, error)
            .hint("keys and indexed columns cannot be changed: convert the field before (map.Map)")
    };
    register_text(db).map_err(failed)?;
    let (name, new, old) = (quoted(&table.spec.name), quoted(NEW), quoted(column));
    let boolean = columns_of(db, &table.spec.name)
        .map_err(failed)?
        .iter()
        .any(|found| found.name.eq_ignore_ascii_case(column) && found.declared == "BOOLEAN");
    db.execute_batch(&format!(
        "ALTER TABLE db.{name} ADD COLUMN {new} TEXT;
         UPDATE db.{name} SET {new} = scraper_text({old}, {boolean});
         ALTER TABLE db.{name} DROP COLUMN {old};
         ALTER TABLE db.{name} RENAME COLUMN {new} TO {old};"
    ))
    .map_err(failed)
}

/// `scraper_text(value, is_boolean)`: the text that the sink would write for a value. SQLite's own cuts
/// the digits of floats.
fn register_text(db: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    db.create_scalar_function("scraper_text", 2, flags, |call| {
        let declared = if call.get::<bool>(1)? { "BOOLEAN" } else { "" };
        Ok(match column_value(call.get_raw(0), declared) {
            pipeline_core::Value::Null => None,
            pipeline_core::Value::Text(text) => Some(text.into_string()),
            other => Some(other.to_json()),
        })
    })
}

/// An existing table need not have its key as a unique one; upserts need that.
fn make_key_unique(db: &Connection, table: &StagedTable) -> Result<(), StageError> {
    let spec = &table.spec;
    if spec.key.is_empty() || is_key_unique(db, table).map_err(|error| fatal("reading its indexes", error))? {
        return Ok(());
    }
    let index = quoted(&format!("{}_key", spec.name));
    let columns = quoted_list(spec.key.iter().map(String::as_str));
    let sql = format!("CREATE UNIQUE INDEX db.{index} ON {} ({columns})", quoted(&spec.name));
    db.execute_batch(&sql).map_err(|error| {
        let key = spec.key.join(", ");
        let hint = "it needs a unique index on them: do several of its rows have the same key?";
        fatal(&format!("making {key} the key of the existing table"), error).hint(hint)
    })
}

fn is_key_unique(db: &Connection, table: &StagedTable) -> rusqlite::Result<bool> {
    let folded = |names: &mut Vec<String>| {
        names.iter_mut().for_each(|name| name.make_ascii_lowercase());
        names.sort();
    };
    let mut key = table.spec.key.clone();
    folded(&mut key);
    let name = table.spec.name.as_str();
    let names = |sql: &str, of: &str| -> rusqlite::Result<Vec<String>> {
        let mut select = db.prepare(sql)?;
        let mut names: Vec<String> = select
            .query_map([of], |row| Ok(row.get::<_, Option<String>>(0)?.unwrap_or_default()))?
            .collect::<Result<_, _>>()?;
        folded(&mut names);
        Ok(names)
    };
    if names("SELECT name FROM pragma_table_info(?1, 'db') WHERE pk > 0", name)? == key {
        return Ok(true);
    }
    let unique = "SELECT name FROM pragma_index_list(?1, 'db') WHERE \"unique\" = 1 AND partial = 0";
    let mut select = db.prepare(unique)?;
    let indexes: Vec<String> = select.query_map([name], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for index in indexes {
        if names("SELECT name FROM pragma_index_info(?1, 'db')", &index)? == key {
            return Ok(true);
        }
    }
    Ok(false)
}
