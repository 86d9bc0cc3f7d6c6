use std::io::Write;

use pipeline_core::{Item, OnError, Payload, RawItem, Record};
use serde_json::{Value, json};

use crate::fetch::testing::{Done, build_error, options, run_on};

/// A zip archive of these files, uncompressed.
fn zip(files: &[(&str, String)]) -> Vec<u8> {
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.clone(), text.len() as u32)).collect();
    zip_declaring(&files)
}

/// A zip archive of these files, uncompressed, that says that they have these sizes.
fn zip_declaring(files: &[(&str, String, u32)]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, text, declared) in files {
        let offset = archive.len() as u32;
        let size = (text.len() as u32).to_le_bytes();
        let mut facts = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        facts.extend(crc32(text.as_bytes()).to_le_bytes());
        facts.extend(size);
        facts.extend(declared.to_le_bytes());
        facts.extend((name.len() as u16).to_le_bytes());
        archive.extend(b"PK\x03\x04");
        archive.extend(&facts);
        archive.extend([0, 0]);
        archive.extend(name.as_bytes());
        archive.extend(text.as_bytes());
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&facts);
        directory.extend([0; 12]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (count, at) = ((files.len() as u16).to_le_bytes(), archive.len() as u32);
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend(count);
    archive.extend(count);
    archive.extend((directory.len() as u32).to_le_bytes());
    archive.extend(at.to_le_bytes());
    archive.extend([0, 0]);
    archive
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// A workbook whose sheets have this `sheetData`.
fn xlsx(sheets: &[(&str, &str)], properties: &str) -> Vec<u8> {
    let files = xlsx_files(sheets, properties);
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    zip(&files)
}

fn xlsx_files(sheets: &[(&str, &str)], properties: &str) -> Vec<(String, String)> {
    let names: String = sheets
        .iter()
        .zip(1..)
        .map(|((name, _), number)| format!(r#"<sheet name="{name}" sheetId="{number}" r:id="r{number}"/>"#))
        .collect();
    let links: String = (1..=sheets.len())
        .map(|number| format!(r#"<Relationship Id="r{number}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet{number}.xml"/>"#))
        .collect();
    let main = r#"xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships""#;
    let mut files = vec![
        ("[Content_Types].xml".to_owned(), "<Types/>".to_owned()),
        (
            "_rels/.rels".to_owned(),
            r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="w" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#.to_owned(),
        ),
        (
            "xl/workbook.xml".to_owned(),
            format!("<workbook {main}>{properties}<sheets>{names}</sheets></workbook>"),
        ),
        (
            "xl/_rels/workbook.xml.rels".to_owned(),
            format!(
                r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{links}<Relationship Id="s" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/><Relationship Id="t" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings" Target="sharedStrings.xml"/></Relationships>"#
            ),
        ),
        (
            "xl/styles.xml".to_owned(),
            format!(
                r#"<styleSheet {main}><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>"#
            ),
        ),
        (
            "xl/sharedStrings.xml".to_owned(),
            format!(
                "<sst {main}><si><t>name</t></si><si><t xml:space=\"preserve\"> Ann\u{a0}</t></si></sst>"
            ),
        ),
    ];
    for ((_, data), number) in sheets.iter().zip(1..) {
        let sheet = format!("<worksheet {main}><sheetData>{data}</sheetData></worksheet>");
        files.push((format!("xl/worksheets/sheet{number}.xml"), sheet));
    }
    files
}

/// The same files, compressed.
fn deflated(files: &[(String, String)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in files {
        archive.start_file(name.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn ods(table: &str) -> Vec<u8> {
    let content = format!(
        r#"<?xml version="1.0"?><office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet><table:table table:name="Blankning">{table}</table:table></office:spreadsheet></office:body></office:document-content>"#
    );
    let manifest =
        r#"<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>"#;
    zip(&[
        ("mimetype", "application/vnd.oasis.opendocument.spreadsheet".to_owned()),
        ("META-INF/manifest.xml", manifest.to_owned()),
        ("content.xml", content),
    ])
}

async fn parse(bytes: Vec<u8>, kwargs: Value, on_error: OnError) -> Done {
    parse_payload(Payload::from(bytes), kwargs, on_error).await
}

async fn parse_payload(payload: Payload, mut kwargs: Value, on_error: OnError) -> Done {
    kwargs["topic"] = "t".into();
    let metadata: Record = [("url", "http://x/")].into_iter().collect();
    let raw =
        RawItem { source: "a.xlsx".into(), payload, fetched_at: chrono::DateTime::UNIX_EPOCH, metadata };
    run_on(vec![Item::from(raw)], "spreadsheet.SpreadsheetParser", kwargs, on_error, options()).await
}

const ROWS: &str = r#"
<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>price</t></is></c><c r="C1" t="inlineStr"><is><t>day</t></is></c></row>
<row r="2"><c r="A2" t="s"><v>1</v></c><c r="B2"><v>12.5</v></c><c r="C2" s="1"><v>45351</v></c></row>
<row r="3"/>
<row r="4"><c r="A4" t="inlineStr"><is><t>Bo</t></is></c><c r="B4"><v>3</v></c></row>"#;

#[tokio::test]
async fn rows_of_workbooks_are_items() {
    let cases = [
        (json!({}), r#"{"name":"Ann","price":12.5,"day":"2024-02-29"} {"name":"Bo","price":3,"day":null}"#),
        (
            json!({"types": {"price": "number", "name": "string"}}),
            r#"{"name":"Ann","price":12.5,"day":"2024-02-29"} {"name":"Bo","price":3.0,"day":null}"#,
        ),
        (
            json!({"columns": ["n", null, "d", "more"]}),
            r#"{"n":"Ann","d":"2024-02-29","more":null} {"n":"Bo","d":null,"more":null}"#,
        ),
        (
            json!({"columns": {"name": "n"}, "trim": false, "meta": ["url"]}),
            "{\"n\":\" Ann\u{a0}\",\"price\":12.5,\"day\":\"2024-02-29\",\"url\":\"http://x/\"} {\"n\":\"Bo\",\"price\":3,\"day\":null,\"url\":\"http://x/\"}",
        ),
        (
            json!({"skip_rows": 1, "header": false}),
            r#"{"column_1":"Ann","column_2":12.5,"column_3":"2024-02-29"} {"column_1":"Bo","column_2":3,"column_3":null}"#,
        ),
        (json!({"skip_rows": 3, "header": false, "columns": ["n", "p"]}), r#"{"n":"Bo","p":3}"#),
        (json!({"sheet": "Second"}), r#"{"x":true}"#),
        (json!({"sheet": 1}), r#"{"x":true}"#),
        (json!({"sheet": "1"}), r#"{"x":true}"#),
        (json!({"sheet": "Empty"}), ""),
    ];
    let second =
        r#"<row r="5"><c r="C5" t="str"><v>x</v></c></row><row r="6"><c r="C6" t="b"><v>1</v></c></row>"#;
    let book = xlsx(&[("First", ROWS), ("Second", second), ("Empty", "")], "");
    for (kwargs, expected) in cases {
        let done = parse(book.clone(), kwargs.clone(), OnError::Fail).await;
        done.succeeded();
        assert_eq!(done.contents().join(" "), expected, "{kwargs}");
    }
    let stream = Payload::Reader(Box::new(std::io::Cursor::new(book)));
    let done = parse_payload(stream, json!({"sheet": 1}), OnError::Fail).await;
    assert_eq!(done.contents(), [r#"{"x":true}"#]);
}

#[tokio::test]
async fn rows_of_open_documents_are_items() {
    let table = r#"
<table:table-row table:number-rows-repeated="2"><table:table-cell table:number-columns-repeated="3"/></table:table-row>
<table:table-row><table:table-cell office:value-type="string"><text:p>Holder</text:p></table:table-cell><table:table-cell office:value-type="string"><text:p>Percent</text:p></table:table-cell><table:table-cell office:value-type="string"><text:p>Date</text:p></table:table-cell></table:table-row>
<table:table-row><table:table-cell office:value-type="string"><text:p>Ann</text:p></table:table-cell><table:table-cell office:value-type="float" office:value="0.67"><text:p>0,67</text:p></table:table-cell><table:table-cell office:value-type="date" office:date-value="2024-02-29"><text:p>29/2</text:p></table:table-cell></table:table-row>
<table:table-row table:number-rows-repeated="1048570"><table:table-cell table:number-columns-repeated="3"/></table:table-row>"#;
    let kwargs = json!({"sheet": "Blankning", "skip_rows": 2, "columns": ["holder", "percent", "date"]});
    let done = parse(ods(table), kwargs, OnError::Fail).await;
    done.succeeded();
    assert_eq!(done.contents(), [r#"{"holder":"Ann","percent":0.67,"date":"2024-02-29"}"#]);
}

#[tokio::test]
async fn days_are_counted_from_1904_where_the_book_says_so() {
    let book = xlsx(&[("S", &ROWS.replace("45351", "43889"))], r#"<workbookPr date1904="1"/>"#);
    let done = parse(book, json!({}), OnError::Fail).await;
    done.succeeded();
    assert!(done.contents()[0].contains("2024-02-29"), "{:?}", done.contents());
}

#[tokio::test]
async fn a_failed_formula_is_an_error_of_its_row() {
    let rows = r#"<row r="1"><c r="A1" t="str"><v>a</v></c><c r="B1" t="str"><v>b</v></c></row>
<row r="2"><c r="A2" t="e"><v>#DIV/0!</v></c><c r="B2"><v>1</v></c></row>
<row r="3"><c r="A3"><v>2</v></c><c r="B3" t="e"><v>#N/A</v></c></row>"#;
    let book = xlsx(&[("S", rows)], "");
    let done = parse(book.clone(), json!({}), OnError::Fail).await;
    assert!(done.error().contains("a.xlsx: row 2: a: the cell holds the error #DIV/0!"), "{}", done.error());
    // A column that is not wanted may hold what it likes.
    let done = parse(book, json!({"columns": ["a"]}), OnError::Skip).await;
    done.succeeded();
    assert_eq!(done.contents(), [r#"{"a":2}"#]);
}

#[tokio::test]
async fn merged_headers_leave_columns_without_a_name() {
    let rows = r#"<row r="1"><c r="A1" t="str"><v>a</v></c><c r="B1"/><c r="C1" t="str"><v>c</v></c></row>
<row r="2"><c r="A2"><v>1</v></c><c r="B2"><v>2</v></c><c r="C2"><v>3</v></c><c r="D2"><v>4</v></c></row>"#;
    let book = xlsx(&[("S", rows)], "");
    let done = parse(book.clone(), json!({}), OnError::Fail).await;
    assert_eq!(done.contents(), [r#"{"a":1,"c":3}"#]);
    let done = parse(book, json!({"columns": ["a", "b", "c", "d"]}), OnError::Fail).await;
    assert_eq!(done.contents(), [r#"{"a":1,"b":2,"c":3,"d":4}"#]);
}

#[tokio::test]
async fn what_is_no_spreadsheet_says_so() {
    let book = || xlsx(&[("S", ROWS)], "");
    let mut cut = book();
    cut.truncate(700);
    let cases = [
        (b"a;b\n1;2".to_vec(), json!({}), "a.xlsx: is no spreadsheet"),
        (Vec::new(), json!({}), "a.xlsx: is no spreadsheet"),
        (cut, json!({}), "a.xlsx: cannot be read as a spreadsheet: "),
        (vec![0xd0, 0xcf, 0x11, 0xe0, 1, 2], json!({}), "a.xlsx: cannot be read as a spreadsheet: "),
        (book(), json!({"sheet": "T"}), "a.xlsx: has no sheet called `T`; there are `S`"),
        (book(), json!({"sheet": 1}), "a.xlsx: has no sheet of number 1; there are `S`"),
        (
            book(),
            json!({"types": {"x": "number"}}),
            "a.xlsx: row 1: `types` names `x`, and there is no such column",
        ),
        (book(), json!({"types": {"name": "number"}}), "a.xlsx: row 2: name: `Ann` is not a number"),
    ];
    for (bytes, kwargs, expected) in cases {
        let done = parse(bytes, kwargs.clone(), OnError::Fail).await;
        assert!(done.error().contains(expected), "{kwargs}: {}", done.error());
    }
    assert!(
        build_error("spreadsheet.SpreadsheetParser", json!({"topic": "t", "sheet": -1})).contains("from 0")
    );
}

/// A workbook that says that its sheet and a picture have these sizes.
fn declaring(sheet: u32, picture: u32) -> Vec<u8> {
    let mut files = xlsx_files(&[("S", ROWS)], "");
    files.push(("xl/media/picture.png".to_owned(), "x".to_owned()));
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| {
            let declared = match name.as_str() {
                "xl/worksheets/sheet1.xml" => sheet,
                "xl/media/picture.png" => picture,
                _ => text.len() as u32,
            };
            (name.as_str(), text.clone(), declared)
        })
        .collect();
    zip_declaring(&files)
}

/// A workbook with a file in place of one of its own.
fn with(name: &str, text: &str) -> Vec<u8> {
    let mut files = xlsx_files(&[("S", ROWS)], "");
    for file in &mut files {
        if file.0 == name {
            file.1 = text.to_owned();
        }
    }
    deflated(&files)
}

#[tokio::test]
async fn what_would_unpack_out_of_all_proportion_is_refused() {
    let gib = 1 << 30;
    let cell = |more: &str| {
        format!(
            r#"<table:table-cell office:value-type="float" office:value="1"{more}><text:p>1</text:p></table:table-cell>"#
        )
    };
    let wide = cell(r#" table:number-columns-repeated="16384""#);
    let row = |more: &str, cells: &str| format!("<table:table-row{more}>{cells}</table:table-row>");
    let column = r#"<table:table-cell table:number-columns-repeated="16383"/>"#;
    let cases = [
        (declaring(gib, gib / 2), "would unpack to 1537 MiB, and at most 1024 MiB are read"),
        (declaring(1000, u32::MAX), "would unpack to 4097 MiB, and at most 1024 MiB"),
        (declaring(300 << 20, 1), "times its own size: above 256 MiB, at most 100 times are read"),
        // The sheet goes on beyond the size that it declares.
        (declaring(200, 1), "File is larger than its declared uncompressed size"),
        (
            with("xl/sharedStrings.xml", r#"<sst uniqueCount="99999999999"><si><t>a</t></si></sst>"#),
            "declares 99999999999 shared texts in 54 bytes",
        ),
        (
            with(
                "xl/worksheets/sheet1.xml",
                r#"<worksheet><sheetData><row r="1"><c r="ZZZZZ1"><v>1</v></c></row></sheetData></worksheet>"#,
            ),
            "has a cell in row 1, column 12356630, and a sheet has at most 16384 columns",
        ),
        (ods(&row("", &wide).repeat(2000)), "has more than 16777216 cells"),
        (ods(&row(r#" table:number-rows-repeated="1048576""#, &wide)), "has more than 16777216 cells"),
        (
            ods(&format!(
                "{}{}{}",
                row("", &wide),
                row(r#" table:number-rows-repeated="1000000""#, ""),
                row("", &cell(""))
            )),
            "has more than 16777216 cells",
        ),
        (ods(&row("", &format!("{column}{}", cell(""))).repeat(2000)), "has more than 16777216 cells"),
    ];
    for (book, expected) in cases {
        let done = parse(book, json!({}), OnError::Fail).await;
        assert!(done.error().contains(expected), "{expected}: {}", done.error());
        assert!(done.error().contains("a.xlsx: "), "{}", done.error());
    }
    // Another workbook of the run is read all the same.
    let done = parse(declaring(gib, gib), json!({}), OnError::Skip).await;
    done.succeeded();
    assert_eq!(done.report.stages[1].errors, 1);
}

#[tokio::test]
async fn what_declares_to_be_wide_is_read() {
    let rows = r#"<dimension ref="A1:ZZZZZ1"/><sheetData><row r="1"><c r="A1" t="str"><v>a</v></c></row><row r="2"><c r="A2"><v>1</v></c></row></sheetData>"#;
    let book = with("xl/worksheets/sheet1.xml", &format!("<worksheet>{rows}</worksheet>"));
    let done = parse(book, json!({}), OnError::Fail).await;
    done.succeeded();
    assert_eq!(done.contents(), [r#"{"a":1}"#]);
}

#[tokio::test]
async fn a_large_workbook_is_read() {
    let mut data = r#"<row r="1">"#.to_owned();
    for column in "ABCDEFGHIJ".chars() {
        data.push_str(&format!(r#"<c r="{column}1" t="inlineStr"><is><t>{column}</t></is></c>"#));
    }
    data.push_str("</row>");
    for row in 2..=20_001 {
        data.push_str(&format!(r#"<row r="{row}">"#));
        for column in "ABCDEFGHIJ".chars() {
            data.push_str(&format!(r#"<c r="{column}{row}"><v>{}.25</v></c>"#, row * 7));
        }
        data.push_str("</row>");
    }
    let book = deflated(&xlsx_files(&[("S", &data)], ""));
    let done = parse(book, json!({"columns": {"A": "a"}}), OnError::Fail).await;
    done.succeeded();
    let rows = done.contents();
    assert_eq!(rows.len(), 20_000);
    assert!(rows[19_999].starts_with(r#"{"a":140007.25,"B":140007.25"#), "{}", rows[19_999]);
}
