//! A JSON Schema as tables of keys, for people.

use serde_json::Value;

/// More alternatives than this are not listed.
const ALTERNATIVES: usize = 8;

/// Types that go by a name of their own.
const NAMED: [(&str, &str); 2] = [("Duration", "duration"), ("Topic", "topic")];

/// A key of a map in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// What may stand there, in words: `text`, `list of integer`, `raw | jsonl`.
    pub kind: String,
    /// Whether it must be there.
    pub required: bool,
    /// What holds where it is absent, where the schema says so: as it would be written in the file.
    pub default: Option<String>,
    /// What it means, in one line of Markdown.
    pub meaning: String,
}

/// The keys of one map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Where the map stands within the outermost one: `tables.*`, `auth.basic`; empty for that itself.
    pub path: String,
    /// What the map is, where the schema says so.
    pub about: Option<String>,
    /// Its keys, in the order of the schema.
    pub keys: Vec<Key>,
}

/// The keys of the map that a schema describes, and then those of the maps within it, each map once.
///
/// `root` is the document in which `$ref` are looked up.
pub fn keys(root: &Value, schema: &Value) -> Vec<Keys> {
    let reader = Reader { root };
    let (mut waiting, mut known, mut found) = (Vec::new(), Vec::new(), Vec::new());
    reader.maps(schema, String::new(), &mut waiting);
    while !waiting.is_empty() {
        let (path, map) = waiting.remove(0);
        if known.contains(&map) {
            continue;
        }
        known.push(map);
        for (name, property) in properties(map) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            reader.maps(property, path, &mut waiting);
        }
        let about = map.get("description").and_then(Value::as_str).map(line);
        let keys = properties(map).map(|(name, property)| reader.key(map, name, property)).collect();
        found.push(Keys { path, about, keys });
    }
    found
}

fn properties(map: &Value) -> impl Iterator<Item = (&String, &Value)> {
    map.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn alternatives(schema: &Value) -> Option<&Vec<Value>> {
    ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(*key)?.as_array())
}

/// A text in which a variable stands for something else; it may stand everywhere and is not worth a word.
fn is_variable(schema: &Value) -> bool {
    schema.get("pattern").and_then(Value::as_str).is_some_and(|pattern| pattern.starts_with(r"\$\{"))
}

fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

struct Reader<'a> {
    root: &'a Value,
}

