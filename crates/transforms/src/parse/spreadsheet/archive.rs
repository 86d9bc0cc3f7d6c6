//! What a book would unpack to: one that is out of all proportion is refused before it is unpacked.
//!
//! The sizes are those that the archive itself declares. They can lie, but not to any use: the reader of the
//! archive ends a file with an error where it grows beyond its declared size.

use std::io::{BufRead, BufReader, Read, Seek};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use zip::ZipArchive;

use super::book::unreadable;

/// No book unpacks to more.
const MOST: u64 = 1 << 30;
/// One that unpacks to more must have a size that goes with it.
const MODEST: u64 = 256 << 20;
/// How many times its own size that is.
const RATIO: u64 = 100;

/// The columns and rows that a sheet has at most, in every program.
pub(super) const COLUMNS: u32 = 16_384;
const ROWS: u64 = 1_048_576;
/// The cells of the sheets of an open document, which are all in memory at once.
const CELLS: u64 = 1 << 24;
/// The fewest bytes that a shared text takes: `<si/>`.
const LEAST_TEXT: u64 = 5;

/// A book that can be unpacked.
pub(super) struct Archive<S>(ZipArchive<S>);

impl<S: Read + Seek> Archive<S> {
    /// Opens a book whose file has this many bytes.
    ///
    /// # Errors
    /// Where it is no archive, or would unpack to too much.
    pub(super) fn open(source: S, packed: u64) -> Result<Self, String> {
        let archive = ZipArchive::new(source).map_err(unreadable)?;
        let mut unpacked = 0_u64;
        for number in 0..archive.len() {
            let declared = archive.by_index_data(number).map_err(unreadable)?.size();
            unpacked = unpacked.saturating_add(declared);
        }
        let shown = mebibytes(unpacked);
        if unpacked > MOST {
            return Err(format!("would unpack to {shown}, and at most {} are read", mebibytes(MOST)));
        }
        if unpacked > MODEST && unpacked / RATIO > packed {
            return Err(format!(
                "would unpack to {shown}, {} times its own size: above {}, at most {RATIO} times are read",
                unpacked / packed.max(1),
                mebibytes(MODEST)
            ));
        }
        Ok(Self(archive))
    }

    /// Refuses a count of shared texts that is made up: room would be made for them all.
    ///
    /// # Errors
    /// Where the count cannot be true, or the archive cannot be read.
    pub(super) fn check_texts(&mut self) -> Result<(), String> {
        for number in 0..self.0.len() {
            let entry = self.0.by_index_data(number).map_err(unreadable)?;
            let (name, size) = (entry.name_raw().to_ascii_lowercase(), entry.size());
            if !name.ends_with(b"sharedstrings.xml") {
                continue;
            }
            let file = self.0.by_index(number).map_err(unreadable)?;
            let declared = declared_texts(BufReader::new(file))?;
            if declared > size / LEAST_TEXT {
                return Err(format!("declares {declared} shared texts in {size} bytes"));
            }
        }
        Ok(())
    }

