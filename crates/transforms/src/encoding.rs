//! Bytes to text: encodings by name, byte order marks, and decoding as the bytes come.

use std::io::{self, BufReader, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

/// The encoding of this name: a label of the web (`utf-8`, `windows-1252`, `shift_jis`, …) or as Python
/// spells it (`utf-8-sig`, `latin-1`, `cp1252`).
///
/// # Errors
/// Says what names there are.
pub(crate) fn by_name(name: &str) -> Result<&'static Encoding, String> {
    let plain = name.trim().to_ascii_lowercase().replace('_', "-");
    let label = match plain.as_str() {
        "utf-8-sig" | "utf8-sig" => "utf-8",
        "latin-1" | "latin1" => "iso-8859-1",
        "utf16" | "utf-16-sig" => "utf-16",
        "shift-jis" | "sjis" => "shift_jis",
        other => other,
    };
    // Some labels of the web are spelt with an underscore, and Python writes `iso8859_1`.
    let spelt = [label.to_owned(), label.replace('-', "_"), label.replace('-', "")];
    spelt.iter().find_map(|label| Encoding::for_label(label.as_bytes())).ok_or_else(|| {
        format!("`{name}` is not an encoding that is known here; some are utf-8, utf-16, windows-1252, iso-8859-1, shift_jis, gb18030")
    })
}

/// The `charset` of a content type such as `text/html; charset=utf-8`.
pub(crate) fn of_content_type(content_type: &str) -> Option<&'static Encoding> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        name.trim().eq_ignore_ascii_case("charset").then(|| Encoding::for_label(value.as_bytes())).flatten()
    })
}

/// Reads an XML document as UTF-8: its byte order mark decides over what it declares, and that over
/// `otherwise`.
pub(crate) fn xml_reader(
    mut reader: Box<dyn Read + Send>,
    otherwise: &'static Encoding,
) -> io::Result<Box<dyn Read + Send>> {
    let mut start = Vec::new();
    (&mut reader).take(256).read_to_end(&mut start)?;
    let declared = declared_in_xml(&start);
    utf8_reader(Box::new(io::Cursor::new(start).chain(reader)), declared.unwrap_or(otherwise))
}

fn declared_in_xml(start: &[u8]) -> Option<&'static Encoding> {
    let text = String::from_utf8_lossy(start);
    let declaration = text.trim_start().strip_prefix("<?xml")?.split("?>").next()?;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let value = value.strip_prefix(['"', '\''])?.split(['"', '\'']).next()?;
    // A declaration that could be read is no UTF-16, whatever it says.
    Encoding::for_label(value.as_bytes()).filter(|encoding| encoding.is_ascii_compatible())
}

/// Reads text of this encoding as UTF-8, without its byte order mark; a byte order mark decides over the
/// encoding that was named.
///
/// UTF-8 itself is passed on unchecked: whoever reads it finds what is wrong, and in which row.
/// In other encodings bytes that are no text are an error of the reader.
pub(crate) fn utf8_reader(
    mut reader: Box<dyn Read + Send>,
    encoding: &'static Encoding,
) -> io::Result<Box<dyn Read + Send>> {
    let mut start = [0; 3];
    let mut filled = 0;
    while filled < start.len() {
        match reader.read(&mut start[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    let (encoding, mark) = Encoding::for_bom(&start[..filled]).unwrap_or((encoding, 0));
    let start = io::Cursor::new(start[mark..filled].to_vec());
    let whole = start.chain(reader);
    if encoding == UTF_8 {
        return Ok(Box::new(whole));
    }
    Ok(Box::new(DecodingReader {
        reader: BufReader::with_capacity(32 * 1024, Box::new(whole)),
        decoder: encoding.new_decoder_without_bom_handling(),
        encoding,
        consumed: 0,
        text: Vec::new(),
        at: 0,
        done: false,
    }))
}

struct DecodingReader {
    reader: BufReader<Box<dyn Read + Send>>,
    decoder: Decoder,
    encoding: &'static Encoding,
    consumed: u64,
    text: Vec<u8>,
    at: usize,
    done: bool,
}

impl DecodingReader {
    fn refill(&mut self) -> io::Result<()> {
        use std::io::BufRead;
        self.text.resize(48 * 1024, 0);
        self.at = 0;
        let input = self.reader.fill_buf()?;
        let last = input.is_empty();
        let (result, read, written) =
            self.decoder.decode_to_utf8_without_replacement(input, &mut self.text, last);
        self.text.truncate(written);
        self.reader.consume(read);
        self.consumed += read as u64;
        match result {
            DecoderResult::Malformed(..) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "the bytes before byte {} are not {}",
                    self.consumed,
                    self.encoding.name().to_ascii_lowercase()
                ),
            )),
            DecoderResult::InputEmpty => {
                self.done = last;
                Ok(())
            }
            DecoderResult::OutputFull => Ok(()),
        }
    }
}

