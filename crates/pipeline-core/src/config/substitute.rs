//! `${NAME}` and `${NAME:-default}` in texts. `$${` is a literal `${`.

use crate::redact::Redactor;

use super::node::{Kind, Node};
use super::path::KeyPath;
use super::yaml::Fault;

/// Finds a variable's value.
pub(crate) type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Defaults within defaults (`${A:-${B:-c}}`).
const MAX_DEPTH: usize = 8;

/// A text with its variables replaced.
#[derive(Debug, PartialEq, Eq)]
struct Replaced {
    text: String,
    /// Whether there was any variable.
    substituted: bool,
    /// Whether a variable among them holds a secret.
    secret: bool,
}

/// Keys of a pipeline under which nothing is replaced: they are for others.
const KEPT: [&str; 2] = ["extra", "discord_commands"];

/// Replaces the variables in all texts of a file, but for what is kept for others.
pub(crate) fn substitute_file(
    root: &mut Node,
    lookup: &Lookup<'_>,
    redactor: &Redactor,
    faults: &mut Vec<Fault>,
) {
    let path = KeyPath::root();
    let Kind::Map(entries) = &mut root.kind else { return };
    for entry in entries {
        let path = path.key(&entry.key);
        match entry.key.as_str() {
            "extra" => {}
            key if key.starts_with("x-") => {}
            "pipelines" => {
                for (path, pipeline) in children(&mut entry.value, &path) {
                    let Kind::Map(entries) = &mut pipeline.kind else { continue };
                    for entry in entries.iter_mut().filter(|entry| !KEPT.contains(&entry.key.as_str())) {
                        substitute(&mut entry.value, &path.key(&entry.key), lookup, redactor, faults);
                    }
                }
            }
            _ => substitute(&mut entry.value, &path, lookup, redactor, faults),
        }
    }
}

/// What stands in a list or a map, with its paths.
fn children<'a>(node: &'a mut Node, path: &KeyPath) -> Vec<(KeyPath, &'a mut Node)> {
    match &mut node.kind {
        Kind::List(elements) => {
            elements.iter_mut().enumerate().map(|(at, node)| (path.index(at), node)).collect()
        }
        Kind::Map(entries) => {
            entries.iter_mut().map(|entry| (path.key(&entry.key), &mut entry.value)).collect()
        }
        _ => Vec::new(),
    }
}

/// Replaces the variables in all texts below a node. Values of secret variables go to the redactor.
fn substitute(
    node: &mut Node,
    path: &KeyPath,
    lookup: &Lookup<'_>,
    redactor: &Redactor,
    faults: &mut Vec<Fault>,
) {
    match &mut node.kind {
        Kind::Text(text) if text.value.contains("${") => {
            match replace(&text.value, lookup, redactor, MAX_DEPTH) {
                Ok(replaced) => {
                    text.value = replaced.text;
                    text.substituted = replaced.substituted;
                    text.secret = replaced.secret;
                }
                Err(message) => faults.push(Fault { at: node.at, path: path.clone(), message }),
            }
        }
        Kind::List(elements) => {
            for (at, element) in elements.iter_mut().enumerate() {
                substitute(element, &path.index(at), lookup, redactor, faults);
            }
        }
        Kind::Map(entries) => {
            for entry in entries {
                substitute(&mut entry.value, &path.key(&entry.key), lookup, redactor, faults);
            }
        }
        Kind::Null | Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) | Kind::Text(_) => {}
    }
}

fn replace(text: &str, lookup: &Lookup<'_>, redactor: &Redactor, depth: usize) -> Result<Replaced, String> {
    let mut result = Replaced { text: String::with_capacity(text.len()), substituted: false, secret: false };
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            // `$${`: one dollar goes, and nothing is replaced.
            result.text.push_str(&rest[..at - 1]);
            result.text.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        result.text.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let end = closing(inner).ok_or_else(|| {
            format!("`{}` has no closing brace (write `$${{` for a literal `${{`)", excerpt(&rest[at..]))
        })?;
        let (reference, behind) = (&inner[..end], &inner[end + 1..]);
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        if !is_name(name) {
            return Err(format!(
                "`${{{}}}` names no variable: write `${{NAME}}` or `${{NAME:-default}}`, and `$${{` for a literal `${{`",
                excerpt(reference)
            ));
        }
        let secret = Redactor::is_secret_name(name);
        match (lookup(name), default) {
            (Some(value), None) => result.push(&value, secret, redactor),
            (Some(value), Some(_)) if !value.is_empty() => result.push(&value, secret, redactor),
            (_, Some(default)) => {
                if depth == 0 {
                    return Err(format!("the defaults of `${{{name}:-…}}` stand too deep within each other"));
                }
                let default = replace(default, lookup, redactor, depth - 1)?;
                result.push(&default.text, secret || default.secret, redactor);
            }
            (None, None) => {
                return Err(format!(
                    "the variable `{name}` is not set (set it, or give a default: `${{{name}:-…}}`)"
                ));
            }
        }
        rest = behind;
    }
    result.text.push_str(rest);
    Ok(result)
}

