//! Which encoding a page is in: its byte order mark, its content type, what it declares, or a guess.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::encoding;

/// A page declares its encoding within these bytes, or too late.
const DECLARED_WITHIN: usize = 4096;

/// The text of a page. Bytes that are no text become replacement characters, as in a browser.
pub(super) fn decode<'b>(bytes: &'b [u8], content_type: Option<&str>) -> Cow<'b, str> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0;
    }
    let declared = || declared(&bytes[..bytes.len().min(DECLARED_WITHIN)]);
    let encoding = content_type.and_then(encoding::of_content_type).or_else(declared);
    match encoding {
        Some(encoding) => encoding.decode_without_bom_handling(bytes).0,
        None => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
        },
    }
}

/// What `<meta charset>`, `<meta http-equiv>` or an XML declaration says.
fn declared(start: &[u8]) -> Option<&'static Encoding> {
    let text = String::from_utf8_lossy(start).to_ascii_lowercase();
    let in_tag = |open: &str, label: &str| {
        text.match_indices(open).find_map(|(at, _)| {
            let tag = text[at..].split('>').next()?;
            let value = tag.split_once(label)?.1.trim_start().strip_prefix('=')?;
            let value = value.trim_start().trim_start_matches(['"', '\'']);
            let value =
                value.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | '/')).next()?;
            Encoding::for_label(value.as_bytes())
        })
    };
    let encoding = in_tag("<meta", "charset").or_else(|| in_tag("<?xml", "encoding"))?;
    // A page whose declaration could be read is no UTF-16, whatever it says.
    Some(if encoding == UTF_16LE || encoding == UTF_16BE { UTF_8 } else { encoding })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_found() {
        let cases: [(&[u8], Option<&str>, &str); 11] = [
            (b"\xef\xbb\xbf\xc3\xa9", Some("text/html; charset=iso-8859-1"), "\u{e9}"),
            (b"\xff\xfe\xe9\0", None, "\u{e9}"),
            (b"\xe9", Some("text/html; charset=ISO-8859-1"), "\u{e9}"),
            (b"\xc3\xa9", Some("text/html"), "\u{e9}"),
            (b"<meta charset=windows-1251>\xe9", None, "<meta charset=windows-1251>\u{439}"),
            (b"<META CHARSET = 'windows-1251' />\xe9", None, "<META CHARSET = 'windows-1251' />\u{439}"),
            (
                b"<meta http-equiv=\"Content-Type\" content=\"text/html; charset=koi8-r\">\xe9",
                None,
                "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=koi8-r\">\u{418}",
            ),
            (
                b"<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\xe9",
                None,
                "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\u{e9}",
            ),
            (b"<meta charset=utf-16>\xc3\xa9", None, "<meta charset=utf-16>\u{e9}"),
            (b"\x80\xe9", None, "\u{20ac}\u{e9}"),
            (b"<meta charset=utf-8>\xff", None, "<meta charset=utf-8>\u{fffd}"),
        ];
        for (bytes, content_type, expected) in cases {
            assert_eq!(decode(bytes, content_type), expected, "{bytes:?}");
        }
    }
}
