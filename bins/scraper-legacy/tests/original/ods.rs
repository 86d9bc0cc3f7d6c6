//! Small ODS files, as the authority gives them.

/// A cell.
#[derive(Clone, Copy)]
pub(crate) enum Cell<'a> {
    Text(&'a str),
    Number(f64),
    Empty,
}

/// A book with one sheet `Blad1`: five rows of introduction, a header, and these rows.
pub(crate) fn ods(header: &[&str], rows: &[Vec<Cell<'_>>]) -> Vec<u8> {
    let row = |cells: &str| format!("<table:table-row>{cells}</table:table-row>");
    let text = |text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        format!(r#"<table:table-cell office:value-type="string"><text:p>{text}</text:p></table:table-cell>"#)
    };
    let mut table = row(&text("Blankningsregistret"));
    table
        .push_str(r#"<table:table-row table:number-rows-repeated="3"><table:table-cell/></table:table-row>"#);
    table.push_str(&row(&text("Positioner i procent")));
    table.push_str(&row(&header.iter().map(|name| text(name)).collect::<String>()));
    for cells in rows {
        let cells = cells.iter().map(|cell| match cell {
            Cell::Text(value) => text(value),
            Cell::Number(value) => {
                format!(r#"<table:table-cell office:value-type="float" office:value="{value}"><text:p>{value}</text:p></table:table-cell>"#)
            }
            Cell::Empty => "<table:table-cell/>".to_owned(),
        });
        table.push_str(&row(&cells.collect::<String>()));
    }
    let content = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet><table:table table:name="Blad1">{table}</table:table></office:spreadsheet></office:body></office:document-content>"#
    );
    let manifest =
        r#"<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>"#;
    zip(&[
        ("mimetype", "application/vnd.oasis.opendocument.spreadsheet"),
        ("META-INF/manifest.xml", manifest),
        ("content.xml", &content),
    ])
}

/// A zip archive of these files, uncompressed.
fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let offset = u32::try_from(archive.len()).unwrap();
        let size = u32::try_from(text.len()).unwrap().to_le_bytes();
        let mut facts = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        facts.extend(crc32(text.as_bytes()).to_le_bytes());
        facts.extend([size, size].concat());
        facts.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        for part in [b"PK\x03\x04".as_slice(), &facts, &[0, 0], name.as_bytes(), text.as_bytes()] {
            archive.extend(part);
        }
        for part in [b"PK\x01\x02\x14\0".as_slice(), &facts, &[0; 12], &offset.to_le_bytes(), name.as_bytes()]
        {
            directory.extend(part);
        }
    }
    let (count, start) =
        (u16::try_from(files.len()).unwrap().to_le_bytes(), u32::try_from(archive.len()).unwrap());
    let size = u32::try_from(directory.len()).unwrap().to_le_bytes();
    archive.extend(&directory);
    for part in [b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &size, &start.to_le_bytes(), &[0, 0]] {
        archive.extend(part);
    }
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
