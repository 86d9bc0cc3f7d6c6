//! `file.JsonlSink`.

use std::fs::File;
use std::path::PathBuf;

use async_trait::async_trait;
use pipeline_core::{
    BuildContext, BuildErrors, Definition, Item, Participant, Sink, StageContext, StageError, Topic,
    Transform,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::destination::{Destination, failed};
use super::is_of;
use crate::keep::{Spool, blocking};
use crate::output;

/// Writes items to a file as JSON lines, and passes them on. The file is written beside its place and takes
/// it when the run has succeeded; a run that fails changes nothing. Missing folders are made.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonlSinkKwargs {
    /// The file.
    pub path: PathBuf,
    /// Whether the lines of the run are added to what is there, instead of replacing it.
    #[serde(default)]
    pub append: bool,
    /// Whether a line is the whole item (`topic`, `content`, `discovered_at`) and not only its content.
    #[serde(default)]
    pub envelope: bool,
    /// The topics to write; others pass untouched. All where absent.
    #[serde(default)]
    pub topics: Option<Vec<Topic>>,
}

/// The class `file.JsonlSink`.
#[derive(Debug)]
pub struct JsonlSink;

impl Definition for JsonlSink {
    const CLASS: &'static str = "file.JsonlSink";
    const SUMMARY: &'static str = "Writes items to a file as JSON lines.";
    const EXAMPLE: &'static str = "class: file.JsonlSink
kwargs: {path: out/books.jsonl, topics: [shop.book]}
";
    type Kwargs = JsonlSinkKwargs;

    fn build(kwargs: JsonlSinkKwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        if kwargs.path.as_os_str().is_empty() {
            return Err(BuildErrors::at("path", "is empty"));
        }
        Ok(pipeline_core::sink(Running { kwargs, open: None }))
    }
}

struct Running {
    kwargs: JsonlSinkKwargs,
    open: Option<(Destination, Spool)>,
}

impl Sink for Running {
    fn accepts(&self, item: &Item) -> bool {
        is_of(item, self.kwargs.topics.as_deref())
    }

    async fn open(&mut self, ctx: &StageContext) -> Result<(), StageError> {
        if !ctx.is_dry_run() {
            let (destination, file) = Destination::open(&self.kwargs.path, self.kwargs.append, ctx).await?;
            let spool = Spool::over(destination.place(), file);
            self.open = Some((destination, spool));
        }
        Ok(())
    }

    async fn handle(&mut self, item: &Item, ctx: &StageContext) -> Result<(), StageError> {
        let Item::Parsed(item) = item else { return Ok(()) };
        let wrong = |error: serde_json::Error| StageError::item("the item cannot be JSON").caused_by(error);
        let Some((_, spool)) = &mut self.open else {
            let mut line = Vec::new();
            put(&mut line, item, self.kwargs.envelope).map_err(wrong)?;
            let line = String::from_utf8_lossy(line.trim_ascii_end());
            return output::line(ctx, &format!("would write to {}: {line}", self.kwargs.path.display()));
        };
        put(spool.buffer(), item, self.kwargs.envelope).map_err(wrong)?;
        spool.make_room().await
    }

    async fn finish(&mut self, ctx: &StageContext) -> Result<(), StageError> {
        if let Some((destination, spool)) = self.open.take() {
            let file = Some(spool.into_file().await?);
            ctx.enlist(Ending { destination: Some(destination), file });
        }
        Ok(())
    }
}

/// Appends the line of an item.
fn put(out: &mut Vec<u8>, item: &pipeline_core::ParsedItem, envelope: bool) -> Result<(), serde_json::Error> {
    let start = out.len();
    let put = match envelope {
        true => serde_json::to_writer(&mut *out, item),
        false => serde_json::to_writer(&mut *out, &item.content),
    };
    match put {
        Ok(()) => out.push(b'\n'),
        Err(_) => out.truncate(start),
    }
    put
}

/// The file's part in the run's end.
struct Ending {
    destination: Option<Destination>,
    file: Option<File>,
}

#[async_trait]
impl Participant for Ending {
    fn name(&self) -> String {
        self.destination.as_ref().map_or_else(|| "file".to_owned(), Destination::place)
    }

    async fn prepare(&mut self) -> Result<(), StageError> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let file = blocking(move || match file.sync_all() {
            Ok(()) => Ok(file),
            Err(error) => Err(failed("writing to the disk", error)),
        });
        self.file = Some(file.await?);
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), StageError> {
        let (Some(mut destination), Some(file)) = (self.destination.take(), self.file.take()) else {
            return Ok(());
        };
        let (destination, published) = blocking(move || {
            let published = destination.publish(file);
            Ok((destination, published))
        })
        .await?;
        self.destination = Some(destination);
        published
    }

    async fn rollback(&mut self) {
        // Dropping the destination removes the file beside it.
        self.destination = None;
        self.file = None;
    }
}
