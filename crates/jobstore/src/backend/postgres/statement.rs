//! Statements over many rows at once, written out in SQL because Diesel has no words for `unnest`. Unlike
//! `diesel::sql_query` they are prepared once for each connection, and their parameters and results are typed.

/// Declares a statement: its parameters, the type of its result, and its text with the parameters in their places.
macro_rules! statement {
    (
        $(#[$meta:meta])*
        $name:ident<$life:lifetime> { $($field:ident: $type:ty),+ $(,)? } -> $result:ty
        = $($sql:literal $([$bind:ident: $bind_type:ty])?)+
    ) => {
        $(#[$meta])*
        pub(crate) struct $name<$life> { $(pub(crate) $field: $type),+ }

        // The text is always the same: it is prepared once, whatever is bound to it.
        impl diesel::query_builder::QueryId for $name<'_> {
            type QueryId = $name<'static>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl diesel::query_builder::Query for $name<'_> {
            type SqlType = $result;
        }

        impl diesel::query_builder::QueryFragment<diesel::pg::Pg> for $name<'_> {
            fn walk_ast<'b>(
                &'b self,
                mut out: diesel::query_builder::AstPass<'_, 'b, diesel::pg::Pg>,
            ) -> diesel::QueryResult<()> {
                $(
                    out.push_sql($sql);
                    $(out.push_bind_param::<$bind_type, _>(&self.$bind)?;)?
                )+
                Ok(())
            }
        }
    };
}

pub(crate) use statement;
