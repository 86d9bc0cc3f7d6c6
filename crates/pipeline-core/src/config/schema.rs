//! The JSON Schema of the whole file, with the `kwargs` of every class, for editors.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::policy::{LimitGroup, Overlap, RetryPolicy};
use crate::chain::OnError;
use crate::duration::HumanDuration;
use crate::registry::{Entry, Registry};

/// The JSON Schema (draft 2020-12) of a file with these classes; `schedule` is that of a schedule block.
///
/// Where a number, a boolean or one of some words is wanted, a text with a variable (`${NAME}`) is valid too.
pub fn schema(registry: &Registry, schedule: &Schema) -> Value {
    let mut generator = SchemaGenerator::default();
    let stage = stage(registry, &mut generator);
    let policies = policies(&mut generator);
    let schedule = serde_json::to_value(schedule).unwrap_or(Value::Bool(true));
    let mut defaults = policies.clone();
    for key in super::inherit::SCHEDULE_KEYS {
        let inherited = schedule.pointer(&format!("/properties/{key}")).cloned().unwrap_or(Value::Bool(true));
        defaults.insert(key.to_owned(), inherited);
    }
    let mut pipeline = own_keys();
    pipeline.extend(policies);
    let mut definitions = generator.take_definitions(true);
    definitions.insert("stage".to_owned(), stage);
    definitions.insert("schedule".to_owned(), schedule);
    definitions.insert(
        "pipeline".to_owned(),
        json!({
            "type": "object",
            "description": "A chain of stages, and when and how it runs.",
            "properties": pipeline,
            "required": ["chain"],
            "additionalProperties": false,
        }),
    );
    let pipeline = json!({"$ref": "#/$defs/pipeline"});
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pipelines.yml",
        "type": "object",
        "properties": {
            "pipelines": {
                "description": "The pipelines by name, or a list of pipelines that have a `name`.",
                "anyOf": [
                    {"type": "object", "additionalProperties": pipeline, "minProperties": 1},
                    {"type": "array", "items": {"allOf": [pipeline], "required": ["name"]}, "minItems": 1},
                ],
            },
            "defaults": {
                "description": "What every pipeline has unless it says otherwise.",
                "type": ["object", "null"],
                "properties": defaults,
                "additionalProperties": false,
            },
            "extra": {"description": "Kept for other programs, and ignored."},
        },
        "patternProperties": {"^x-": {"description": "Free, for anchors."}},
        "required": ["pipelines"],
        "additionalProperties": false,
        "$defs": definitions,
    });
    allow_variables(&mut root);
    root
}

fn own_keys() -> Map<String, Value> {
    let keys = json!({
        "name": {"type": "string", "description": "The name, where pipelines are a list.", "minLength": 1, "maxLength": 100},
        "description": {"type": ["string", "null"], "description": "What it is for."},
        "enabled": {"type": ["boolean", "null"], "description": "Whether it runs at all.", "default": true},
        "schedule": {"description": "When it runs.", "anyOf": [{"$ref": "#/$defs/schedule"}, {"type": "null"}]},
        "after": {
            "description": "Instead of a schedule: runs when all of these have succeeded.",
            "type": ["array", "null"],
            "items": {"type": "string"},
        },
        "chain": {"description": "The stages.", "type": "array", "items": {"$ref": "#/$defs/stage"}, "minItems": 1},
        "extra": {"description": "Kept for other programs, and ignored."},
        "discord_commands": {"description": "Accepted, and without effect."},
    });
    match keys {
        Value::Object(keys) => keys,
        _ => Map::new(),
    }
}

fn policies(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let duration = generator.subschema_for::<HumanDuration>();
    let address = json!({"type": ["string", "null"], "description": "A web address; an empty one is none."});
    let mut policies = Map::new();
    let mut put = |key: &str, description: &str, schema: Value| {
        policies
            .insert(key.to_owned(), json!({"description": description, "anyOf": [schema, {"type": "null"}]}));
    };
    put(
        "overlap",
        "What becomes of a fire while a run is queued or running.",
        generator.subschema_for::<Overlap>().to_value(),
    );
    put(
        "max_instances",
        "Runs at a time under `overlap: allow` (3).",
        json!({"type": "integer", "minimum": 1, "maximum": u32::MAX}),
    );
    put(
        "retry",
        "When and how often a failed run is tried again.",
        generator.subschema_for::<RetryPolicy>().to_value(),
    );
    put(
        "timeout",
        "How long an attempt may take (24h under the scheduler, none in a one-shot run); `none` is allowed.",
        duration.to_value(),
    );
    put(
        "limit_group",
        "At most so many runs at a time over all pipelines that name the group.",
        generator.subschema_for::<LimitGroup>().to_value(),
    );
    put(
        "on_failure",
        "Who is told of a failure.",
        json!({
            "type": "object",
            "properties": {
                "discord_channel_id": {"type": ["integer", "string", "null"], "description": "A Discord channel."},
                "webhook_url": address,
            },
            "additionalProperties": false,
        }),
    );
    put("heartbeat_url", "Asked after each success, and with `/fail` behind it after a failure.", address);
    policies
}