impl<'a> Reader<'a> {
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let pointer = schema.get("$ref").and_then(Value::as_str).and_then(|at| at.strip_prefix('#'));
        pointer.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }

    /// The maps with known keys in a schema, with their paths.
    fn maps(&self, schema: &'a Value, path: String, found: &mut Vec<(String, &'a Value)>) {
        let schema = self.resolve(schema);
        if schema.get("properties").is_some() {
            return found.push((path, schema));
        }
        for alternative in alternatives(schema).into_iter().flatten() {
            self.maps(alternative, path.clone(), found);
        }
        for (key, step) in [("items", "[]"), ("additionalProperties", ".*")] {
            if let Some(inner) = schema.get(key) {
                self.maps(inner, format!("{path}{step}"), found);
            }
        }
    }

    fn key(&self, map: &Value, name: &str, property: &'a Value) -> Key {
        let required = map.get("required").and_then(Value::as_array);
        let empty = |value: &Value| {
            let nothing = [Value::Null, Value::Array(Vec::new()), Value::String(String::new())];
            nothing.contains(value) || value.as_object().is_some_and(serde_json::Map::is_empty)
        };
        Key {
            name: name.to_owned(),
            kind: self.kind(property, 0),
            required: required.is_some_and(|names| names.iter().any(|required| required == name)),
            default: self.default(property).filter(|value| !empty(value)).map(plain),
            meaning: self.meaning(property),
        }
    }

    /// The default of a schema, else of its target, else of the one alternative that has one.
    fn default(&self, schema: &'a Value) -> Option<&'a Value> {
        let target = self.resolve(schema);
        let own = schema.get("default").or_else(|| target.get("default"));
        own.or_else(|| alternatives(target)?.iter().find_map(|alternative| self.default(alternative)))
    }

    fn meaning(&self, property: &'a Value) -> String {
        let target = self.resolve(property);
        let own = property.get("description");
        let inherited = || target.get("description").filter(|_| self.name(property).is_none());
        let mut text = own.or_else(inherited).and_then(Value::as_str).map(line).unwrap_or_default();
        if !text.is_empty() && !text.ends_with('.') {
            text.push('.');
        }
        if let Some(words) = self.words(property).filter(|words| words.len() <= ALTERNATIVES) {
            for (word, description) in words.iter().filter_map(|(word, d)| Some((word, d.as_ref()?))) {
                text = format!("{text} `{word}`: {description}");
            }
        }
        if property.get("x-secret") == Some(&Value::Bool(true)) {
            text.push_str(" Secret: it is never shown.");
        }
        if property.get("x-secret").is_some_and(|kind| kind == "by-name") {
            text.push_str(" Those whose names say that they are secret are never shown.");
        }
        text.trim().to_owned()
    }

    /// The words of which one may stand here, with what they mean, where nothing else may.
    fn words(&self, schema: &'a Value) -> Option<Vec<(String, Option<String>)>> {
        let schema = self.resolve(schema);
        let own = schema.get("description").and_then(Value::as_str).map(line);
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return Some(values.iter().map(|value| (plain(value), None)).collect());
        }
        if let Some(value) = schema.get("const") {
            return Some(vec![(plain(value), own)]);
        }
        let mut found = Vec::new();
        for alternative in alternatives(schema)? {
            let nothing =
                alternative.get("type").is_some_and(|kind| kind == "null") || is_variable(alternative);
            if !nothing {
                let description = alternative.get("description").and_then(Value::as_str).map(line);
                let words = self.words(alternative)?.into_iter();
                found.extend(words.map(|(word, inner)| (word, description.clone().or(inner))));
            }
        }
        Some(found).filter(|words| !words.is_empty())
    }

    fn name(&self, schema: &Value) -> Option<&'static str> {
        let target = schema.get("$ref").and_then(Value::as_str)?.rsplit('/').next()?;
        NAMED.iter().find(|(name, _)| *name == target).map(|(_, word)| *word)
    }

    /// What may stand here, in words.
    fn kind(&self, schema: &'a Value, depth: usize) -> String {
        if let Some(name) = self.name(schema) {
            return name.to_owned();
        }
        let schema = self.resolve(schema);
        if let Some(words) = self.words(schema).filter(|words| words.len() <= ALTERNATIVES) {
            return words.into_iter().map(|(word, _)| word).collect::<Vec<_>>().join(" | ");
        }
        if depth > 4 {
            return "any".to_owned();
        }
        if let Some(kinds) = alternatives(schema).filter(|_| schema.get("type").is_none()) {
            let kinds = kinds.iter().filter(|kind| !is_variable(kind)).map(|kind| self.kind(kind, depth + 1));
            return joined(kinds.filter(|kind| kind != "null"));
        }
        let inner = |key: &str, one: &str, of: &str| {
            let inner = schema.get(key).filter(|inner| inner.is_object());
            inner.map_or(one.to_owned(), |inner| match self.kind(inner, depth + 1) {
                many if many.contains(" or ") || many.contains('|') => format!("{of} ({many})"),
                any if any == "any" => one.to_owned(),
                single => format!("{of} {single}"),
            })
        };
        let name = |kind: &str| match kind {
            "string" => "text".to_owned(),
            "array" => inner("items", "list", "list of"),
            "object" => inner("additionalProperties", "map", "map of"),
            kind => kind.to_owned(),
        };
        match schema.get("type") {
            Some(Value::String(kind)) => name(kind),
            Some(Value::Array(kinds)) => {
                let kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
                joined(kinds.map(name))
            }
            _ if schema.get("properties").is_some() => "map".to_owned(),
            _ => "any".to_owned(),
        }
    }
}

