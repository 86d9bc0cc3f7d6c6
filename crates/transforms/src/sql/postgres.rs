//! One PostgreSQL database during one run.

use pipeline_core::StageError;

#[derive(Debug)]
pub(crate) struct PgUnit {}

impl PgUnit {
    pub(crate) fn place(&self) -> String {
        String::new()
    }
    pub(crate) async fn prepare(&self) -> Result<(), StageError> {
        Ok(())
    }
    pub(crate) async fn commit(&self) -> Result<(), StageError> {
        Ok(())
    }
    pub(crate) async fn rollback(&self) {}
}
