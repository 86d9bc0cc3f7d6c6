//! Opening books of every format, and walking the rows of one sheet.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};

use calamine::{Cell, DataRef, Ods, Range, Reader, Xls, Xlsb, Xlsx};
use pipeline_core::{Payload, SpooledFile};

use super::Sheet;
use super::archive::{Archive, COLUMNS};
use super::cell::SheetCell;

/// The bytes of a book, which must be read in any order.
pub(super) enum Source {
    Memory(Cursor<bytes::Bytes>),
    File(BufReader<File>, Option<SpooledFile>),
}

/// What gets the rows: number from 0, about how wide the sheet is, the cells from column A. It returns
/// false when it wants no more.
pub(super) type EachRow<'e> = dyn FnMut(u32, usize, &mut Vec<SheetCell<'_>>) -> bool + 'e;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Xlsx,
    Xlsb,
    Xls,
    Ods,
}

impl Source {
    /// A payload that comes as a stream is first written to a temporary file.
    pub(super) fn open(payload: Payload) -> io::Result<Self> {
        Ok(match payload {
            Payload::Bytes(bytes) => Self::Memory(Cursor::new(bytes)),
            Payload::File(path) => Self::File(BufReader::new(File::open(path)?), None),
            Payload::Spooled(spooled) => {
                Self::File(BufReader::new(File::open(spooled.path())?), Some(spooled))
            }
            Payload::Reader(mut reader) => {
                let mut file = tempfile::tempfile()?;
                io::copy(&mut reader, &mut file)?;
                file.rewind()?;
                Self::File(BufReader::new(file), None)
            }
        })
    }

    /// Walks the rows of a sheet.
    ///
    /// # Errors
    /// Where it is no book, has no such sheet, or cannot be read.
    pub(super) fn rows(self, sheet: &Sheet, each: &mut EachRow<'_>) -> Result<(), String> {
        match self {
            Self::Memory(bytes) => rows(bytes, sheet, each),
            Self::File(file, _kept_until_read) => rows(file, sheet, each),
        }
    }
}

fn rows<S: Read + Seek>(mut source: S, sheet: &Sheet, each: &mut EachRow<'_>) -> Result<(), String> {
    let (format, length) = format(&mut source).map_err(|error| format!("cannot be read: {error}"))?;
    if let Some(format @ (Format::Xlsx | Format::Xlsb | Format::Ods)) = format {
        let mut archive = Archive::open(&mut source, length)?;
        match format {
            Format::Xlsx => archive.check_texts()?,
            Format::Ods => archive.check_cells()?,
            Format::Xlsb | Format::Xls => {}
        }
    }
    source.rewind().map_err(|error| format!("cannot be read: {error}"))?;
    let source = &mut source;
    match format {
        Some(Format::Xlsx) => {
            let mut book = Xlsx::new(source).map_err(unreadable)?;
            let name = choose(sheet, book.sheet_names())?;
            let mut cells = book.worksheet_cells_reader(&name).map_err(unreadable)?;
            let width = cells.dimensions().end.1;
            cell_by_cell(width, each, || cells.next_cell())
        }
        Some(Format::Xlsb) => {
            let mut book = Xlsb::new(source).map_err(unreadable)?;
            let name = choose(sheet, book.sheet_names())?;
            let mut cells = book.worksheet_cells_reader(&name).map_err(unreadable)?;
            let width = cells.dimensions().end.1;
            cell_by_cell(width, each, || cells.next_cell())
        }
        Some(Format::Xls) => {
            let mut book = Xls::new(source)
                .map_err(|error| format!("{} (is it protected by a password?)", unreadable(error)))?;
            let name = choose(sheet, book.sheet_names())?;
            row_by_row(&book.worksheet_range(&name).map_err(unreadable)?, each);
            Ok(())
        }
        Some(Format::Ods) => {
            let mut book = Ods::new(source).map_err(unreadable)?;
            let name = choose(sheet, book.sheet_names())?;
            row_by_row(&book.worksheet_range(&name).map_err(unreadable)?, each);
            Ok(())
        }
        None => {
            Err("is no spreadsheet: neither xlsx nor xlsb nor xls nor ods (some sites give HTML or CSV that \
                     name: then html.HtmlParser or csv.CsvParser reads it)"
                .to_owned())
        }
    }
}

