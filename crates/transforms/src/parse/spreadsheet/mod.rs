//! `spreadsheet.SpreadsheetParser`: rows of xlsx, xlsb, xls and ods files.

mod archive;
mod book;
mod cell;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use pipeline_core::{
    BuildContext, BuildErrors, Definition, ParsedItem, Parser, ParserOutput, RawItem, StageContext,
    StageError, Topic, Transform, parser,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use super::meta::Meta;
use super::rows::Rows;
use super::table::{Columns, Layout, Table};
use crate::convert::FieldType;
use crate::topics;
use cell::SheetCell;

/// What `spreadsheet.SpreadsheetParser` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpreadsheetParserKwargs {
    /// The topic of the items.
    topic: Topic,
    /// The sheet: its name, or its number from 0 (default: the first).
    #[serde(default)]
    sheet: Sheet,
    /// How many rows to leave out before the header, counted from the sheet's row 1.
    #[serde(default)]
    skip_rows: u32,
    /// Whether the first row that is not empty holds the names of the columns. Without it, and without a
    /// list in `columns`, they are called `column_1`, `column_2` and so on.
    #[serde(default = "yes")]
    header: bool,
    /// New names: a map renames columns, a list names them by position (from column A) instead of the
    /// header row. A column whose name is empty or null is dropped.
    columns: Option<Columns>,
    /// The types of columns, by their new names. An empty cell is null. Dates become ISO 8601 in any case.
    #[serde(default)]
    types: BTreeMap<String, FieldType>,
    /// Whether spaces and no-break spaces around texts are removed.
    #[serde(default = "yes")]
    trim: bool,
    /// Whether numbers that are kept as text are written `1.234,56`.
    #[serde(default)]
    decimal_comma: bool,
    /// Fields to take from the metadata of the payload, such as `url`: a list of names, or a map from the
    /// names of fields to them.
    meta: Option<Meta>,
}

fn yes() -> bool {
    true
}

/// Which sheet of a book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sheet {
    /// Counted from 0.
    Number(usize),
    /// By its name; one that is no name but a number is that.
    Name(String),
}

impl Default for Sheet {
    fn default() -> Self {
        Self::Number(0)
    }
}

struct SheetVisitor;

impl Visitor<'_> for SheetVisitor {
    type Value = Sheet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a sheet, or its number from 0")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Sheet, E> {
        usize::try_from(number).map(Sheet::Number).map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Sheet, E> {
        usize::try_from(number).map(Sheet::Number).map_err(|_| E::custom("sheets are counted from 0"))
    }

    fn visit_str<E>(self, name: &str) -> Result<Sheet, E> {
        Ok(Sheet::Name(name.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Sheet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SheetVisitor)
    }
}

impl JsonSchema for Sheet {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sheet".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"oneOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]})
    }
}

/// Makes an item of each row.
pub(crate) struct SpreadsheetParser {
    topic: Topic,
    sheet: Sheet,
    skip_rows: u32,
    table: Table,
}

impl Definition for SpreadsheetParser {
    const CLASS: &'static str = "spreadsheet.SpreadsheetParser";
    const SUMMARY: &'static str = "Makes an item of each row of a sheet of an xlsx, xls, xlsb or ods file.";
    const EXAMPLE: &'static str = "\
class: spreadsheet.SpreadsheetParser
kwargs:
  topic: fi.position
  sheet: Blankning
  skip_rows: 5
  columns: [holder, issuer, isin, percent, date, comment]
  types: {percent: number, date: datetime}
";

    type Kwargs = SpreadsheetParserKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        let topic = errors.collect(topics::fixed(kwargs.topic));
        let flags = (kwargs.trim, kwargs.decimal_comma, kwargs.header);
        let table = errors.collect(Table::new(kwargs.columns, kwargs.types, flags, kwargs.meta));
        let (Some(topic), Some(table)) = (topic, table) else { return Err(errors) };
        Ok(parser(Self { topic, sheet: kwargs.sheet, skip_rows: kwargs.skip_rows, table }))
    }
}

impl Parser for SpreadsheetParser {
    fn parse(&self, raw: RawItem, ctx: &StageContext, out: &mut ParserOutput) -> Result<(), StageError> {
        let (payload, rows) = Rows::new(raw, ctx, out);
        let mut reading = Reading { parser: self, rows, layout: None, wrong: None };
        let source = book::Source::open(payload)
            .map_err(|error| reading.rows.failed("cannot be opened").caused_by(error))?;
        let read = source.rows(&self.sheet, &mut |number, width, cells| reading.row(number, width, cells));
        match (reading.wrong, read) {
            (Some(wrong), _) => Err(wrong),
            (None, Err(error)) => Err(reading.rows.failed(error)),
            (None, Ok(())) => Ok(()),
        }
    }
}

/// One sheet being read.
struct Reading<'a> {
    parser: &'a SpreadsheetParser,
    rows: Rows<'a>,
    layout: Option<Layout<'a>>,
    wrong: Option<StageError>,
}

impl Reading<'_> {
    /// Takes the row of this number, from 0, of a sheet that is about `width` columns wide. Returns false
    /// when no more are wanted.
    fn row(&mut self, number: u32, width: usize, cells: &mut Vec<SheetCell<'_>>) -> bool {
        if number < self.parser.skip_rows || cells.iter().all(SheetCell::is_empty) {
            return true;
        }
        let layout = match &self.layout {
            Some(layout) => layout,
            None => {
                let table = &self.parser.table;
                let mut first: Vec<String> = cells.iter().map(SheetCell::shown).collect();
                let given = table.names_given();
                // Merged cells and missing names leave the header shorter than the rows.
                let least = if table.header { given } else { given.max(width) };
                first.resize(first.len().max(least), String::new());
                match table.layout(&first, &self.rows.metadata) {
                    Ok(layout) => {
                        let layout = self.layout.insert(layout);
                        if table.header {
                            return true;
                        }
                        layout
                    }
                    Err(error) => {
                        self.wrong = Some(self.rows.failed_at(format!("row {}", number + 1), error));
                        return false;
                    }
                }
            }
        };
        cells.resize_with(layout.width(), || SheetCell::Empty);
        match layout.record(cells.iter_mut().map(SheetCell::take)) {
            Ok(content) => {
                let discovered_at = self.rows.ctx.now();
                self.rows.emit(ParsedItem { topic: self.parser.topic.clone(), content, discovered_at })
            }
            Err(message) => {
                let text = cells.iter().map(SheetCell::shown).collect::<Vec<_>>().join("\t");
                self.rows.error(format!("row {}", number + 1), message, text)
            }
        }
    }
}
