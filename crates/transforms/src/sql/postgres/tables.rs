//! Makes the tables of a PostgreSQL database ready for the rows of a run.

use pipeline_core::StageError;

use super::super::catalog::{quoted, quoted_list};
use super::super::columns::{ColumnType, Kinds};
use super::super::tables::{Dialect, StagedTable};
use super::connect::PgConnection;
use super::error::fatal;

/// What the writer must know of a table that is ready.
pub(super) struct Target {
    /// The table's name, quoted.
    pub(super) name: String,
    /// For each staged column its type, as a cast takes it.
    pub(super) types: Vec<String>,
    /// For each staged column what a new row without a value for it gets.
    pub(super) defaults: Vec<String>,
}

struct Column {
    name: String,
    cast: String,
    default: Option<String>,
}

/// The table's name, quoted, with its schema where the file names one.
pub(super) fn name_of(table: &StagedTable) -> String {
    match &table.spec.schema {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(&table.spec.name)),
        None => quoted(&table.spec.name),
    }
}

fn created_type(column: ColumnType) -> &'static str {
    match column {
        ColumnType::Boolean => "boolean",
        ColumnType::Integer => "bigint",
        ColumnType::Real => "double precision",
        ColumnType::Numeric => "numeric",
        ColumnType::Time => "timestamp with time zone",
        ColumnType::Unknown | ColumnType::Text => "text",
    }
}

/// Creates the table, or adds what it lacks.
pub(super) async fn ready(db: &PgConnection, table: &StagedTable) -> Result<Target, StageError> {
    let name = name_of(table);
    let mut existing = columns_of(db, &name).await?;
    if existing.is_empty() {
        create(db, table, &name).await?;
    } else {
        for column in &table.columns {
            let doing = format!("adding the column `{}`", column.name);
            let quoted = quoted(&column.name);
            match existing.iter().find(|found| found.name == column.name) {
                None => {
                    let kind = created_type(column.kinds.column_type());
                    db.execute(&doing, &format!("ALTER TABLE {name} ADD COLUMN {quoted} {kind}")).await?;
                }
                Some(found) => widen(db, &name, found, column.kinds).await?,
            }
        }
        make_key_unique(db, table, &name).await?;
    }
    existing = columns_of(db, &name).await?;
    let mut target = Target { name, types: Vec::new(), defaults: Vec::new() };
    for column in &table.columns {
        let found = existing.iter().find(|found| found.name == column.name);
        target.types.push(found.map_or_else(|| "text".to_owned(), |found| found.cast.clone()));
        let default = found.and_then(|found| found.default.clone());
        target.defaults.push(default.unwrap_or_else(|| "NULL".to_owned()));
    }
    Ok(target)
}

async fn columns_of(db: &PgConnection, name: &str) -> Result<Vec<Column>, StageError> {
    // Without the length that a type may have: a cast to it would cut what is too long instead of refusing.
    let select = "SELECT attname::text, format_type(atttypid, -1), pg_get_expr(adbin, adrelid)
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum AND attgenerated = ''
        WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    let rows =
        db.client().query(select, &[&name]).await.map_err(|error| fatal("reading the table", error))?;
    let column = |row: &tokio_postgres::Row| {
        Ok(Column { name: row.try_get(0)?, cast: row.try_get(1)?, default: row.try_get(2)? })
    };
    rows.iter().map(column).collect::<Result<_, _>>().map_err(|error| fatal("reading the table", error))
}

async fn create(db: &PgConnection, table: &StagedTable, name: &str) -> Result<(), StageError> {
    let mut lines: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("{} {}", quoted(&column.name), created_type(column.kinds.column_type())))
        .collect();
    if !table.spec.key.is_empty() {
        lines.push(format!("PRIMARY KEY ({})", quoted_list(table.spec.key.iter().map(String::as_str))));
    }
    if let Some(schema) = &table.spec.schema {
        let sql = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
        db.execute("creating the schema", &sql).await?;
    }
    db.execute("creating it", &format!("CREATE TABLE {name} ({})", lines.join(", "))).await
}