fn joined(kinds: impl Iterator<Item = String>) -> String {
    let mut different: Vec<String> = Vec::new();
    kinds.for_each(|kind| {
        if !different.contains(&kind) {
            different.push(kind)
        }
    });
    different.join(" or ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_named_in_words() {
        let root = json!({"$defs": {
            "Format": {"oneOf": [{"const": "raw", "description": "As it is."}, {"const": "jsonl"}]},
            "Duration": {"type": ["string", "number"]},
            "Table": {"type": "object", "properties": {"key": {"type": "string"}}},
        }});
        let cases = [
            (json!({"type": "string"}), "text"),
            (json!({"type": ["integer", "null"]}), "integer"),
            (json!({"type": "array", "items": {"type": "string"}}), "list of text"),
            (
                json!({"type": "array", "items": {"type": ["string", "null", "number"]}}),
                "list of (text or number)",
            ),
            (json!({"type": "object", "additionalProperties": {"$ref": "#/$defs/Table"}}), "map of map"),
            (json!({"$ref": "#/$defs/Format"}), "raw | jsonl"),
            (json!({"anyOf": [{"$ref": "#/$defs/Duration"}, {"type": "null"}]}), "duration"),
            (json!({"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": r"\$\{.+\}"}]}), "boolean"),
            (json!({"enum": ["a", 1]}), "a | 1"),
            (json!({"oneOf": [{"type": "string"}, {"$ref": "#/$defs/Table"}]}), "text or map"),
            (json!({}), "any"),
            (json!(true), "any"),
        ];
        for (schema, expected) in &cases {
            assert_eq!(Reader { root: &root }.kind(schema, 0), *expected, "{schema}");
        }
    }

    #[test]
    fn maps_within_maps_come_after_them_once() {
        let schema = json!({
            "properties": {
                "url": {"type": "string", "description": "The page,\nor the first."},
                "format": {"$ref": "#/$defs/Format"},
                "auth": {"$ref": "#/$defs/Auth", "description": "Who asks."},
                "proxy_auth": {"$ref": "#/$defs/Auth"},
                "tables": {"additionalProperties": {"anyOf": [{"$ref": "#/$defs/Table"}, {"type": "null"}]}},
            },
            "required": ["url"],
            "$defs": {
                "Auth": {"properties": {"token": {"type": "string", "x-secret": true}}, "description": "One of two."},
                "Format": {"oneOf": [{"const": "raw", "description": "As it is."}], "default": "raw"},
                "Table": {"properties": {"max": {"type": "integer", "default": 3}}},
            },
        });
        let found = keys(&schema, &schema);
        let paths: Vec<&str> = found.iter().map(|keys| keys.path.as_str()).collect();
        assert_eq!(paths, ["", "auth", "tables.*"]);
        let row = |keys: &Keys, at: usize| {
            let Key { name, kind, required, default, meaning } = keys.keys[at].clone();
            (name, kind, required, default.unwrap_or_default(), meaning)
        };
        let expected = |name: &str, kind: &str, required: bool, default: &str, meaning: &str| {
            (name.to_owned(), kind.to_owned(), required, default.to_owned(), meaning.to_owned())
        };
        assert_eq!(row(&found[0], 0), expected("url", "text", true, "", "The page, or the first."));
        assert_eq!(row(&found[0], 1), expected("format", "raw", false, "raw", "`raw`: As it is."));
        assert_eq!(row(&found[1], 0), expected("token", "text", false, "", "Secret: it is never shown."));
        assert_eq!(row(&found[2], 0), expected("max", "integer", false, "3", ""));
        assert_eq!(found[1].about.as_deref(), Some("One of two."));
    }
}
