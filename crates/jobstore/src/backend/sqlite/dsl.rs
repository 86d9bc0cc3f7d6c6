//! Diesel's way to run a query, dressed as the asynchronous one: the shared modules say `.await` for both databases.
//!
//! A whole transaction runs on one blocking thread, on the plain connection. Each of these futures is done when it is
//! made, so that a body built of them never waits: see [`super::ready`].

use diesel::QueryResult;
use diesel::query_dsl::methods::{ExecuteDsl, LoadQuery};
use diesel::sqlite::SqliteConnection;

pub(crate) trait RunQueryDsl: Sized {
    async fn execute(self, c: &mut SqliteConnection) -> QueryResult<usize>
    where
        Self: ExecuteDsl<SqliteConnection>,
    {
        ExecuteDsl::execute(self, c)
    }

    async fn load<'query, U>(self, c: &mut SqliteConnection) -> QueryResult<Vec<U>>
    where
        Self: LoadQuery<'query, SqliteConnection, U>,
    {
        self.internal_load(c)?.collect()
    }

    async fn get_result<'query, U>(self, c: &mut SqliteConnection) -> QueryResult<U>
    where
        Self: LoadQuery<'query, SqliteConnection, U>,
    {
        self.internal_load(c)?.next().unwrap_or(Err(diesel::result::Error::NotFound))
    }
}

impl<T> RunQueryDsl for T {}
