//! `file.CsvSink`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pipeline_core::{
    BuildContext, BuildErrors, Definition, Item, Participant, Record, Shape, Sink, StageContext, StageError,
    Topic, Transform, Value,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::destination::{Destination, Mode, failed};
use super::is_of;
use crate::keep::codec::{Cell, Decoder, put_cell, put_number};
use crate::keep::{Spool, SpoolReader, begin_frame, blocking, end_frame};
use crate::output;

/// More columns than this are a sign that names of fields are data.
const MAX_COLUMNS: usize = 100_000;

/// So many shapes of records are remembered.
const LAYOUTS: usize = 16;

/// Writes items to a CSV file, and passes them on. The columns are all fields that were seen, in the order of
/// their first appearance; nested values are written as JSON, null and absent ones as nothing. The file takes
/// its place when the run has succeeded; a run that fails changes nothing. Missing folders are made.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvSinkKwargs {
    /// The file.
    pub path: PathBuf,
    /// Whether the rows of the run are added to what is there, instead of replacing it. The header that is
    /// there stays; columns that it lacks are added to it and to the old rows.
    #[serde(default)]
    pub append: bool,
    /// What stands between two values: one character; `\t` is a tab.
    #[serde(default = "comma")]
    pub delimiter: String,
    /// The columns, in order; fields that are not among them are left out. All fields where absent.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// The topics to write; others pass untouched. All where absent.
    #[serde(default)]
    pub topics: Option<Vec<Topic>>,
}

fn comma() -> String {
    ",".to_owned()
}

/// The class `file.CsvSink`.
#[derive(Debug)]
pub struct CsvSink;

impl Definition for CsvSink {
    const CLASS: &'static str = "file.CsvSink";
    const SUMMARY: &'static str = "Writes items to a CSV file.";
    const EXAMPLE: &'static str = "class: file.CsvSink
kwargs: {path: out/books.csv, delimiter: ';', columns: [title, price]}
";
    type Kwargs = CsvSinkKwargs;

    fn build(kwargs: CsvSinkKwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        if kwargs.path.as_os_str().is_empty() {
            errors.push("path", "is empty");
        }
        let delimiter = match kwargs.delimiter.as_str() {
            "\\t" => Some(b'\t'),
            text => <[u8; 1]>::try_from(text.as_bytes()).ok().map(|[byte]| byte),
        };
        let delimiter = delimiter.filter(|byte| byte.is_ascii() && !b"\"\r\n".contains(byte));
        if delimiter.is_none() {
            let text = &kwargs.delimiter;
            errors.push(
                "delimiter",
                format!("`{text}` is not one ASCII character that can stand between values"),
            );
        }
        for (at, column) in kwargs.columns.iter().flatten().enumerate() {
            if kwargs.columns.iter().flatten().take(at).any(|other| other == column) {
                errors.push(format!("columns[{at}]"), format!("`{column}` stands here twice"));
            }
        }
        if kwargs.columns.as_ref().is_some_and(Vec::is_empty) {
            errors.push("columns", "names no column");
        }
        errors.into_result()?;
        let columns = Columns::new(kwargs.columns.as_deref());
        Ok(pipeline_core::sink(Running { delimiter: delimiter.unwrap_or(b','), kwargs, columns, open: None }))
    }
}

/// The columns so far, and where the fields of known shapes go.
#[derive(Debug, Default)]
struct Columns {
    names: Vec<Arc<str>>,
    by_name: HashMap<Arc<str>, u32>,
    /// Whether no column is added to those that the file names.
    fixed: bool,
    layouts: Vec<(Arc<Shape>, Layout)>,
}

/// For each field of a shape its column; none where it is left out.
type Layout = Arc<[Option<u32>]>;

impl Columns {
    fn new(names: Option<&[String]>) -> Self {
        let mut columns = Self::default();
        for name in names.unwrap_or_default() {
            columns.add(name.as_str().into());
        }
        columns.fixed = names.is_some();
        columns
    }

    fn add(&mut self, name: Arc<str>) -> u32 {
        let at = self.names.len() as u32;
        self.by_name.insert(name.clone(), at);
        self.names.push(name);
        at
    }

