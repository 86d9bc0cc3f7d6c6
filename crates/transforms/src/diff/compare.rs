//! Whether an item differs from its snapshot.

use pipeline_core::{Record, Value};

use super::kwargs::DiffParserKwargs;

/// What comparing found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Difference {
    /// The fields whose change is told, in the order of the new item's.
    pub(super) changed: Vec<String>,
    /// The fields that moved within their tolerance: their old values stay in the snapshot.
    pub(super) kept: Vec<(String, Value)>,
}

/// Compares an item with its snapshot. With `known_only`, fields that the snapshot has not are left out: a
/// table that serves as baseline need not have a column for each field.
pub(super) fn compare(kwargs: &DiffParserKwargs, old: &Record, new: &Record, known_only: bool) -> Difference {
    let mut found = Difference::default();
    let mut look = |field: &str| {
        let (before, after) =
            (old.get(field).unwrap_or(&Value::Null), new.get(field).unwrap_or(&Value::Null));
        if before == after {
            return;
        }
        match kwargs.tolerance.get(field) {
            Some(tolerance) if is_within(*tolerance, before, after) => {
                found.kept.push((field.to_owned(), before.clone()));
            }
            _ => found.changed.push(field.to_owned()),
        }
    };
    match &kwargs.compare {
        Some(fields) => {
            fields.iter().filter(|field| !known_only || old.contains(field)).for_each(|field| look(field));
        }
        None => {
            let is_key = |field: &str| kwargs.key.iter().any(|key| key == field);
            for (field, _) in new.iter() {
                if !is_key(field) && (!known_only || old.contains(field)) {
                    look(field);
                }
            }
            if !known_only {
                old.iter().filter(|(field, _)| !is_key(field) && !new.contains(field)).for_each(
                    |(field, _)| {
                        look(field);
                    },
                );
            }
        }
    }
    found
}

fn is_within(tolerance: f64, before: &Value, after: &Value) -> bool {
    let (Some(before), Some(after)) = (before.as_f64(), after.as_f64()) else { return false };
    // 0.301 - 0.3 is a little more than 0.001 only because neither is a binary fraction.
    let noise = before.abs().max(after.abs()) * f64::EPSILON * 2.0;
    (after - before).abs() <= tolerance + noise
}

/// The value of a table's column as the kind that the item's field has, where it can be that.
///
/// A database keeps a boolean as 0 or 1, a list as JSON text and perhaps a number as text.
pub(super) fn alike(column: Value, field: &Value) -> Value {
    match (&column, field) {
        (Value::Int(number @ (0 | 1)), Value::Bool(_)) => Value::Bool(*number == 1),
        (Value::Text(text), Value::Array(_) | Value::Object(_)) => {
            serde_json::from_str(text).unwrap_or(column)
        }
        (Value::Text(text), Value::Int(_) | Value::Float(_) | Value::BigNumber(_)) => {
            Value::number(text.trim()).unwrap_or(column)
        }
        (Value::Text(text), Value::Bool(_)) => match &**text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => column,
        },
        (Value::Int(_) | Value::Float(_), Value::Text(_)) => Value::from(column.to_json()),
        _ => column,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(json: serde_json::Value) -> Record {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn differences() {
        let plain = json!({"key": ["k"]});
        let chosen = json!({"key": ["k"], "compare": ["p"]});
        let tolerant = json!({"key": ["k"], "tolerance": {"p": 0.001}});
        let none = json!([]);
        let cases = [
            (&plain, json!({"k": 1, "p": 1}), json!({"k": 1, "p": 1.0}), none.clone()),
            (&plain, json!({"k": 1, "p": 1}), json!({"k": 1, "p": "1"}), json!(["p"])),
            (&plain, json!({"k": 1, "p": 1}), json!({"k": 1}), json!(["p"])),
            (&plain, json!({"k": 1, "p": null}), json!({"k": 1}), none.clone()),
            (&plain, json!({"k": 1}), json!({"k": 1, "p": null}), none.clone()),
            (&plain, json!({"a": 1, "b": 2}), json!({"b": 3, "a": 4}), json!(["b", "a"])),
            (&plain, json!({"n": {"x": 1, "y": 2}}), json!({"n": {"y": 2, "x": 1}}), none.clone()),
            (&chosen, json!({"p": 1, "q": 1}), json!({"p": 1, "q": 2}), none.clone()),
            (&chosen, json!({"p": 1}), json!({"p": 2}), json!(["p"])),
            (&tolerant, json!({"p": 0.3}), json!({"p": 0.301}), none.clone()),
            (&tolerant, json!({"p": 0.3}), json!({"p": 0.30101}), json!(["p"])),
            (&tolerant, json!({"p": 1}), json!({"p": null}), json!(["p"])),
        ];
        for (kwargs, old, new, changed) in cases {
            let kwargs: DiffParserKwargs = serde_json::from_value(kwargs.clone()).unwrap();
            let found = compare(&kwargs, &record(old.clone()), &record(new.clone()), false);
            assert_eq!(json!(found.changed), changed, "{old} {new}");
        }
    }

    #[test]
    fn a_move_within_the_tolerance_keeps_the_old_value() {
        let kwargs = serde_json::from_value(json!({"key": ["k"], "tolerance": {"p": 1}})).unwrap();
        let found =
            compare(&kwargs, &record(json!({"p": 5, "q": 1})), &record(json!({"p": 5.5, "q": 2})), false);
        assert_eq!(found.changed, ["q"]);
        assert_eq!(found.kept, [("p".to_owned(), Value::Int(5))]);
    }

    #[test]
    fn columns_become_what_fields_are() {
        let cases = [
            (json!(1), json!(true), json!(true)),
            (json!("[1]"), json!([2]), json!([1])),
            (json!("007"), json!(7), json!("007")),
            (json!("7"), json!(7), json!(7)),
            (json!(7), json!("x"), json!("7")),
            (json!("x"), json!("y"), json!("x")),
        ];
        for (column, field, expected) in cases {
            let found = alike(Value::from(column.clone()), &Value::from(field.clone()));
            assert_eq!(found, Value::from(expected), "{column} {field}");
        }
    }
}
