//! `sql.QueryFetcher`: the rows of a query as items.

mod postgres;
mod sqlite;

use std::collections::BTreeMap;
use std::fmt;

use pipeline_core::{
    BuildContext, BuildErrors, Definition, Emitter, Fetcher, StageContext, StageError, Topic, Transform,
    Value,
};
use schemars::JsonSchema;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::place::Place;
use super::postgres::PgPlace;

/// Runs one query that only reads, and emits each of its rows as an item. A missing file or table is an error.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryFetcherKwargs {
    /// The SQLite file; `sqlite:///file.db` is understood too.
    #[serde(default)]
    pub db_path: Option<String>,
    /// The database's URL: `postgresql://user:password@host/name?sslmode=verify-full`, or `sqlite:///file.db`.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub db_url: Option<String>,
    /// One statement that only reads. Its columns' names are the items' fields.
    pub query: String,
    /// The values of the query's parameters: a list for `?` (SQLite) or `$1` (PostgreSQL), or a map for
    /// `:name` (SQLite).
    #[serde(default)]
    pub params: QueryParams,
    /// The topic of the items.
    pub topic: Topic,
}

/// The values of a query's parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryParams {
    /// By position.
    List(Vec<Value>),
    /// By name.
    Named(BTreeMap<String, Value>),
}

impl Default for QueryParams {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl<'de> Deserialize<'de> for QueryParams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ParamsVisitor;
        impl<'de> Visitor<'de> for ParamsVisitor {
            type Value = QueryParams;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of values, or a map from names to values")
            }
            fn visit_unit<E>(self) -> Result<QueryParams, E> {
                Ok(QueryParams::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<QueryParams, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = seq.next_element()? {
                    list.push(value);
                }
                Ok(QueryParams::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<QueryParams, A::Error> {
                let mut named = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    named.insert(name.trim_start_matches([':', '@', '$']).to_owned(), value);
                }
                Ok(QueryParams::Named(named))
            }
        }
        deserializer.deserialize_any(ParamsVisitor)
    }
}

impl JsonSchema for QueryParams {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "QueryParams".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["array", "object"]})
    }
}

/// The class `sql.QueryFetcher`.
#[derive(Debug)]
pub struct QueryFetcher;

impl Definition for QueryFetcher {
    const CLASS: &'static str = "sql.QueryFetcher";
    const SUMMARY: &'static str = "Emits the rows of a query on SQLite or PostgreSQL as items.";
    const EXAMPLE: &'static str = "class: sql.QueryFetcher
kwargs:
  db_path: shop.db
  query: SELECT sku, price FROM book WHERE price > ? ORDER BY sku
  params: [10]
  topic: shop.expensive
";
    type Kwargs = QueryFetcherKwargs;

    fn build(kwargs: QueryFetcherKwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        if kwargs.query.trim().is_empty() {
            errors.push("query", "is empty");
        }
        if kwargs.topic.is_empty() {
            errors.push("topic", "is empty");
        }
        let place = match errors.collect(Place::of(kwargs.db_path.as_deref(), kwargs.db_url.as_deref())) {
            Some(Place::Postgres(url)) => {
                if matches!(kwargs.params, QueryParams::Named(_)) {
                    errors.push("params", "PostgreSQL numbers its parameters: write `$1` and a list");
                }
                let parsed = PgPlace::parse(&url).map_err(|why| BuildErrors::at("db_url", why));
                errors.collect(parsed).map(|place| Where::Postgres(Box::new(place)))
            }
            Some(Place::Sqlite(path)) => Some(Where::Sqlite(path)),
            None => None,
        };
        errors.into_result()?;
        let Some(place) = place else { return Err(BuildErrors::default()) };
        Ok(pipeline_core::fetcher(Running { place, kwargs }))
    }
}

enum Where {
    Sqlite(std::path::PathBuf),
    Postgres(Box<PgPlace>),
}

struct Running {
    place: Where,
    kwargs: QueryFetcherKwargs,
}

impl Fetcher for Running {
    async fn fetch(&mut self, ctx: &StageContext, out: &mut Emitter) -> Result<(), StageError> {
        match &self.place {
            Where::Sqlite(path) => sqlite::fetch(path, &self.kwargs, ctx, out).await,
            Where::Postgres(place) => postgres::fetch(place, &self.kwargs, ctx, out).await,
        }
    }
}

/// The fields of the items, which must differ.
///
/// # Errors
/// Where two columns have the same name.
fn check_names(names: &[&str]) -> Result<(), StageError> {
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            return Err(StageError::fatal(format!("the query has two columns `{name}`"))
                .hint("give one of them another name with AS"));
        }
    }
    Ok(())
}
