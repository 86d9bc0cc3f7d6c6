//! The texts of programs: short ones are part of what holds them, long ones are shared and counted.

use std::sync::Arc;

use compact_str::CompactString;

use super::meter;

/// Texts from this length on are shared and counted one by one; shorter ones are part of what holds them.
const LARGE: usize = 4096;

/// A text.
#[derive(Debug, Clone)]
pub(super) enum Text {
    Small(CompactString),
    Large(Arc<LargeText>),
}

/// A text that is counted.
#[derive(Debug)]
pub(super) struct LargeText {
    text: String,
    counted: usize,
}

impl Drop for LargeText {
    fn drop(&mut self) {
        meter::give_back(self.counted);
    }
}

impl Text {
    pub(super) fn new(text: &str) -> Self {
        if text.len() < LARGE {
            return Self::Small(text.into());
        }
        if !meter::take(text.len()) {
            return Self::Small(CompactString::default());
        }
        Self::Large(Arc::new(LargeText { text: text.to_owned(), counted: text.len() }))
    }

    pub(super) fn from_string(text: String) -> Self {
        if text.len() < LARGE {
            return Self::Small(text.into());
        }
        if !meter::take(text.capacity()) {
            return Self::Small(CompactString::default());
        }
        let counted = text.capacity();
        Self::Large(Arc::new(LargeText { text, counted }))
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Small(text) => text,
            Self::Large(large) => &large.text,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.as_str().len()
    }

    /// This text with another after it.
    pub(super) fn join(self, other: &Self) -> Self {
        let length = self.len() + other.len();
        match self {
            Self::Small(mut text) if length < LARGE => {
                text.push_str(other.as_str());
                Self::Small(text)
            }
            Self::Large(mut large) => match Arc::get_mut(&mut large) {
                Some(unique) => {
                    unique.push(other.as_str());
                    Self::Large(large)
                }
                None => Self::concat(&[&large.text, other.as_str()]),
            },
            Self::Small(text) => Self::concat(&[&text, other.as_str()]),
        }
    }

    /// All these texts as one; empty where the program is refused.
    pub(super) fn concat(parts: &[&str]) -> Self {
        let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        if meter::has_room(length as u64) { Self::from_string(parts.concat()) } else { Self::new("") }
    }

    /// The text so many times; empty where the program is refused.
    pub(super) fn repeat(&self, times: usize) -> Self {
        let length = (self.len() as u64).saturating_mul(times as u64);
        if meter::has_room(length) { Self::from_string(self.as_str().repeat(times)) } else { Self::new("") }
    }
}

impl LargeText {
    fn push(&mut self, more: &str) {
        let length = self.text.len() + more.len();
        if length > self.text.capacity() {
            let capacity = length.max(self.text.capacity() * 2);
            let added = capacity - self.text.capacity();
            if !meter::take(added) {
                return;
            }
            self.counted += added;
            self.text.reserve_exact(capacity - self.text.len());
        }
        self.text.push_str(more);
    }
}
