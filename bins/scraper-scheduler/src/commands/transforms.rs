//! `transforms [CLASS]`

use app::Setup;
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::output::{self, Table};

/// What to show.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The class to explain
    #[arg(value_name = "CLASS")]
    class: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, setup: &Setup) -> Result<(), Failure> {
    match &args.class {
        None => list(args.json, setup),
        Some(class) => explain(class, args.json, setup),
    }
}

fn list(json: bool, setup: &Setup) -> Result<(), Failure> {
    if json {
        let entry = |entry: &pipeline_core::Entry| serde_json::json!({ "class": entry.class, "aliases": entry.aliases, "summary": entry.summary });
        return output::json(&setup.registry.entries().map(entry).collect::<Vec<_>>());
    }
    let mut table = Table::new(&["CLASS", "WHAT IT DOES"]);
    for entry in setup.registry.entries() {
        table.row([entry.class.to_owned(), entry.summary.to_owned()]);
    }
    output::line(table.render())
}

fn explain(class: &str, json: bool, setup: &Setup) -> Result<(), Failure> {
    let Some(entry) = setup.registry.get(class) else {
        let near = setup.registry.suggest(class);
        let near = near.map(|name| format!(": did you mean '{name}'?")).unwrap_or_default();
        return Err(Failure::usage(format!("there is no class '{class}'{near}")));
    };
    let schema = Value::from((entry.schema)());
    if json {
        return output::json(&serde_json::json!({
            "class": entry.class,
            "aliases": entry.aliases,
            "summary": entry.summary,
            "example": entry.example,
            "kwargs": schema,
        }));
    }
    output::line(format!("{}: {}", entry.class, entry.summary))?;
    if !entry.aliases.is_empty() {
        output::line(format!("Also: {}", entry.aliases.join(", ")))?;
    }
    let kwargs = Kwargs { root: &schema };
    let properties = schema.get("properties").and_then(Value::as_object);
    output::line("")?;
    match properties {
        Some(properties) if !properties.is_empty() => {
            let mut table = Table::new(&["KWARG", "TYPE", "DEFAULT", "MEANING"]);
            for (name, property) in properties {
                table.row(kwargs.row(name, property));
            }
            output::line(table.render())?;
        }
        _ => output::line("It takes no kwargs.")?,
    }
    output::line(format!("\nExample:\n{}", indent(entry.example.trim_matches('\n'))))
}

/// The schema of a class's kwargs, for people.
struct Kwargs<'a> {
    root: &'a Value,
}

impl Kwargs<'_> {
    fn row(&self, name: &str, property: &Value) -> [String; 4] {
        let required = self
            .root
            .get("required")
            .and_then(Value::as_array)
            .is_some_and(|names| names.iter().any(|required| required == name));
        let default = match property.get("default") {
            _ if required => "required".to_owned(),
            None | Some(Value::Null) => "-".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        let described = property.get("description").or_else(|| self.resolve(property).get("description"));
        let meaning = described.and_then(Value::as_str).unwrap_or_default();
        [name.to_owned(), self.type_of(property, 0), default, meaning.replace('\n', " ")]
    }

    fn resolve<'v>(&'v self, schema: &'v Value) -> &'v Value {
        let pointer = schema.get("$ref").and_then(Value::as_str).and_then(|at| at.strip_prefix('#'));
        pointer.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }

    /// The type in one phrase: `string`, `list of integer`, `raw | jsonl`, `string or null`.
    fn type_of(&self, schema: &Value, depth: usize) -> String {
        let schema = self.resolve(schema);
        if depth > 3 {
            return "any".to_owned();
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return values.iter().map(plain).collect::<Vec<_>>().join(" | ");
        }
        if let Some(value) = schema.get("const") {
            return plain(value);
        }
        if let Some(kinds) = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)?.as_array()) {
            let mut kinds: Vec<String> = kinds
                .iter()
                .map(|kind| self.type_of(kind, depth + 1))
                .filter(|kind| kind != "null")
                .collect();
            kinds.dedup();
            return kinds.join(" or ");
        }
        let of = |key: &str| schema.get(key).filter(|inner| inner.is_object());
        let name = |kind: &str| match kind {
            "array" => of("items")
                .map_or("list".to_owned(), |items| format!("list of {}", self.type_of(items, depth + 1))),
            "object" => of("additionalProperties")
                .map_or("map".to_owned(), |values| format!("map of {}", self.type_of(values, depth + 1))),
            kind => kind.to_owned(),
        };
        match schema.get("type") {
            Some(Value::String(kind)) => name(kind),
            Some(Value::Array(kinds)) => {
                let kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
                kinds.map(name).collect::<Vec<_>>().join(" or ")
            }
            _ if schema.as_object().is_some_and(Map::is_empty) || schema.is_boolean() => "any".to_owned(),
            _ => "any".to_owned(),
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_named_in_words() {
        let root = json!({"$defs": {"Format": {"enum": ["raw", "jsonl"]}}});
        let kwargs = Kwargs { root: &root };
        let cases = [
            (json!({"type": "string"}), "string"),
            (json!({"type": ["integer", "null"]}), "integer"),
            (json!({"type": "array", "items": {"type": "string"}}), "list of string"),
            (json!({"type": "object", "additionalProperties": {"type": "number"}}), "map of number"),
            (json!({"$ref": "#/$defs/Format"}), "raw | jsonl"),
            (
                json!({"anyOf": [{"type": "string"}, {"type": "boolean"}, {"type": "null"}]}),
                "string or boolean",
            ),
            (json!({"oneOf": [{"const": "json"}, {"const": "table"}]}), "json or table"),
            (json!({}), "any"),
        ];
        for (schema, expected) in cases {
            assert_eq!(kwargs.type_of(&schema, 0), expected, "{schema}");
        }
    }
}
