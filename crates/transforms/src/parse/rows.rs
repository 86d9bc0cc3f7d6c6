//! What all parsers share: a payload of which the rows are emitted one by one, or are errors one by one.

use std::io::Read;

use pipeline_core::{ParsedItem, ParserOutput, Payload, RawItem, Record, StageContext, StageError};
use schemars::JsonSchema;
use serde::Deserialize;

/// What a payload without rows is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("default" = "warn"))]
pub(crate) enum NoRows {
    /// Suspect: it is said in the log, and a later diff takes nothing that is missing for removed.
    #[default]
    Warn,
    /// As good as any.
    Ok,
    /// An error of that payload.
    Error,
}

/// The rows of one payload on their way out.
pub(super) struct Rows<'a> {
    pub(super) ctx: &'a StageContext,
    pub(super) source: String,
    pub(super) metadata: Record,
    fetched_at: chrono::DateTime<chrono::Utc>,
    out: &'a mut ParserOutput,
}

impl<'a> Rows<'a> {
    /// Takes the payload out of its item.
    pub(super) fn new(raw: RawItem, ctx: &'a StageContext, out: &'a mut ParserOutput) -> (Payload, Self) {
        let RawItem { source, payload, fetched_at, metadata } = raw;
        (payload, Self { ctx, source, metadata, fetched_at, out })
    }

    /// Emits a row. Returns false when nobody reads any more.
    pub(super) fn emit(&mut self, item: ParsedItem) -> bool {
        self.out.emit(item)
    }

    /// Emits the error of a row, with the row's text so that it can be looked at and fed back.
    /// Returns false when nobody reads any more.
    pub(super) fn error(
        &mut self,
        place: impl std::fmt::Display,
        message: impl Into<String>,
        text: impl Into<Vec<u8>>,
    ) -> bool {
        let mut metadata = self.metadata.clone();
        metadata.insert("row", place.to_string());
        let row = RawItem {
            source: self.source.clone(),
            payload: Payload::from(text.into()),
            fetched_at: self.fetched_at,
            metadata,
        };
        self.out.error(StageError::item(message).at(place).at(&self.source).with_item(row))
    }

    /// The error of the payload as a whole.
    pub(super) fn failed(&self, message: impl Into<String>) -> StageError {
        StageError::item(message).at(&self.source)
    }

    /// The error of the payload as a whole, at this place in it.
    pub(super) fn failed_at(&self, place: impl std::fmt::Display, message: impl Into<String>) -> StageError {
        StageError::item(message).at(place).at(&self.source)
    }

    /// Opens the payload.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub(super) fn open(&self, payload: Payload) -> Result<Box<dyn Read + Send>, StageError> {
        payload.into_reader().map_err(|error| self.failed("cannot be opened").caused_by(error))
    }

    /// Says that the payload has no rows, as far as that is to be said.
    ///
    /// # Errors
    /// Where it is to be an error.
    pub(super) fn none(&self, what: NoRows, why: &str) -> Result<(), StageError> {
        match what {
            NoRows::Ok => Ok(()),
            NoRows::Warn => {
                let message = format!("{}: {why}", self.source);
                self.ctx.warn(&*message);
                self.ctx.mark_incomplete(message);
                Ok(())
            }
            NoRows::Error => Err(self.failed(why).hint("has the source changed?")),
        }
    }
}
