//! PostgreSQL: a small pool of connections, and one that listens.

mod connect;
mod io;
mod listen;
mod pool;
mod sql;
mod statement;
mod store;
mod tls;

pub(crate) use diesel_async::RunQueryDsl;
pub(crate) use store::{Store, open};

pub(crate) type Conn = diesel_async::AsyncPgConnection;
pub(crate) type Db = diesel::pg::Pg;

/// A transaction. It is made again when it and another one were in each other's way.
macro_rules! write_tx {
    ($store:ident, |$c:ident| $body:expr) => {{
        let mut collisions = 0;
        loop {
            let transaction = async {
                let mut transaction = $store.begin().await?;
                let done = {
                    let $c = transaction.connection();
                    $body.await
                };
                transaction.end(done).await
            };
            match crate::backend::postgres::pool::answered(transaction).await {
                Err(error) if error.is_collision() && collisions < 5 => collisions += 1,
                done => break done,
            }
        }
    }};
}

/// A transaction that reads.
macro_rules! read_tx {
    ($store:ident, |$c:ident| $body:expr) => {
        write_tx!($store, |$c| $body)
    };
}

#[path = "../shared/api.rs"]
mod api;
#[path = "../shared/bodies.rs"]
mod bodies;
#[path = "../shared/changes.rs"]
mod changes;
#[path = "../shared/claims.rs"]
mod claims;
#[path = "../shared/ends.rs"]
mod ends;
#[path = "../shared/jobs.rs"]
mod jobs;
#[path = "../shared/outbox.rs"]
mod outbox;
#[path = "../shared/outlook.rs"]
mod outlook;
#[path = "../shared/process.rs"]
mod process;
#[path = "../shared/rescue.rs"]
mod rescue;
#[path = "../shared/retention.rs"]
mod retention;
#[path = "../shared/runs.rs"]
mod runs;
#[path = "../shared/schema_version.rs"]
mod schema_version;
#[path = "../shared/stage_state.rs"]
mod stage_state;
#[path = "../shared/staged.rs"]
mod staged;
#[path = "../shared/turn.rs"]
mod turn;
