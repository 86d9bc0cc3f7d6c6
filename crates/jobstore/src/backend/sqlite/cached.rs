//! Statements that are prepared once for each connection.
//!
//! Diesel keeps prepared statements by the type of a query, but leaves out updates and upserts, because what they set
//! may vary, and writes the text of an insert anew each time to look it up. Where a turn runs them for each fire, that
//! takes longer than to run them. So these have a text that is fixed here, and a name of their own.

use std::marker::PhantomData;

use diesel::QueryResult;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sqlite::{Sqlite, SqliteConnection};

/// An update as a type: its text, and in brackets the values that go into it.
macro_rules! statement {
    (
        $(#[$meta:meta])*
        $name:ident<$life:lifetime> $(-> $row:ty)?:
        $($text:literal $([$field:ident: $rust:ty as $sql:ty])?)+
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub(super) struct $name<$life> {
            $($(pub(super) $field: $rust,)?)+
        }

        impl<$life> diesel::query_builder::QueryId for $name<$life> {
            type QueryId = $name<'static>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl<$life> diesel::query_builder::QueryFragment<diesel::sqlite::Sqlite> for $name<$life> {
            fn walk_ast<'b>(
                &'b self,
                mut out: diesel::query_builder::AstPass<'_, 'b, diesel::sqlite::Sqlite>,
            ) -> diesel::QueryResult<()> {
                $(
                    out.push_sql($text);
                    $(out.push_bind_param::<$sql, _>(&self.$field)?;)?
                )+
                Ok(())
            }
        }

        impl<$life> diesel::RunQueryDsl<diesel::SqliteConnection> for $name<$life> {}

        $(
            impl<$life> diesel::query_builder::Query for $name<$life> {
                type SqlType = $row;
            }
        )?
    };
}
pub(super) use statement;

/// An insert of one row. Diesel may keep it, but has no name for it.
pub(super) struct Insert<Table, Q> {
    query: Q,
    table: PhantomData<Table>,
}

/// Names an insert of one row after its table. A program has one such insert for each table.
pub(super) fn insert<Table: 'static, Q: QueryFragment<Sqlite>>(_: Table, query: Q) -> Insert<Table, Q> {
    Insert { query, table: PhantomData }
}

impl<Table: 'static, Q> QueryId for Insert<Table, Q> {
    type QueryId = Insert<Table, ()>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Table, Q: QueryFragment<Sqlite>> QueryFragment<Sqlite> for Insert<Table, Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.query.walk_ast(out)
    }
}

impl<Table, Q> diesel::RunQueryDsl<SqliteConnection> for Insert<Table, Q> {}
