//! Errors of a stage, and of a run.

use std::error::Error as StdError;
use std::fmt;

use crate::item::Item;

/// What went wrong in a stage: with one item, or with the stage itself.
///
/// An error of an item obeys the stage's `on_error`; a fatal one always fails the run.
/// The text is a lower-case fragment without a full stop; the chain puts pipeline and stage before it.
pub struct StageError(Box<Inner>);

struct Inner {
    fatal: bool,
    place: Option<String>,
    message: String,
    hint: Option<String>,
    item: Option<Item>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl StageError {
    fn new(fatal: bool, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            fatal,
            place: None,
            message: message.into(),
            hint: None,
            item: None,
            source: None,
        }))
    }

    /// An error of one item; the stage goes on where its `on_error` allows it.
    pub fn item(message: impl Into<String>) -> Self {
        Self::new(false, message)
    }

    /// An error of the stage, which ends the run.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::new(true, message)
    }

    /// Adds which item it was, in words that a person finds: a path, a URL, `row 3`.
    ///
    /// Places nest: the one added last stands first.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.place = Some(match self.0.place.take() {
            Some(inner) => format!("{place}: {inner}"),
            None => place.to_string(),
        });
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the error behind it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Hands over the item at fault, so that it can be dead-lettered.
    #[must_use]
    pub fn with_item(mut self, item: impl Into<Item>) -> Self {
        self.0.item = Some(item.into());
        self
    }

    /// Whether an item was handed over.
    pub fn has_item(&self) -> bool {
        self.0.item.is_some()
    }

    /// Takes the item at fault out.
    pub fn take_item(&mut self) -> Option<Item> {
        self.0.item.take()
    }

    /// Whether it always ends the run.
    pub fn is_fatal(&self) -> bool {
        self.0.fatal
    }

    /// Makes it end the run.
    #[must_use]
    pub fn into_fatal(mut self) -> Self {
        self.0.fatal = true;
        self
    }
}

impl fmt::Display for StageError {
    /// The whole chain of causes in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.0.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.0.message)?;
        let mut source = self.0.source.as_deref().map(|source| source as &dyn StdError);
        let mut last = self.0.message.clone();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Many libraries repeat the text of their cause in their own.
            if !last.contains(&text) {
                write!(f, ": {text}")?;
                last = text;
            }
            source = cause.source();
        }
        if let Some(hint) = &self.0.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.0.fatal { "fatal" } else { "item" };
        write!(f, "StageError({kind}: {self})")
    }
}

impl StdError for StageError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// Why a run failed, with the stage where there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RunError {
    /// The pipeline.
    pub pipeline: String,
    /// The stage's number from 1 and its class.
    pub stage: Option<(usize, String)>,
    /// What happened, with the item.
    pub message: String,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pipeline `{}`", self.pipeline)?;
        if let Some((number, class)) = &self.stage {
            write!(f, ", stage {number} ({class})")?;
        }
        write!(f, ": {}", self.message)
    }
}
