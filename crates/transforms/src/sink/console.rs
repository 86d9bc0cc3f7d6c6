//! `console.ConsoleSink`.

use pipeline_core::{
    BuildContext, BuildErrors, Definition, Item, Sink, StageContext, StageError, Topic, Transform,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::is_of;
use super::table::Table;
use crate::output;

/// Shows items to the person who started the run, and passes them on.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsoleSinkKwargs {
    /// How they are shown.
    #[serde(default)]
    pub format: ConsoleFormat,
    /// The topics to show; others pass untouched. All where absent.
    #[serde(default)]
    pub topics: Option<Vec<Topic>>,
}

/// How items are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("default" = "json"))]
pub enum ConsoleFormat {
    /// A line of JSON for each item: its content.
    #[default]
    Json,
    /// A table for each topic, in parts of some hundred rows where there are many.
    Table,
}

/// The class `console.ConsoleSink`.
#[derive(Debug)]
pub struct ConsoleSink;

impl Definition for ConsoleSink {
    const CLASS: &'static str = "console.ConsoleSink";
    const SUMMARY: &'static str = "Shows items as lines of JSON or as tables.";
    const EXAMPLE: &'static str = "class: console.ConsoleSink
kwargs: {format: table, topics: [shop.book]}
";
    type Kwargs = ConsoleSinkKwargs;

    fn build(kwargs: ConsoleSinkKwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        Ok(pipeline_core::sink(Running { kwargs, table: None }))
    }
}

struct Running {
    kwargs: ConsoleSinkKwargs,
    /// The rows of the topic that came last.
    table: Option<(Topic, Table)>,
}

impl Sink for Running {
    fn accepts(&self, item: &Item) -> bool {
        is_of(item, self.kwargs.topics.as_deref())
    }

    async fn handle(&mut self, item: &Item, ctx: &StageContext) -> Result<(), StageError> {
        let Item::Parsed(item) = item else { return Ok(()) };
        if self.kwargs.format == ConsoleFormat::Json {
            return output::line(ctx, &item.content.to_json());
        }
        if self.table.as_ref().is_some_and(|(topic, table)| *topic != item.topic || table.is_full()) {
            self.show(ctx)?;
        }
        let (_, table) = self.table.get_or_insert_with(|| (item.topic.clone(), Table::default()));
        table.push(&item.content);
        Ok(())
    }

    async fn finish(&mut self, ctx: &StageContext) -> Result<(), StageError> {
        self.show(ctx)
    }
}

impl Running {
    fn show(&mut self, ctx: &StageContext) -> Result<(), StageError> {
        let Some((topic, table)) = self.table.take() else { return Ok(()) };
        output::line(ctx, &format!("{topic}\n{table}"))
    }
}
