//! Stages that bring payloads in.

mod exec;
mod file;
mod http;
mod items;
#[cfg(test)]
pub(crate) mod testing;

use pipeline_core::Registry;

pub use exec::CommandEnvironment;

/// Registers the classes of this folder.
pub(crate) fn register(registry: &mut Registry) {
    registry.register::<file::FileFetcher>();
    registry.register::<http::HttpFetcher>();
    registry.register::<items::ItemsFetcher>();
    registry.register::<exec::CommandFetcher>();
    registry.register::<exec::CommandTransform>();
}