    fn layout(&mut self, shape: &Arc<Shape>) -> Result<Layout, StageError> {
        if let Some((_, layout)) = self.layouts.iter().find(|(known, _)| Arc::ptr_eq(known, shape)) {
            return Ok(layout.clone());
        }
        let mut layout = Vec::with_capacity(shape.names().len());
        for name in shape.names() {
            layout.push(match self.by_name.get(name) {
                Some(at) => Some(*at),
                None if self.fixed => None,
                None if self.names.len() == MAX_COLUMNS => {
                    return Err(StageError::item(format!("the rows have more than {MAX_COLUMNS} columns"))
                        .hint("are the fields' names data? choose the `columns`, or use file.JsonlSink"));
                }
                None => Some(self.add(name.clone())),
            });
        }
        let layout: Layout = layout.into();
        self.layouts.truncate(LAYOUTS - 1);
        self.layouts.insert(0, (shape.clone(), layout.clone()));
        Ok(layout)
    }
}

struct Running {
    kwargs: CsvSinkKwargs,
    delimiter: u8,
    columns: Columns,
    open: Option<(Destination, File, Spool)>,
}

impl Sink for Running {
    fn accepts(&self, item: &Item) -> bool {
        is_of(item, self.kwargs.topics.as_deref())
    }

    async fn open(&mut self, ctx: &StageContext) -> Result<(), StageError> {
        if !ctx.is_dry_run() {
            let (destination, file) = Destination::open(&self.kwargs.path, self.kwargs.append, ctx).await?;
            // The header is known only when all rows are there.
            let spool = Spool::anonymous(format!("rows for {}", destination.place()))?;
            self.open = Some((destination, file, spool));
        }
        Ok(())
    }

    async fn handle(&mut self, item: &Item, ctx: &StageContext) -> Result<(), StageError> {
        let Item::Parsed(item) = item else { return Ok(()) };
        let layout = self.columns.layout(item.content.shape())?;
        let Some((_, _, spool)) = &mut self.open else {
            let written = item.content.iter().zip(layout.iter()).filter(|(_, column)| column.is_some());
            let row: Record = written.map(|((name, value), _)| (name, value.clone())).collect();
            let path = self.kwargs.path.display();
            return output::line(ctx, &format!("would write to {path}: {}", row.to_json()));
        };
        let buffer = spool.buffer();
        let start = begin_frame(buffer);
        for (column, value) in layout.iter().zip(item.content.values()) {
            if let Some(column) = column.filter(|_| !value.is_null()) {
                put_number(buffer, column.into());
                put_cell(buffer, value);
            }
        }
        end_frame(buffer, start)?;
        spool.make_room().await
    }

    async fn finish(&mut self, ctx: &StageContext) -> Result<(), StageError> {
        if let Some((destination, file, spool)) = self.open.take() {
            ctx.enlist(Ending(Some(Csv {
                destination,
                file,
                rows: spool.into_reader().await?,
                columns: std::mem::take(&mut self.columns.names),
                delimiter: self.delimiter,
                existing: None,
            })));
        }
        Ok(())
    }
}

/// The file's part in the run's end.
struct Ending(Option<Csv>);

struct Csv {
    destination: Destination,
    file: File,
    rows: SpoolReader,
    columns: Vec<Arc<str>>,
    delimiter: u8,
    /// The file that rows are added to, as it was when they were written for it.
    existing: Option<Existing>,
}

/// A file with a header.
#[derive(Debug, PartialEq)]
struct Existing {
    header: Vec<String>,
    length: u64,
}

#[async_trait]
impl Participant for Ending {
    fn name(&self) -> String {
        self.0.as_ref().map_or_else(|| "file".to_owned(), |csv| csv.destination.place())
    }

    async fn prepare(&mut self) -> Result<(), StageError> {
        self.work(Csv::write).await
    }

    async fn commit(&mut self) -> Result<(), StageError> {
        self.work(Csv::publish).await
    }

    async fn rollback(&mut self) {
        // Dropping the destination removes the file beside it.
        self.0 = None;
    }
}

impl Ending {
    async fn work(&mut self, work: fn(&mut Csv) -> Result<(), StageError>) -> Result<(), StageError> {
        let Some(mut csv) = self.0.take() else { return Ok(()) };
        let (csv, worked) = blocking(move || {
            let worked = work(&mut csv);
            Ok((csv, worked))
        })
        .await?;
        self.0 = Some(csv);
        worked
    }
}

