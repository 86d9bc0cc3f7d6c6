//! The JSON Schema says of a file what the checker says.

use serde_json::Value;

use crate::support::{read, registry, with_keys, with_kwargs};

fn validator() -> jsonschema::Validator {
    let schedule = schemars::json_schema!({
        "type": "object",
        "properties": {"cron": {"type": "string"}, "timezone": {"type": "string"}},
        "additionalProperties": false,
    });
    let schema = pipeline_core::config::schema(&registry(), &schedule);
    jsonschema::meta::validate(&schema).expect("the schema is one");
    jsonschema::validator_for(&schema).expect("the schema compiles")
}

#[test]
fn what_the_checker_takes_is_valid_and_what_it_refuses_is_not() {
    let validator = validator();
    let right = [
        with_keys("enabled: false\noverlap: queue\ntimeout: none\nretry: {max_attempts: 3, backoff: 30s}"),
        with_keys("schedule: {cron: '* * * * *'}\nlimit_group: {name: a, max: 2}\non_failure: {webhook_url: ''}"),
        with_keys("timeout: 5\nmax_instances: '${NONE:-5}'\noverlap: '${NONE:-queue}'\nenabled: '${YES}'\ndescription:"),
        with_kwargs("{url: 'http:', max_pages: 5, robots: true, format: lines, auth: {bearer: '${API_KEY}'}}"),
        with_kwargs("{url: 'http:', max_pages: '${PAGES}', fields: {a: {select: x}}, timeout: 1h}"),
        "pipelines:\n  - name: a\n    chain: [{class: print.PrintSink, kwargs: null, on_error: skip}]\n".to_owned(),
        "x-any: 1\ndefaults: {timezone: UTC, timeout: 5s}\npipelines: {a: {chain: [{class: console.ConsoleSink}]}}".to_owned(),
    ];
    let wrong = [
        with_keys("overlap: parallel"),
        with_keys("shedule: {}"),
        with_keys("schedule: {cron: 5}"),
        with_keys("max_instances: 0"),
        with_keys("enabled: 5"),
        with_kwargs("{}"),
        with_kwargs("{url: 5}"),
        with_kwargs("{url: 'http:', ulr: 5}"),
        with_kwargs("{url: 'http:', max_pages: lots}"),
        with_kwargs("{url: 'http:', fields: {a: {regex: x}}}"),
        "pipelines:\n  - chain: [{class: print.PrintSink}]\n".to_owned(),
        "pipelines: {a: {chain: [{class: http.HttpFecher}]}}".to_owned(),
        "pipelines: {a: {chain: []}}".to_owned(),
        "pipelines: {}".to_owned(),
        "{}".to_owned(),
    ];
    for text in right {
        let value: Value = serde_yaml::from_str(&text).expect("it is YAML");
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{text}\n{errors:?}");
        read(&text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    }
    for text in wrong {
        let value: Value = serde_yaml::from_str(&text).expect("it is YAML");
        assert!(!validator.is_valid(&value), "{text}");
        assert!(read(&text).is_err(), "{text}");
    }
}