pub(super) fn unreadable(error: impl Display) -> String {
    format!("cannot be read as a spreadsheet: {error}")
}

/// The format, by the content: names and content types are often wrong. And the number of bytes.
fn format<S: Read + Seek>(source: &mut S) -> io::Result<(Option<Format>, u64)> {
    let mut start = Vec::new();
    source.by_ref().take(512).read_to_end(&mut start)?;
    let length = source.seek(SeekFrom::End(0))?;
    let format = if start.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        Some(Format::Xls)
    } else if !start.starts_with(b"PK\x03\x04") {
        None
    } else if memchr::memmem::find(&start, b"application/vnd.oasis.opendocument").is_some() {
        Some(Format::Ods)
    } else {
        // The directory of the archive stands at its end.
        let mut directory = Vec::new();
        source.seek(SeekFrom::Start(length.saturating_sub(256 * 1024)))?;
        source.read_to_end(&mut directory)?;
        let holds = |name: &[u8]| memchr::memmem::find(&directory, name).is_some();
        Some(if holds(b"workbook.bin") { Format::Xlsb } else { Format::Xlsx })
    };
    source.rewind()?;
    Ok((format, length))
}

fn choose(sheet: &Sheet, names: Vec<String>) -> Result<String, String> {
    let number = match sheet {
        Sheet::Name(name) if names.contains(name) => return Ok(name.clone()),
        Sheet::Name(name) => name.trim().parse().ok(),
        Sheet::Number(number) => Some(*number),
    };
    if let Some(name) = number.and_then(|number| names.get(number)) {
        return Ok(name.clone());
    }
    let wanted = match sheet {
        Sheet::Name(name) => format!("called `{name}`"),
        Sheet::Number(number) => format!("of number {number}"),
    };
    let known = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Err(format!("has no sheet {wanted}; there are {known}"))
}

/// Gathers the cells of each row as they come, so that the sheet is never in memory. The last column is
/// what the sheet declares.
fn cell_by_cell<'b, E: Display>(
    last: u32,
    each: &mut EachRow<'_>,
    mut next: impl FnMut() -> Result<Option<Cell<DataRef<'b>>>, E>,
) -> Result<(), String> {
    let width = last.min(COLUMNS - 1) as usize + 1;
    let mut cells: Vec<SheetCell<'_>> = Vec::new();
    let mut row = 0;
    while let Some(cell) = next().map_err(unreadable)? {
        let (number, column) = cell.get_position();
        if column >= COLUMNS {
            let place = format!("row {}, column {}", number.saturating_add(1), column.saturating_add(1));
            return Err(format!("has a cell in {place}, and a sheet has at most {COLUMNS} columns"));
        }
        if number != row {
            if !each(row, width, &mut cells) {
                return Ok(());
            }
            cells.clear();
            row = number;
        }
        let column = column as usize;
        if cells.len() <= column {
            cells.resize_with(column + 1, || SheetCell::Empty);
        }
        cells[column] = SheetCell::from(cell.get_value().clone());
    }
    each(row, width, &mut cells);
    Ok(())
}

fn row_by_row(range: &Range<calamine::Data>, each: &mut EachRow<'_>) {
    let Some((top, left)) = range.start() else { return };
    let left = left as usize;
    let mut cells = Vec::new();
    for (number, row) in (top..).zip(range.rows()) {
        cells.clear();
        cells.resize_with(left, || SheetCell::Empty);
        cells.extend(row.iter().map(SheetCell::from));
        while cells.last().is_some_and(|cell| *cell == SheetCell::Empty) {
            cells.pop();
        }
        if !each(number, left + range.width(), &mut cells) {
            return;
        }
    }
}
