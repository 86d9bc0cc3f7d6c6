//! Every class that the programs know: its name, its documentation, its example, its schema.

use app::{Environment, Setup};
use pipeline_core::config::{AnySchedule, Loader};
use serde_json::Value;

/// The example of each class as a file of its own, in which it is the only stage.
fn examples() -> Vec<(&'static str, String)> {
    let setup = Setup::with(Environment::default());
    let indent = |example: &str| {
        example.trim_end().lines().map(|line| format!("        {line}\n")).collect::<String>()
    };
    let file = |example: &str| format!("pipelines:\n  example:\n    chain:\n      -\n{}", indent(example));
    setup.registry.entries().map(|entry| (entry.class, file(entry.example))).collect()
}

#[test]
fn every_example_is_right() {
    let setup = Setup::with(Environment::default());
    let variable = |_: &str| Some("value".to_owned());
    for (class, file) in examples() {
        let loader = Loader::new(&setup.registry).variables(&variable).schedules(&AnySchedule);
        let checked = loader.parse(class, file.as_bytes()).unwrap_or_else(|error| panic!("{file}\n{error}"));
        let stage = &checked.pipelines[0].chain[0];
        assert_eq!(setup.registry.get(&stage.class).map(|entry| entry.class), Some(class), "{file}");
    }
}

#[test]
fn every_example_is_valid_by_the_schema() {
    let setup = Setup::with(Environment::default());
    let schema = app::schema(&setup.registry);
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (class, file) in examples() {
        let value: Value = serde_yaml::from_str(&file).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|e| format!("{} at {}", e, e.instance_path())).collect();
        assert!(errors.is_empty(), "{class}\n{file}\n{errors:#?}");
    }
}

#[test]
fn every_class_is_documented() {
    let setup = Setup::with(Environment::default());
    for entry in setup.registry.entries() {
        assert!(
            entry.summary.ends_with('.') && entry.summary.len() > 20,
            "{}: {}",
            entry.class,
            entry.summary
        );
        let schema = (entry.schema)();
        let denies = schema.get("additionalProperties") == Some(&Value::Bool(false));
        assert!(denies, "{} takes unknown keys", entry.class);
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            assert!(property.get("description").is_some(), "{}: `{name}` has no documentation", entry.class);
        }
    }
}
