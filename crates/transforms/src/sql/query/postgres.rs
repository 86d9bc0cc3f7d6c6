//! Queries on PostgreSQL.

use bytes::BytesMut;
use futures_util::{StreamExt, pin_mut};
use pipeline_core::{Emitter, ParsedItem, Record, Shape, StageContext, StageError, Value};
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

use super::{QueryFetcherKwargs, QueryParams, check_names};
use crate::sql::catalog::quoted;
use crate::sql::postgres::{PgConnection, PgPlace, fatal};

const DOING: &str = "the query";

pub(super) async fn fetch(
    place: &PgPlace,
    kwargs: &QueryFetcherKwargs,
    ctx: &StageContext,
    out: &mut Emitter,
) -> Result<(), StageError> {
    let at = || format!("database {}", place.shown());
    let connection = place.connect().await.map_err(|error| error.at(at()))?;
    read(&connection, kwargs, ctx, out).await.map_err(|error| error.at(at()))
}

async fn read(
    connection: &PgConnection,
    kwargs: &QueryFetcherKwargs,
    ctx: &StageContext,
    out: &mut Emitter,
) -> Result<(), StageError> {
    // One snapshot, and nothing is written whatever the query calls.
    connection.execute(DOING, "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let client = connection.client();
    let query = kwargs.query.trim().trim_end_matches(';');
    let asked = client.prepare(query).await.map_err(|error| fatal(DOING, error))?;
    if asked.columns().is_empty() {
        return Err(StageError::fatal("the query must read, and only read").hint("sql.DatabaseSink writes"));
    }
    let names: Vec<&str> = asked.columns().iter().map(tokio_postgres::Column::name).collect();
    check_names(&names)?;
    let kinds: Vec<Reading> = asked.columns().iter().map(|column| Reading::of(column.type_())).collect();
    // The server writes each value as text; only the types are read from the query itself.
    let values: Vec<String> = kinds.iter().enumerate().map(|(at, kind)| kind.expression(at)).collect();
    let aliases: Vec<String> = (0..names.len()).map(|at| quoted(&format!("c{at}"))).collect();
    let wrapped = format!("SELECT {} FROM (\n{query}\n) AS q ({})", values.join(", "), aliases.join(", "));
    let statement = client.prepare(&wrapped).await.map_err(|error| fatal(DOING, error))?;
    let params = match &kwargs.params {
        QueryParams::List(list) => list.iter().map(TextParam::of).collect::<Vec<_>>(),
        QueryParams::Named(_) => Vec::new(),
    };
    let (wanted, given) = (statement.params().len(), params.len());
    if wanted != given {
        return Err(StageError::fatal(format!(
            "the query has {wanted} parameters, and `params` {given} values"
        )));
    }
    let rows = client.query_raw(&statement, &params).await.map_err(|error| fatal(DOING, error))?;
    pin_mut!(rows);
    let shape = Shape::new(names.iter().copied());
    while let Some(row) = rows.next().await {
        let row = row.map_err(|error| fatal(DOING, error))?;
        let mut values = Vec::with_capacity(kinds.len());
        for (at, kind) in kinds.iter().enumerate() {
            let text: Option<&str> = row.try_get(at).map_err(|error| fatal(DOING, error))?;
            values.push(text.map_or(Value::Null, |text| kind.value(text)));
        }
        let content = Record::from_shape(shape.clone(), values);
        out.emit(ParsedItem { topic: kwargs.topic.clone(), content, discovered_at: ctx.now() }).await;
    }
    Ok(())
}

/// How values of a type are read.
enum Reading {
    Bool,
    Number,
    /// Objects, lists, and what is made of several values.
    Json,
    /// Instants and days, as ISO 8601 has them.
    Time,
    Bytes,
    Text,
}

impl Reading {
    fn of(kind: &Type) -> Self {
        let is_one_of = |kinds: &[Type]| kinds.contains(kind);
        if *kind == Type::BOOL {
            Self::Bool
        } else if is_one_of(&[
            Type::INT2,
            Type::INT4,
            Type::INT8,
            Type::OID,
            Type::FLOAT4,
            Type::FLOAT8,
            Type::NUMERIC,
        ]) {
            Self::Number
        } else if is_one_of(&[Type::TIMESTAMP, Type::TIMESTAMPTZ, Type::DATE, Type::TIME, Type::TIMETZ]) {
            Self::Time
        } else if *kind == Type::BYTEA {
            Self::Bytes
        } else if is_one_of(&[Type::JSON, Type::JSONB])
            || matches!(kind.kind(), Kind::Array(_) | Kind::Composite(_))
        {
            Self::Json
        } else {
            Self::Text
        }
    }

    fn expression(&self, at: usize) -> String {
        let column = quoted(&format!("c{at}"));
        match self {
            Self::Bool | Self::Number | Self::Text => format!("{column}::text"),
            Self::Json => format!("to_json({column})::text"),
            Self::Time => format!("to_json({column}) #>> '{{}}'"),
            Self::Bytes => format!("replace(encode({column}, 'base64'), E'\\n', '')"),
        }
    }

    fn value(&self, text: &str) -> Value {
        match self {
            Self::Bool => Value::Bool(text == "true"),
            // The infinities and what is not a number are no JSON.
            Self::Number => Value::number(text).unwrap_or_default(),
            Self::Json => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
            Self::Time | Self::Bytes | Self::Text => Value::from(text),
        }
    }
}

/// A parameter, which the server reads as the type that it needs there.
#[derive(Debug)]
struct TextParam(Option<String>);

impl TextParam {
    fn of(value: &Value) -> Self {
        Self(match value {
            Value::Null => None,
            Value::Text(text) => Some(text.to_string()),
            other => Some(other.to_json()),
        })
    }
}

impl ToSql for TextParam {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match &self.0 {
            None => IsNull::Yes,
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                IsNull::No
            }
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}
