//! What the reference documentation and editors rely on holds for every built-in class.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use pipeline_core::BuildContext;
use serde_json::Value;

fn example(yaml: &str) -> (String, Value) {
    let stage: Value = serde_yaml::from_str(yaml).unwrap();
    let fields: Vec<_> = stage.as_object().unwrap().keys().map(String::as_str).collect();
    assert!(fields == ["class", "kwargs"] || fields == ["class"], "{yaml}");
    let kwargs = stage.get("kwargs").cloned().unwrap_or_else(|| serde_json::json!({}));
    (stage["class"].as_str().unwrap().to_owned(), kwargs)
}

#[test]
fn every_example_can_be_built_and_fits_its_schema() {
    for entry in transforms::registry().entries() {
        let (class, kwargs) = example(entry.example);
        assert_eq!(class, entry.class);
        if let Err(errors) = entry.build(kwargs.clone(), &BuildContext::default()) {
            panic!("{class}: {errors}");
        }
        let schema = Value::from((entry.schema)());
        let validator = jsonschema::validator_for(&schema).unwrap();
        let faults: Vec<_> = validator.iter_errors(&kwargs).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{class}: {faults:?}");
    }
}

#[test]
fn every_key_is_described_and_unknown_ones_are_refused() {
    for entry in transforms::registry().entries() {
        let schema = Value::from((entry.schema)());
        assert!(
            entry.summary.ends_with('.') && entry.summary.len() < 130,
            "{}: {}",
            entry.class,
            entry.summary
        );
        assert_eq!(schema.get("additionalProperties"), Some(&Value::Bool(false)), "{}", entry.class);
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(property.get("description").is_some(), "{}: `{name}` has no description", entry.class);
        }
        let unknown = serde_json::json!({"no_such_key": 1});
        assert!(entry.build(unknown, &BuildContext::default()).is_err(), "{}", entry.class);
    }
}