impl Read for DecodingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.text.len() {
            if self.done {
                return Ok(0);
            }
            self.refill()?;
        }
        let length = buffer.len().min(self.text.len() - self.at);
        buffer[..length].copy_from_slice(&self.text[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &'static [u8], encoding: &str) -> io::Result<String> {
        let mut text = String::new();
        utf8_reader(Box::new(bytes), by_name(encoding).unwrap())?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn text_is_decoded_and_marks_are_removed() {
        let cases: [(&[u8], &str, &str); 9] = [
            (b"a\xc3\xa9", "utf-8", "a\u{e9}"),
            (b"\xef\xbb\xbfa", "utf-8", "a"),
            (b"\xef\xbb\xbfa", "windows-1252", "a"),
            (b"caf\xe9 \x80", "cp1252", "caf\u{e9} \u{20ac}"),
            (b"\xff\xfea\0b\0", "utf-8", "ab"),
            (b"\xfe\xff\0a", "utf-16", "a"),
            (b"a\0", "utf-16le", "a"),
            (b"\x83\x65", "Shift_JIS", "\u{30c6}"),
            (b"", "utf-16", ""),
        ];
        for (bytes, encoding, expected) in cases {
            assert_eq!(read(bytes, encoding).unwrap(), expected, "{bytes:?} {encoding}");
        }
    }

    #[test]
    fn long_text_is_decoded_in_pieces() {
        let bytes: Vec<u8> = std::iter::repeat_n(0xe9, 200_000).collect();
        let mut text = String::new();
        let mut reader = utf8_reader(Box::new(io::Cursor::new(bytes)), by_name("latin-1").unwrap()).unwrap();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text.chars().filter(|c| *c == '\u{e9}').count(), 200_000);
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        assert!(
            read(b"a\x81\xff\x81\xffb", "shift_jis").unwrap_err().to_string().contains("are not shift_jis")
        );
        assert!(by_name("klingon").unwrap_err().contains("`klingon` is not an encoding"));
    }

    #[test]
    fn xml_declares_its_encoding() {
        let cases: [(&[u8], &str); 6] = [
            (b"<?xml version=\"1.0\" encoding='ISO-8859-1'?><a>\xe9</a>", "\u{e9}"),
            (b"<?xml version=\"1.0\"?><a>\xc3\xa9</a>", "\u{e9}"),
            (b"<?xml encoding=\"utf-16\"?><a>\xc3\xa9</a>", "\u{e9}"),
            (b"\xef\xbb\xbf<?xml encoding=\"koi8-r\"?><a>\xc3\xa9</a>", "\u{e9}"),
            (b"\xff\xfe<\0a\0>\0\xe9\0", "\u{e9}"),
            (b"", ""),
        ];
        for (bytes, expected) in cases {
            let mut text = String::new();
            xml_reader(Box::new(bytes), UTF_8).unwrap().read_to_string(&mut text).unwrap();
            assert!(text.contains(expected) && !text.contains('\u{feff}'), "{text}");
        }
    }

    #[test]
    fn names_of_python_and_of_the_web_are_known() {
        let names = [
            "utf-8",
            "utf8",
            "UTF-8-SIG",
            "latin-1",
            "iso8859_1",
            "cp1252",
            "utf_16",
            "gbk",
            "euc-kr",
            "koi8_r",
        ];
        for name in names {
            assert!(by_name(name).is_ok(), "{name}");
        }
        assert_eq!(
            of_content_type("text/html; charset=\"ISO-8859-2\"").map(Encoding::name),
            Some("ISO-8859-2")
        );
        assert_eq!(of_content_type("text/html"), None);
    }
}