impl Csv {
    /// Writes the file beside the destination: header and rows, or only the rows where they are appended.
    fn write(&mut self) -> Result<(), StageError> {
        if self.destination.mode() == Mode::Append {
            self.existing = self.look()?;
        }
        let known = self.existing.as_ref().map_or(0, |existing| existing.header.len());
        let mut header = self.existing.as_ref().map_or_else(Vec::new, |existing| existing.header.clone());
        // Where each column goes: to the existing one of its name, else behind those.
        let mut places = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            places.push(header.iter().position(|name| **name == **column).unwrap_or_else(|| {
                header.push(column.to_string());
                header.len() - 1
            }));
        }
        let mut out = csv::WriterBuilder::new()
            .delimiter(self.delimiter)
            .flexible(true)
            .from_writer(BufWriter::with_capacity(256 << 10, &self.file));
        if header.len() > known {
            out.write_record(&header).map_err(wrong)?;
            if known > 0 {
                copy_rows(&self.destination, self.delimiter, header.len(), &mut out)?;
                self.destination.replace_whole();
            }
        }
        write_rows(&mut self.rows, &places, header.len(), &mut out)?;
        let mut buffered = out.into_inner().map_err(|error| failed("writing", error.into_error()))?;
        buffered.flush().map_err(|error| failed("writing", error))?;
        drop(buffered);
        self.file.sync_all().map_err(|error| failed("writing to the disk", error))
    }

    fn publish(&mut self) -> Result<(), StageError> {
        if let Some(then) = &self.existing {
            let now = self.look()?;
            let fits = match self.destination.mode() {
                // All that was there is in the new file.
                Mode::Replace => now.as_ref() == Some(then),
                _ => now.is_some_and(|now| now.header == then.header),
            };
            if !fits {
                return Err(StageError::fatal("another program changed it while this run ended")
                    .hint("run again; nothing was changed"));
            }
        }
        let file = self.file.try_clone().map_err(|error| failed("writing", error))?;
        self.destination.publish(file)
    }

    /// The file that is there, if it has a header.
    fn look(&self) -> Result<Option<Existing>, StageError> {
        let Ok(found) = std::fs::metadata(self.destination.real()) else { return Ok(None) };
        let mut reader = open_existing(&self.destination, self.delimiter)?;
        let mut header = csv::StringRecord::new();
        let read = reader.read_record(&mut header);
        read.map_err(|error| StageError::fatal("the header that is there cannot be read").caused_by(error))?;
        let header: Vec<_> =
            header.iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect();
        Ok((!header.is_empty()).then_some(Existing { header, length: found.len() }))
    }
}

fn open_existing(destination: &Destination, delimiter: u8) -> Result<csv::Reader<impl Read>, StageError> {
    let file = File::open(destination.real()).map_err(|error| failed("opening it", error))?;
    let mut builder = csv::ReaderBuilder::new();
    Ok(builder.delimiter(delimiter).has_headers(false).flexible(true).from_reader(BufReader::new(file)))
}

/// Copies the rows that are there, each with as many values as the new header has.
fn copy_rows(
    destination: &Destination,
    delimiter: u8,
    width: usize,
    out: &mut csv::Writer<impl Write>,
) -> Result<(), StageError> {
    let mut reader = open_existing(destination, delimiter)?;
    let mut row = csv::ByteRecord::new();
    let mut first = true;
    while reader.read_byte_record(&mut row).map_err(wrong)? {
        if std::mem::take(&mut first) {
            continue;
        }
        for _ in row.len()..width {
            row.push_field(b"");
        }
        out.write_byte_record(&row).map_err(wrong)?;
    }
    Ok(())
}

fn write_rows(
    rows: &mut SpoolReader,
    places: &[usize],
    width: usize,
    out: &mut csv::Writer<impl Write>,
) -> Result<(), StageError> {
    let mut values: Vec<String> = vec![String::new(); width];
    while let Some(frame) = rows.next_frame()? {
        values.iter_mut().for_each(String::clear);
        let mut decoder = Decoder::new(frame);
        while let Some((column, cell)) = decoder.number().zip(decoder.cell()) {
            let Some(place) = places.get(column as usize) else { continue };
            put_text(&mut values[*place], cell);
        }
        if width > 0 {
            out.write_record(&values).map_err(wrong)?;
        }
    }
    Ok(())
}

/// Appends a value as the file shows it.
fn put_text(out: &mut String, cell: Cell<'_>) {
    use std::fmt::Write;
    // Writing to a string does not fail.
    match cell {
        Cell::Null => {}
        Cell::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Cell::Int(number) => write!(out, "{number}").unwrap_or_default(),
        Cell::Float(number) => out.push_str(&Value::float(number).to_json()),
        Cell::Big(text) | Cell::Text(text) | Cell::Json(text) => out.push_str(text),
    }
}

fn wrong(error: csv::Error) -> StageError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => failed("writing", error),
        other => StageError::fatal("the rows cannot be written").caused_by(format!("{other:?}")),
    }
}
