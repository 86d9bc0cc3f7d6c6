//! A reader for `multipart/form-data`, as strict as an upload needs.

use bytes::Bytes;

use crate::log::File;

/// The boundary of a `Content-Type`, where it is a form.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let rest = content_type.strip_prefix("multipart/form-data")?;
    let value = rest.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?;
    Some(value.trim_matches('"').to_owned())
}

/// The parts of a form; an error says what is malformed.
pub(crate) fn parse(body: &Bytes, boundary: &str) -> Result<Vec<File>, String> {
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut at = find(body, delimiter.as_bytes(), 0).ok_or("the boundary never appears")? + delimiter.len();
    loop {
        if body[at..].starts_with(b"--") {
            return Ok(parts);
        }
        if !body[at..].starts_with(b"\r\n") {
            return Err("a boundary is not followed by a line end".into());
        }
        let start = at + 2;
        let head_end = find(body, b"\r\n\r\n", start).ok_or("a part has no end of its headers")?;
        let head = std::str::from_utf8(&body[start..head_end]).map_err(|_| "headers are not UTF-8")?;
        let ending = format!("\r\n{delimiter}");
        let data_start = head_end + 4;
        let data_end = find(body, ending.as_bytes(), data_start).ok_or("a part is not closed")?;
        parts.push(part(head, body.slice(data_start..data_end))?);
        at = data_end + ending.len();
    }
}

fn part(head: &str, bytes: Bytes) -> Result<File, String> {
    let mut field = None;
    let mut name = String::new();
    let mut content_type = None;
    for line in head.split("\r\n") {
        let (key, value) = line.split_once(':').ok_or("a header has no colon")?;
        if key.eq_ignore_ascii_case("content-disposition") {
            for piece in value.split(';') {
                let piece = piece.trim();
                if let Some(v) = piece.strip_prefix("name=") {
                    field = Some(v.trim_matches('"').to_owned());
                } else if let Some(v) = piece.strip_prefix("filename=") {
                    name = v.trim_matches('"').to_owned();
                }
            }
        } else if key.eq_ignore_ascii_case("content-type") {
            content_type = Some(value.trim().to_owned());
        }
    }
    Ok(File { field: field.ok_or("a part has no name")?, name, content_type, bytes })
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    haystack.get(from..)?.windows(needle.len()).position(|w| w == needle).map(|i| i + from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_parts() {
        let body = Bytes::from_static(
            b"--x\r\nContent-Disposition: form-data; name=\"payload_json\"\r\n\r\n{}\r\n--x\r\n\
              Content-Disposition: form-data; name=\"files[0]\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\na\r\nb\r\n--x--\r\n",
        );
        let boundary = boundary("multipart/form-data; boundary=x").unwrap();
        let parts = parse(&body, &boundary).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].field, "payload_json");
        assert_eq!(&parts[1].bytes[..], b"a\r\nb");
        assert_eq!(parts[1].name, "a.txt");
        assert!(parse(&Bytes::from_static(b"--x\r\nnothing"), "x").is_err());
    }
}
