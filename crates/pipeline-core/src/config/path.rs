//! Where something stands in a file: `pipelines.books.chain[1].kwargs.fields.price`.

use std::fmt;

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
}
