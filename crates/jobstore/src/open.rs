//! Opening a store.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::backend::{postgres, sqlite};
use crate::error::OpenError;
use crate::store::JobStore;
use crate::url::{StoreUrl, Target};

/// What the caller is going to do with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything: the store is made, or brought up to date, where that is necessary.
    Full,
    /// Only look: nothing is made or changed, and a store that is not there is [`OpenError::Missing`].
    Query,
}

/// How to open a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// The namespace to act in.
    pub namespace: String,
    /// What for.
    pub access: Access,
    /// The present, for the notes about migrations.
    pub now: DateTime<Utc>,
    /// How often the database is asked whether others have changed something; `None` never asks. A store in memory is
    /// never asked: nobody else can reach it.
    pub poll: Option<Duration>,
    /// How many connections to PostgreSQL at most, besides the one that listens.
    pub connections: u32,
    /// How long to wait for another process's transaction before giving up.
    pub busy_timeout: Duration,
}

impl OpenOptions {
    /// Everything in this namespace, with the defaults for the rest.
    pub fn new(namespace: impl Into<String>, now: DateTime<Utc>) -> Self {
        OpenOptions {
            namespace: namespace.into(),
            access: Access::Full,
            now,
            poll: Some(Duration::from_millis(500)),
            connections: 5,
            busy_timeout: Duration::from_secs(5),
        }
    }

    /// The same, only to look.
    pub fn query(mut self) -> Self {
        self.access = Access::Query;
        self
    }
}

/// Opens the store at `url`.
///
/// # Errors
/// [`OpenError`] tells apart what keeps it from being used. Nothing is changed then; a store of a newer version above
/// all is left as it is.
pub async fn open(url: &StoreUrl, options: OpenOptions) -> Result<Arc<dyn JobStore>, OpenError> {
    match &url.target {
        Target::Memory => Ok(Arc::new(sqlite::open(None, &options).await?)),
        Target::File(path) => Ok(Arc::new(sqlite::open(Some(path), &options).await?)),
        Target::Postgres(url) => Ok(Arc::new(postgres::open(url, &options).await?)),
    }
}
