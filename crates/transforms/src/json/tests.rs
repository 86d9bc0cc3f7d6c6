use std::io::Read;
use std::ops::ControlFlow;

use pipeline_core::Value;
use proptest::prelude::*;

use super::{JsonReader, Streamed};

/// Gives its bytes in pieces of this size, so that every token is cut somewhere.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.1.min(self.0.len()).min(buffer.len());
        buffer[..length].copy_from_slice(&self.0[..length]);
        self.0 = &self.0[length..];
        Ok(length)
    }
}

fn all(text: &[u8], piece: usize) -> Result<String, String> {
    let mut reader = JsonReader::new(Pieces(text, piece));
    let mut values = Vec::new();
    while let Some(value) = reader.next_value().map_err(|error| error.to_string())? {
        values.push(value.to_json());
    }
    Ok(values.join(" "))
}

#[test]
fn values_are_read_one_after_another() {
    let cases = [
        ("", ""),
        (" \n ", ""),
        ("1", "1"),
        ("1 2\n3", "1 2 3"),
        (r#"{"a":1}{"a":2}"#, r#"{"a":1} {"a":2}"#),
        ("\u{1e}{\"a\":1}\n\u{1e}[]\n", r#"{"a":1} []"#),
        (r#"[1, "x", null, true, false, {}, []]"#, r#"[1,"x",null,true,false,{},[]]"#),
        (r#""a\n\t\"\\\/\u00e9\ud83d\ude00""#, "\"a\\n\\t\\\"\\\\/\u{e9}\u{1f600}\""),
        (r#""\ud83d""#, "\"\u{fffd}\""),
        (r#""\ud83dx\udc00\ud83d\ud83d\ude00""#, "\"\u{fffd}x\u{fffd}\u{fffd}\u{1f600}\""),
        ("[-0.5, 1e3, 1E-2, 9223372036854775807]", "[-0.5,1000.0,0.01,9223372036854775807]"),
        (
            "9223372036854775808 123456789012345678901234567890",
            "9223372036854775808 123456789012345678901234567890",
        ),
        // Of a name that stands twice the last value counts.
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
        (
            r#"{"a":1,"b":2}{"a":1,"b":2,"a":3}{"b":1}{"a":5}"#,
            r#"{"a":1,"b":2} {"a":3,"b":2} {"b":1} {"a":5}"#,
        ),
        (r#"{"":{"":[{"":0}]}}"#, r#"{"":{"":[{"":0}]}}"#),
    ];
    for (text, expected) in cases {
        for piece in [1, 2, 3, 7, 1000] {
            assert_eq!(all(text.as_bytes(), piece).as_deref(), Ok(expected), "{text} in pieces of {piece}");
        }
    }
}

#[test]
fn what_is_not_json_says_where() {
    let cases: [(&[u8], &str); 22] = [
        (b"[1,", "line 1, column 4: expected a value, found the end: the text is cut off"),
        (b"{\"a\" 1}", "line 1, column 6: expected `:`, found `1`"),
        (b"{\n \"a\": 1,\n}", "line 3, column 1: expected a name in quotes, found `}`"),
        (b"{a: 1}", "line 1, column 2: expected a name in quotes, found `a`"),
        (b"[1 2]", "line 1, column 4: expected `,` or `]`, found `2`"),
        (b"{\"a\":1 \"b\":2}", "expected `,` or `}`, found `\"`"),
        (b"[NaN]", "expected a value, found `NaN`, which JSON does not know"),
        (b"[None]", "found `None`, which JSON does not know"),
        (b"nul", "expected a value, found `nul`"),
        (b"nullx", "expected a value, found `nullx`"),
        (b"01", "`01` is not a number as JSON writes it"),
        (b"1.", "`1.` is not a number"),
        (b"-", "`-` is not a number"),
        (b"\"abc", "the text does not end: the document is cut off"),
        (b"\"ab\nc\"", "line 1, column 4: the text does not end in its line"),
        (b"\"a\x01\"", "the control character 0x01 must be written \\u0001"),
        (b"\"\\x\"", "expected an escape"),
        (b"\"\\u12g4\"", "expected four hexadecimal digits, found `g4`"),
        (b"\"\xff\"", "the text before is not UTF-8"),
        (b"{\"\xff\":1}", "the text before is not UTF-8"),
        (b"<html>", "expected a value, found `<`"),
        ("\u{e9}".as_bytes(), "expected a value, found `\u{e9}`"),
    ];
    for (text, expected) in cases {
        for piece in [1, 1000] {
            let error = all(text, piece).unwrap_err();
            assert!(error.contains(expected), "{:?}: {error}", String::from_utf8_lossy(text));
        }
    }
    assert!(all("[".repeat(100_000).as_bytes(), 1000).unwrap_err().contains("nested deeper than 256"));
    assert!(all("{\"a\":".repeat(100_000).as_bytes(), 1000).unwrap_err().contains("nested deeper than 256"));
}

fn elements(text: &str, path: &[&str], piece: usize) -> Result<(String, Streamed), String> {
    let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
    let mut reader = JsonReader::new(Pieces(text.as_bytes(), piece));
    let mut values = Vec::new();
    let streamed = reader
        .elements(&path, &mut |value, _| {
            values.push(value.to_json());
            if values.len() == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .map_err(|error| format!("{} then {error}", values.join(" ")))?;
    Ok((values.join(" "), streamed))
}

#[test]
fn elements_come_without_their_document() {
    let none = |text: &str| Streamed::NoElements(text.to_owned());
    let cases = [
        ("[1,[2],{}]", &[][..], "1 [2] {}", Streamed::Whole),
        ("[]", &[], "", Streamed::Whole),
        ("[1,2,3,4,5,6,7]", &[], "1 2 3 4 5", Streamed::Stopped),
        (r#"{"a":1,"b":2,"a":3}"#, &[], "3 2", Streamed::Whole),
        ("5", &[], "", none("cannot iterate over 5")),
        (r#"{"x":[{"a":"]"}],"a":[1,2],"y":{}}"#, &["a"], "1 2", Streamed::Whole),
        (r#"{"a":{"b":[1]},"c":[9]}"#, &["a", "b"], "1", Streamed::Whole),
        (r#"{"a":{"b":{"x":1}}}"#, &["a", "b"], "1", Streamed::Whole),
        ("{}", &["a"], "", none("cannot iterate over null")),
        ("null", &["a"], "", none("cannot iterate over null")),
        (r#"{"a":null}"#, &["a", "b"], "", none("cannot iterate over null")),
        (r#"{"a":5,"z":1}"#, &["a", "b"], "", none("cannot index 5 with \"b\"")),
        ("[1]", &["a"], "", none("cannot index [1] with \"a\"")),
    ];
    for (text, path, values, streamed) in cases {
        for piece in [1, 5, 1000] {
            let found = elements(text, path, piece).unwrap();
            assert_eq!((found.0.as_str(), &found.1), (values, &streamed), "{text} {path:?}");
        }
    }
    let broken = [
        ("[1,2", &[][..], "1 2 then line 1, column 5: expected `,` or `]`, found the end"),
        (r#"{"a":[1],"a":[2]}"#, &["a"], "1 then line 1, column 14: the name `a` stands twice"),
        (r#"{"a":[1],"b":}"#, &["a"], "1 then line 1, column 14: expected a value"),
    ];
    for (text, path, expected) in broken {
        let error = elements(text, path, 3).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn a_broken_line_can_be_left_out() {
    let text = b"{\"a\":1}\n {\"a\":x, \"b\":2}\n{\"a\":3}";
    for piece in [1, 1000] {
        let mut reader = JsonReader::new(Pieces(text, piece));
        assert!(reader.next_value().unwrap().is_some());
        assert_eq!(reader.peek_token().unwrap(), Some(b'{'));
        assert!(reader.at_line_start());
        assert_eq!(reader.next_value().unwrap_err().line, 2);
        assert!(!reader.at_line_start());
        assert_eq!(reader.skip_line().unwrap(), b" {\"a\":x, \"b\":2}");
        assert_eq!(reader.next_value().unwrap().unwrap().to_json(), r#"{"a":3}"#);
        assert!(reader.next_value().unwrap().is_none());
    }
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1.0e9..1.0e9).prop_map(|number: f64| number.into()),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map("[a-c]{0,2}|.{1,3}", inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_json_text_is_read(values in prop::collection::vec(json_value(), 0..4), piece in 1usize..40, pretty: bool) {
        let write = |value: &serde_json::Value| if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        let text = values.iter().map(|value| write(value).unwrap()).collect::<Vec<_>>().join("\n");
        let mut reader = JsonReader::new(Pieces(text.as_bytes(), piece));
        for value in &values {
            prop_assert_eq!(reader.next_value().unwrap().unwrap(), Value::from(value.clone()));
        }
        prop_assert!(reader.next_value().unwrap().is_none());
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}:,\"\\\\0-9eEa-u \n.+-]{0,60}", piece in 1usize..20) {
        let strict = serde_json::from_str::<serde_json::Value>(&text);
        let mut reader = JsonReader::new(Pieces(text.as_bytes(), piece));
        let mut path_reader = JsonReader::new(Pieces(text.as_bytes(), piece));
        path_reader.elements(&["a".to_owned()], &mut |_, _| ControlFlow::Continue(())).ok();
        match (reader.next_value(), strict) {
            (Ok(Some(value)), Ok(strict)) => prop_assert_eq!(value.to_json(), Value::from(strict).to_json()),
            (Err(_) | Ok(None), Ok(strict)) => prop_assert!(false, "{text} is {strict}"),
            _ => {}
        }
    }
}
