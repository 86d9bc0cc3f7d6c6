//! Where something stands in a file: `pipelines.books.chain[1].kwargs.fields.price`.

use std::fmt;

use super::node::{Kind, Node};

/// A path of keys and indexes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct KeyPath(String);

impl KeyPath {
    /// The path of the whole.
    pub(crate) fn root() -> Self {
        Self::default()
    }

    /// One key further. A key that is not a plain word is quoted, so that `tables["shop.book"]` is one step.
    #[must_use]
    pub(crate) fn key(&self, key: &str) -> Self {
        let mut path = self.0.clone();
        if is_word(key) {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(key);
        } else {
            path.push_str(&format!("[{key:?}]"));
        }
        Self(path)
    }

    /// One element further, counted from 0.
    #[must_use]
    pub(crate) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// This path with a relative one behind it.
    #[must_use]
    pub(crate) fn join(&self, relative: &str) -> Self {
        let separator = match (self.0.is_empty(), relative.is_empty(), relative.starts_with('[')) {
            (true, _, _) | (_, true, _) | (_, _, true) => "",
            _ => ".",
        };
        Self(format!("{}{separator}{relative}", self.0))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

fn is_word(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The node at a relative path, or the last one on the way to it.
///
/// A stage may write `tables.shop.book.key` as well as `tables["shop.book"].key`: the longest key that fits is
/// taken.
pub(crate) fn walk<'a>(mut node: &'a Node, mut path: &str) -> &'a Node {
    loop {
        path = path.strip_prefix('.').unwrap_or(path);
        let step = match &node.kind {
            Kind::Map(entries) => entries
                .iter()
                .filter_map(|entry| Some((entry.key.len(), after_key(path, &entry.key)?, &entry.value)))
                .max_by_key(|(length, ..)| *length)
                .map(|(_, rest, value)| (rest, value)),
            Kind::List(elements) => {
                after_index(path).and_then(|(index, rest)| Some((rest, elements.get(index)?)))
            }
            _ => None,
        };
        match step {
            Some((rest, next)) => (path, node) = (rest, next),
            None => return node,
        }
    }
}

/// What follows a key at the beginning of a path.
fn after_key<'a>(path: &'a str, key: &str) -> Option<&'a str> {
    if let Some(rest) = path.strip_prefix(&format!("[{key:?}]")) {
        return Some(rest);
    }
    if key.is_empty() {
        return None;
    }
    let rest = path.strip_prefix(key)?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

/// An index at the beginning of a path, `[2]` or `2`, and what follows it.
fn after_index(path: &str) -> Option<(usize, &str)> {
    let inner = path.strip_prefix('[').unwrap_or(path);
    let digits = inner.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &inner[digits..];
    Some((inner[..digits].parse().ok()?, rest.strip_prefix(']').unwrap_or(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_they_are_walked() {
        let chain = KeyPath::root().key("pipelines").key("books").key("chain").index(1);
        assert_eq!(chain.as_str(), "pipelines.books.chain[1]");
        assert_eq!(
            chain.key("kwargs").key("shop.book").key("key").as_str(),
            r#"pipelines.books.chain[1].kwargs["shop.book"].key"#
        );
        assert_eq!(chain.join("kwargs.url").as_str(), "pipelines.books.chain[1].kwargs.url");
        assert_eq!(chain.join("[2]").as_str(), "pipelines.books.chain[1][2]");
        assert_eq!(chain.join("").as_str(), "pipelines.books.chain[1]");
        assert_eq!(KeyPath::root().join("url").as_str(), "url");
    }

    #[test]
    fn values_are_found_by_their_paths() {
        let node = Node::from_json(&serde_json::json!({
            "tables": {"shop": {"book": "short"}, "shop.book": {"key": ["title", "page"]}},
            "urls": ["a", "b"],
        }));
        let cases = [
            ("urls[1]", "b"),
            ("urls.1", "b"),
            (r#"tables["shop.book"].key[0]"#, "title"),
            ("tables.shop.book.key[1]", "page"),
            ("tables.shop.book.key[1].further", "page"),
        ];
        for (path, expected) in cases {
            assert_eq!(walk(&node, path).as_text(), Some(expected), "{path}");
        }
        assert_eq!(walk(&node, ""), &node);
        assert_eq!(walk(&node, "nothing.here"), &node);
        assert_eq!(walk(&node, "urls[7]").elements().len(), 2);
    }
}
