//! Opening the job store.

use std::sync::Arc;

use jobstore::{JobStore, OpenOptions, StoreKind, StoreUrl};

use crate::failure::Failure;
use crate::settings::Settings;

/// Opens the store for looking only: nothing is made or changed.
///
/// # Errors
/// It cannot be used, or is not there.
pub(crate) async fn query(settings: &Settings) -> Result<Arc<dyn JobStore>, Failure> {
    let options = OpenOptions { poll: None, ..options(settings) }.query();
    open(settings, options).await
}

/// Opens the store for a single change; it is made where there is none.
///
/// # Errors
/// It cannot be used, or is in memory, where nobody would ever see the change.
pub(crate) async fn edit(settings: &Settings) -> Result<Arc<dyn JobStore>, Failure> {
    let store = open(settings, OpenOptions { poll: None, ..options(settings) }).await?;
    if store.kind() == StoreKind::Memory {
        return Err(Failure::usage(format!(
            "the job store at {} is gone when this command ends: nothing can be changed in it from here",
            store.place()
        )));
    }
    Ok(store)
}

/// Opens the store for a scheduler.
///
/// # Errors
/// It cannot be used.
pub(crate) async fn serve(settings: &Settings) -> Result<Arc<dyn JobStore>, Failure> {
    open(settings, options(settings)).await
}

fn options(settings: &Settings) -> OpenOptions {
    OpenOptions::new(settings.namespace.as_str(), settings.clock().now())
}

async fn open(settings: &Settings, options: OpenOptions) -> Result<Arc<dyn JobStore>, Failure> {
    let url: StoreUrl = StoreUrl::parse(&settings.database_url)?;
    Ok(jobstore::open(&url, options).await?)
}
