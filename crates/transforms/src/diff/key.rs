//! The key of an item as bytes: equal where the values are equal, and the same in every later version.

use pipeline_core::{Record, StageError, Value};

const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const BIG: u8 = 5;
const TEXT: u8 = 6;
const ARRAY: u8 = 7;
const OBJECT: u8 = 8;
const NULL: u8 = 9;
/// Ends texts and lists: less than every tag, so that keys sort as their parts do.
const END: u8 = 0;

/// Appends the key of an item.
///
/// Text and numbers are never the same key; `1` and `1.0` are.
///
/// # Errors
/// Where a field of the key is absent or null.
pub(crate) fn put_key(out: &mut Vec<u8>, fields: &[String], content: &Record) -> Result<(), StageError> {
    for field in fields {
        match content.get(field) {
            Some(value) if !value.is_null() => put(out, value),
            found => {
                let what = if found.is_some() { "null" } else { "absent" };
                return Err(StageError::item(format!("the key field `{field}` is {what}")).hint(
                    "every item needs its key; filter such items out before, or choose another `key`",
                ));
            }
        }
    }
    Ok(())
}

/// The key as a person reads it: `title "Emma", edition 2`.
pub(super) fn describe(fields: &[String], content: &Record) -> String {
    let parts: Vec<_> = fields
        .iter()
        .map(|field| format!("{field} {}", content.get(field).unwrap_or(&Value::Null)))
        .collect();
    parts.join(", ")
}

fn put(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Int(number) => put_int(out, *number),
        Value::Float(number) => match whole(*number) {
            Some(number) => put_int(out, number),
            None => {
                out.push(FLOAT);
                let bits = number.to_bits();
                let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
                out.extend_from_slice(&ordered.to_be_bytes());
            }
        },
        Value::BigNumber(text) => put_text(out, BIG, text),
        Value::Text(text) => put_text(out, TEXT, text),
        Value::Array(list) => {
            out.push(ARRAY);
            list.iter().for_each(|value| put(out, value));
            out.push(END);
        }
        Value::Object(record) => {
            let mut fields: Vec<_> = record.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            out.push(OBJECT);
            for (name, value) in fields {
                put_text(out, TEXT, name);
                put(out, value);
            }
            out.push(END);
        }
    }
}

fn put_int(out: &mut Vec<u8>, number: i64) {
    out.push(INT);
    out.extend_from_slice(&(number as u64 ^ 1 << 63).to_be_bytes());
}

fn put_text(out: &mut Vec<u8>, tag: u8, text: &str) {
    out.push(tag);
    for byte in text.bytes() {
        out.push(byte);
        if byte == END {
            out.push(u8::MAX);
        }
    }
    out.extend_from_slice(&[END, END]);
}

/// The integer that a float is, where it is one.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && (-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&number))
        .then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn key(value: serde_json::Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, &Value::from(value));
        bytes
    }

    #[test]
    fn keys_are_equal_where_values_are() {
        let cases = [
            (json!(1), json!(1.0), true),
            (json!(0), json!(-0.0), true),
            (json!(1), json!("1"), false),
            (json!(1), json!(true), false),
            (json!("a"), json!("A"), false),
            (json!(1.5), json!(1.5), true),
            (json!({"a": 1, "b": [2]}), json!({"b": [2.0], "a": 1}), true),
            (json!(["a", "b"]), json!(["ab"]), false),
            (json!("a\u{0}"), json!("a"), false),
            (json!([]), json!({}), false),
        ];
        for (a, b, equal) in cases {
            assert_eq!(key(a.clone()) == key(b.clone()), equal, "{a} {b}");
        }
    }

    #[test]
    fn an_absent_or_null_field_is_told() {
        let content: Record = serde_json::from_value(json!({"a": 1, "b": null})).unwrap();
        let fields = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(put_key(&mut Vec::new(), &fields(&["a"]), &content).is_ok());
        let null = put_key(&mut Vec::new(), &fields(&["a", "b"]), &content).unwrap_err().to_string();
        assert!(null.contains("`b` is null"), "{null}");
        let absent = put_key(&mut Vec::new(), &fields(&["c"]), &content).unwrap_err().to_string();
        assert!(absent.contains("`c` is absent"), "{absent}");
    }

    proptest! {
        #[test]
        fn numbers_and_texts_sort_as_their_keys(a in any::<i64>(), b in any::<i64>(), s in ".*", t in ".*") {
            prop_assert_eq!(key(json!(a)).cmp(&key(json!(b))), a.cmp(&b));
            prop_assert_eq!(key(json!(s)).cmp(&key(json!(t))), s.cmp(&t));
        }

        #[test]
        fn parts_do_not_run_into_each_other(a in ".*", b in ".*", c in ".*", d in ".*") {
            let pair = |x: &str, y: &str| [key(json!(x)), key(json!(y))].concat();
            prop_assert_eq!(pair(&a, &b) == pair(&c, &d), (a, b) == (c, d));
        }
    }
}