impl Replaced {
    fn push(&mut self, value: &str, secret: bool, redactor: &Redactor) {
        if secret {
            redactor.add(value);
        }
        self.text.push_str(value);
        self.substituted = true;
        self.secret |= secret;
    }
}

/// Where the brace stands that closes a reference; those of references within its default are skipped.
fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut open = 0usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                open += 1;
                at += 1;
            }
            b'}' if open == 0 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(30).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<Replaced, String> {
        let lookup = |name: &str| match name {
            "HOST" => Some("example.org".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICKY" => Some("${HOST} $${X} {{ x }}".to_owned()),
            "API_TOKEN" => Some("s3cret-value".to_owned()),
            _ => None,
        };
        replace(text, &lookup, &Redactor::new(), MAX_DEPTH)
    }

    #[test]
    fn variables_are_replaced() {
        let cases = [
            ("plain", "plain", false),
            ("$HOST is left alone", "$HOST is left alone", false),
            ("http://${HOST}/a", "http://example.org/a", true),
            ("${HOST}${HOST}", "example.orgexample.org", true),
            ("${NONE:-8080}", "8080", true),
            ("${NONE:-}", "", true),
            ("${NONE:-a:-b}", "a:-b", true),
            ("${HOST:-other}", "example.org", true),
            ("${EMPTY}", "", true),
            ("${EMPTY:-other}", "other", true),
            ("${NONE:-${HOST}}", "example.org", true),
            ("${NONE:-${NEITHER:-${HOST}}/x}", "example.org/x", true),
            ("$${HOST}", "${HOST}", false),
            ("a$${b} ${HOST}", "a${b} example.org", true),
            ("$$${HOST}", "$${HOST}", false),
            ("price: 5$", "price: 5$", false),
            // What a variable holds is taken as it is.
            ("${TRICKY}", "${HOST} $${X} {{ x }}", true),
        ];
        for (text, expected, substituted) in cases {
            let replaced = run(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((replaced.text.as_str(), replaced.substituted), (expected, substituted), "{text}");
        }
    }

    #[test]
    fn faults_say_what_to_do() {
        let cases = [
            ("${NONE}", "the variable `NONE` is not set (set it, or give a default: `${NONE:-…}`)"),
            ("a ${HOST", "`${HOST` has no closing brace (write `$${` for a literal `${`)"),
            (
                "${}",
                "`${}` names no variable: write `${NAME}` or `${NAME:-default}`, and `$${` for a literal `${`",
            ),
            (
                "${1A}",
                "`${1A}` names no variable: write `${NAME}` or `${NAME:-default}`, and `$${` for a literal `${`",
            ),
            (
                "${HOST:?x}",
                "`${HOST:?x}` names no variable: write `${NAME}` or `${NAME:-default}`, and `$${` for a literal `${`",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(run(text).expect_err(text), expected);
        }
        let deep = format!("{}x{}", "${N:-".repeat(2000), "}".repeat(2000));
        assert!(run(&deep).is_err());
    }

    #[test]
    fn secrets_are_known_by_the_names_of_their_variables() {
        let redactor = Redactor::new();
        let lookup = |_: &str| Some("hunter22".to_owned());
        assert!(replace("x${MY_PASSWORD}", &lookup, &redactor, 1).unwrap().secret);
        assert_eq!(redactor.redact("it is hunter22"), "it is [redacted]");
        assert!(!replace("${HOST}", &lookup, &redactor, 1).unwrap().secret);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in r"[a-zA-Z${}:\-_ é]{0,60}") {
            drop(run(&text));
        }

        #[test]
        fn an_escaped_text_is_itself(text in r"[a-z${}:\- é]{0,40}") {
            let plain = text.replace('$', "");
            proptest::prop_assert_eq!(run(&plain).unwrap().text, plain);
        }
    }
}