/// A stage: the `class` decides what `kwargs` may hold.
fn stage(registry: &Registry, generator: &mut SchemaGenerator) -> Value {
    let mut classes = Vec::new();
    let mut cases = Vec::new();
    for entry in registry.entries() {
        let names: Vec<&str> = std::iter::once(entry.class).chain(entry.aliases.iter().copied()).collect();
        for name in &names {
            classes.push(json!({"const": name, "description": entry.summary}));
        }
        cases.push(json!({
            "if": {"properties": {"class": {"enum": names}}, "required": ["class"]},
            "then": kwargs(entry, generator),
        }));
    }
    json!({
        "type": "object",
        "properties": {
            "class": {"description": "What the stage does.", "type": "string", "anyOf": classes},
            "kwargs": {"description": "How it does it; depends on the class.", "type": ["object", "null"]},
            "on_error": {
                "description": "What becomes of an item that fails.",
                "anyOf": [generator.subschema_for::<OnError>(), {"type": "null"}],
            },
        },
        "required": ["class"],
        "additionalProperties": false,
        "allOf": cases,
    })
}

fn kwargs(entry: &Entry, generator: &mut SchemaGenerator) -> Value {
    let schema = (entry.subschema)(generator);
    let required =
        (entry.schema)().get("required").and_then(Value::as_array).is_some_and(|keys| !keys.is_empty());
    if required {
        json!({"properties": {"kwargs": schema}, "required": ["kwargs"]})
    } else {
        json!({"properties": {"kwargs": {"anyOf": [schema, {"type": "null"}]}}})
    }
}

/// Lets a text with a variable stand wherever a number, a boolean or one of some words is wanted.
fn allow_variables(schema: &mut Value) {
    let Value::Object(map) = schema else {
        if let Value::Array(schemas) = schema {
            schemas.iter_mut().for_each(allow_variables);
        }
        return;
    };
    // With variables allowed in each of them, several alternatives may fit.
    if let Some(alternatives) = map.remove("oneOf") {
        map.insert("anyOf".to_owned(), alternatives);
    }
    for (key, inner) in map.iter_mut() {
        match key.as_str() {
            // What decides which class a stage has stays exact.
            "if" => {}
            "properties" | "$defs" | "patternProperties" => {
                if let Value::Object(schemas) = inner {
                    schemas
                        .iter_mut()
                        .filter(|(key, _)| *key != "class")
                        .for_each(|(_, schema)| allow_variables(schema));
                }
            }
            "items" | "additionalProperties" | "anyOf" | "oneOf" | "allOf" | "then" | "prefixItems" => {
                allow_variables(inner);
            }
            _ => {}
        }
    }
    const ANNOTATIONS: [&str; 5] = ["description", "default", "title", "examples", "x-secret"];
    if !is_narrow(map) {
        return;
    }
    let exact: Map<String, Value> = map
        .iter()
        .filter(|(key, _)| !ANNOTATIONS.contains(&key.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    map.retain(|key, _| ANNOTATIONS.contains(&key.as_str()));
    map.insert("anyOf".to_owned(), json!([exact, {"type": "string", "pattern": r"\$\{.+\}"}]));
}

/// Whether only numbers, booleans or given words are valid.
fn is_narrow(schema: &Map<String, Value>) -> bool {
    let narrow = |name: &Value| matches!(name.as_str(), Some("integer" | "number" | "boolean"));
    let by_type = match schema.get("type") {
        Some(Value::Array(names)) => names.iter().any(narrow) && !names.contains(&json!("string")),
        Some(name) => narrow(name),
        None => false,
    };
    by_type || schema.contains_key("enum") || schema.contains_key("const")
}