/// Widens a column of one of our types to one that holds the values of this run as well. Columns of other
/// types are left as they are: values that do not fit them are refused by the database.
async fn widen(db: &PgConnection, name: &str, column: &Column, kinds: Kinds) -> Result<(), StageError> {
    use ColumnType as Type;
    let wanted = kinds.column_type();
    let new = match (column.cast.as_str(), wanted) {
        (_, Type::Unknown) => return Ok(()),
        ("boolean", Type::Boolean)
        | ("bigint", Type::Boolean | Type::Integer)
        | ("numeric", Type::Boolean | Type::Integer | Type::Real | Type::Numeric) => return Ok(()),
        ("double precision", Type::Boolean | Type::Real) => return Ok(()),
        ("double precision", Type::Integer) if !kinds.has(Kinds::WIDE_INT) => return Ok(()),
        ("boolean", Type::Integer) => "bigint",
        ("boolean", Type::Real) => "double precision",
        ("bigint", Type::Real) if all_exact(db, name, column).await? => "double precision",
        ("boolean" | "bigint" | "double precision", Type::Integer | Type::Real | Type::Numeric) => "numeric",
        ("boolean" | "bigint" | "double precision" | "numeric", Type::Text | Type::Time) => "text",
        _ => return Ok(()),
    };
    let quoted = quoted(&column.name);
    let through = if column.cast == "boolean" && new != "text" { "::int" } else { "" };
    let sql = format!("ALTER TABLE {name} ALTER COLUMN {quoted} TYPE {new} USING {quoted}{through}::{new}");
    let doing = format!("widening the column `{}` from {} to {new}", column.name, column.cast);
    db.execute(&doing, &sql).await.map_err(|error| {
        error.hint("its values no longer fit the column; convert the field before (map.Map), or change the type by hand")
    })
}

/// Whether a float holds all of the column's integers.
async fn all_exact(db: &PgConnection, name: &str, column: &Column) -> Result<bool, StageError> {
    let quoted = quoted(&column.name);
    let sql = format!(
        "SELECT NOT EXISTS (SELECT FROM {name} WHERE {quoted} NOT BETWEEN -(2^53)::bigint AND (2^53)::bigint)"
    );
    let row = db.client().query_one(&sql, &[]).await.and_then(|row| row.try_get(0));
    row.map_err(|error| fatal("reading the table", error))
}

/// An existing table need not have its key as a unique one; upserts need that.
async fn make_key_unique(db: &PgConnection, table: &StagedTable, name: &str) -> Result<(), StageError> {
    if table.spec.key.is_empty() {
        return Ok(());
    }
    debug_assert!(table.key_columns(Dialect::Postgres).is_some(), "rows have their key");
    let select = "SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass($1) AND indisunique AND indpred IS NULL
        AND indexprs IS NULL AND indimmediate AND (SELECT array_agg(attname::text ORDER BY attname::text) FROM pg_attribute
            WHERE attrelid = indrelid AND attnum = ANY (indkey[0:indnkeyatts - 1])) =
        (SELECT array_agg(key ORDER BY key) FROM unnest($2::text[]) AS key))";
    let key = &table.spec.key;
    let unique = db.client().query_one(select, &[&name, key]).await.and_then(|row| row.try_get(0));
    if unique.map_err(|error| fatal("reading its indexes", error))? {
        return Ok(());
    }
    let columns = quoted_list(key.iter().map(String::as_str));
    let doing = format!("making {} the key of the existing table", key.join(", "));
    db.execute(&doing, &format!("CREATE UNIQUE INDEX ON {name} ({columns})")).await.map_err(|error| {
        error.hint("it needs a unique index on them: do several of its rows have the same key?")
    })
}