    /// Refuses sheets of an open document that a few repetitions make larger than memory.
    ///
    /// # Errors
    /// Where they have too many cells, or cannot be read.
    pub(super) fn check_cells(&mut self) -> Result<(), String> {
        // Where it is missing, the reader of the book says so.
        let Ok(file) = self.0.by_name("content.xml") else { return Ok(()) };
        let mut sheets = Sheets::default();
        let mut reader = Reader::from_reader(BufReader::with_capacity(64 * 1024, file));
        let mut buffer = Vec::new();
        loop {
            match reader.read_event_into(&mut buffer).map_err(unreadable)? {
                Event::Start(start) => sheets.start(&start, false),
                Event::Empty(start) => sheets.start(&start, true),
                Event::End(end) => sheets.end(end.name().as_ref()),
                Event::Eof => return Ok(()),
                _ => {}
            }
            if sheets.cells() > CELLS {
                return Err(format!("has more than {CELLS} cells, counting those that stand for many"));
            }
            buffer.clear();
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// The number of shared texts that their list says it has.
fn declared_texts(file: impl BufRead) -> Result<u64, String> {
    let mut reader = Reader::from_reader(file);
    let mut buffer = Vec::new();
    loop {
        match reader.read_event_into(&mut buffer).map_err(unreadable)? {
            Event::Start(start) | Event::Empty(start) if start.local_name().as_ref() == "sst" => {
                return Ok(number(&start, "uniqueCount").unwrap_or(0));
            }
            Event::Eof => return Ok(0),
            _ => buffer.clear(),
        }
    }
}

/// The value of an attribute that is a number.
fn number(start: &BytesStart<'_>, name: &str) -> Option<u64> {
    let attribute = start.try_get_attribute(name).ok().flatten()?;
    attribute.value.trim().parse().ok()
}

/// Counts the cells of the sheets of an open document as the reader of the book will hold them.
#[derive(Default)]
struct Sheets {
    /// The cells of the sheets that have ended.
    done: u64,
    sheet: Area,
    row: Row,
}

/// A sheet: all its rows as wide as the widest.
#[derive(Default)]
struct Area {
    /// The cells that are written down, those that stand for many counted as many.
    written: u64,
    width: u64,
    /// The rows as far as the last that is not empty, and the empty ones after it.
    rows: u64,
    empty: u64,
}

#[derive(Default)]
struct Row {
    repeated: u64,
    /// The cells as far as the last that is not empty, and the empty ones after it.
    width: u64,
    empty: u64,
    /// The cell whose content is being read.
    cell: Option<u64>,
}

impl Sheets {
    fn cells(&self) -> u64 {
        self.done
            .saturating_add(self.sheet.written)
            .saturating_add(self.row.width)
            .saturating_add(self.sheet.rows.saturating_mul(self.sheet.width))
    }

    fn start(&mut self, start: &BytesStart<'_>, is_empty: bool) {
        match start.name().as_ref() {
            "table:table-row" => {
                let repeated = number(start, "table:number-rows-repeated").unwrap_or(1).min(ROWS);
                self.row = Row { repeated, ..Row::default() };
                if is_empty {
                    self.end("table:table-row");
                }
            }
            "table:table-cell" | "table:covered-table-cell" => {
                let columns = u64::from(COLUMNS);
                let repeated = number(start, "table:number-columns-repeated").unwrap_or(1).min(columns);
                let holds = start.attributes().flatten().any(|attribute| {
                    let name: &str = attribute.key.as_ref();
                    name.starts_with("office:") || name == "table:formula"
                });
                match holds {
                    true => self.row.fill(repeated),
                    false => self.row.empty += repeated,
                }
                self.row.cell = (!is_empty && !holds).then_some(repeated);
            }
            // An empty cell that holds a text after all.
            _ => {
                if let Some(repeated) = self.row.cell.take() {
                    self.row.empty = self.row.empty.saturating_sub(repeated);
                    self.row.fill(repeated);
                }
            }
        }
    }

    fn end(&mut self, name: &str) {
        match name {
            "table:table-cell" | "table:covered-table-cell" => self.row.cell = None,
            "table:table-row" => {
                let row = std::mem::take(&mut self.row);
                self.sheet.take(&row);
            }
            "table:table" => {
                self.done = self.cells();
                self.sheet = Area::default();
            }
            _ => {}
        }
    }
}

impl Area {
    fn take(&mut self, row: &Row) {
        if row.width == 0 {
            self.empty = self.empty.saturating_add(row.repeated).min(ROWS);
            return;
        }
        self.written = self.written.saturating_add(row.width);
        self.width = self.width.max(row.width);
        let before = std::mem::take(&mut self.empty);
        self.rows = self.rows.saturating_add(before).saturating_add(row.repeated).min(ROWS);
    }
}

impl Row {
    fn fill(&mut self, cells: u64) {
        let empty = std::mem::take(&mut self.empty);
        self.width = self.width.saturating_add(empty).saturating_add(cells).min(u64::from(COLUMNS));
    }
}
