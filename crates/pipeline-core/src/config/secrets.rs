//! Finds the secrets under `kwargs`: what a schema marks, what headers of authority hold, passwords in URLs.

use serde_json::Value;

use super::node::{Entry, Kind, Node, Position};
use super::path::KeyPath;
use crate::redact::Redactor;

/// Headers that are secret whatever a schema says.
const HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

/// A secret that stands in the file itself.
pub(super) struct PlainSecret {
    pub(super) path: KeyPath,
    pub(super) at: Position,
}

/// Marks the secrets of a stage, hands them to the redactor, and returns those in plain text.
pub(super) fn find(kwargs: &mut Node, schema: &Value, redactor: &Redactor) -> Vec<PlainSecret> {
    let mut search = Search { root: schema, redactor, plain: Vec::new() };
    search.node(kwargs, &KeyPath::root(), &[schema], false);
    search.plain
}

struct Search<'a> {
    root: &'a Value,
    redactor: &'a Redactor,
    plain: Vec<PlainSecret>,
}

impl<'a> Search<'a> {
    fn node(&mut self, node: &mut Node, path: &KeyPath, schemas: &[&'a Value], secret: bool) {
        let mut all = Vec::new();
        for schema in schemas {
            self.alternatives(schema, &mut all, 0);
        }
        let secret = secret || all.iter().any(|schema| schema.get("x-secret") == Some(&Value::Bool(true)));
        match &mut node.kind {
            Kind::List(elements) => {
                let inner: Vec<&Value> = all.iter().filter_map(|schema| schema.get("items")).collect();
                for (index, element) in elements.iter_mut().enumerate() {
                    self.node(element, &path.index(index), &inner, secret);
                }
            }
            Kind::Map(entries) => {
                let by_name =
                    all.iter().any(|schema| schema.get("x-secret").is_some_and(|kind| kind == "by-name"));
                for entry in entries {
                    let inner = properties(&all, &entry.key);
                    let named = by_name && Redactor::is_secret_name(&entry.key);
                    let secret = secret || named || is_secret_header(entry);
                    self.node(&mut entry.value, &path.key(&entry.key), &inner, secret);
                }
            }
            _ => self.scalar(node, path, secret),
        }
    }

    fn scalar(&mut self, node: &mut Node, path: &KeyPath, secret: bool) {
        match &mut node.kind {
            Kind::Text(text) if secret => {
                if text.value.is_empty() {
                    return;
                }
                if !text.substituted {
                    self.plain.push(PlainSecret { path: path.clone(), at: node.at });
                }
                text.secret = true;
                self.redactor.add(&text.value);
                // `Bearer abc`, `Basic abc`: what follows the scheme is the secret by itself.
                if let Some((_, credentials)) = text.value.split_once(' ') {
                    self.redactor.add(credentials);
                }
            }
            Kind::Int(number) if secret => {
                self.redactor.add(&number.to_string());
                self.plain.push(PlainSecret { path: path.clone(), at: node.at });
            }
            Kind::Text(text) => {
                if let Some(password) = url_password(&text.value) {
                    self.redactor.add(password);
                    if !text.substituted {
                        self.plain.push(PlainSecret { path: path.clone(), at: node.at });
                    }
                }
            }
            _ => {}
        }
    }

    /// A schema with all that it refers to or offers as an alternative.
    fn alternatives(&self, schema: &'a Value, all: &mut Vec<&'a Value>, depth: usize) {
        if depth > 16 {
            return;
        }
        all.push(schema);
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str)
            && let Some(target) = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer))
        {
            self.alternatives(target, all, depth + 1);
        }
        for key in ["anyOf", "oneOf", "allOf"] {
            for schema in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
                self.alternatives(schema, all, depth + 1);
            }
        }
    }
}

fn properties<'a>(schemas: &[&'a Value], key: &str) -> Vec<&'a Value> {
    let of = |schema: &&'a Value| {
        schema
            .get("properties")
            .and_then(|properties| properties.get(key))
            .or_else(|| schema.get("additionalProperties"))
    };
    schemas.iter().filter_map(of).collect()
}

fn is_secret_header(entry: &Entry) -> bool {
    HEADERS.iter().any(|header| entry.key.eq_ignore_ascii_case(header))
}

/// The password of `scheme://user:password@host`.
fn url_password(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password).filter(|password| !password.is_empty())
}
