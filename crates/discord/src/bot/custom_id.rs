//! The state of buttons, kept in their ids, so that a button works after a restart too. An id has at most 100 characters.

use std::fmt;

use crate::fingerprint::of as fingerprint;
use crate::text::length;

/// The longest id of a button, and the longest value of a choice.
pub(crate) const MAX: usize = 100;

/// What a button does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Button {
    /// Shows a page of a list to whoever asked for the list.
    Page { list: List, page: usize, owner: u64 },
    /// Removes a job.
    Remove { job: Reference, owner: u64, expires: i64 },
    /// Keeps the job after all.
    Keep { owner: u64 },
    /// Cancels a run.
    Cancel { run: Reference },
}

/// A list that has pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum List {
    Jobs,
    Pipelines,
    /// Of one pipeline, or of all.
    History(Option<Reference>),
}

/// A name, or, where it is too long, its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    Name(String),
    Fingerprint(u64),
}

impl Reference {
    /// A reference of at most `room` characters (and never fewer than a fingerprint needs).
    pub(crate) fn new(name: &str, room: usize) -> Self {
        let plain = !name.starts_with('#') && length(name) <= room;
        if plain { Self::Name(name.to_owned()) } else { Self::Fingerprint(fingerprint(name)) }
    }

    /// Reads what a user or a button sent.
    pub(crate) fn parse(text: &str) -> Self {
        match text.strip_prefix('#').filter(|hex| hex.len() == 16).map(|hex| u64::from_str_radix(hex, 16)) {
            Some(Ok(fingerprint)) => Self::Fingerprint(fingerprint),
            _ => Self::Name(text.to_owned()),
        }
    }

    /// The name among these that it means; a plain name means itself, whether it is among them or not.
    pub(crate) fn resolve<'a>(&'a self, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Fingerprint(wanted) => names.into_iter().find(|name| fingerprint(name) == *wanted),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Fingerprint(fingerprint) => write!(f, "#{fingerprint:016x}"),
        }
    }
}

impl Button {
    /// Reads an id; `None` where it is of no button of ours.
    pub(crate) fn parse(id: &str) -> Option<Self> {
        let (kind, rest) = id.split_once(':')?;
        match kind {
            "page" => {
                let mut parts = rest.splitn(4, ':');
                let (list, page, owner) =
                    (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
                let list = match (list, parts.next()) {
                    ("jobs", None) => List::Jobs,
                    ("pipelines", None) => List::Pipelines,
                    ("history", pipeline) => List::History(pipeline.map(Reference::parse)),
                    _ => return None,
                };
                Some(Self::Page { list, page, owner })
            }
            "remove" => {
                let mut parts = rest.splitn(3, ':');
                let (owner, expires) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
                Some(Self::Remove { job: Reference::parse(parts.next()?), owner, expires })
            }
            "keep" => Some(Self::Keep { owner: rest.parse().ok()? }),
            "cancel" => Some(Self::Cancel { run: Reference::parse(rest) }),
            _ => None,
        }
    }

    /// Whose button it is, where it is not everybody's.
    pub(crate) fn owner(&self) -> Option<u64> {
        match self {
            Self::Page { owner, .. } | Self::Remove { owner, .. } | Self::Keep { owner } => Some(*owner),
            Self::Cancel { .. } => None,
        }
    }
}

/// Room for a name beside everything else that an id holds.
pub(crate) const ROOM: usize = 40;

impl fmt::Display for Button {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page { list: List::Jobs, page, owner } => write!(f, "page:jobs:{page}:{owner}"),
            Self::Page { list: List::Pipelines, page, owner } => write!(f, "page:pipelines:{page}:{owner}"),
            Self::Page { list: List::History(None), page, owner } => write!(f, "page:history:{page}:{owner}"),
            Self::Page { list: List::History(Some(pipeline)), page, owner } => {
                write!(f, "page:history:{page}:{owner}:{pipeline}")
            }
            Self::Remove { job, owner, expires } => write!(f, "remove:{owner}:{expires}:{job}"),
            Self::Keep { owner } => write!(f, "keep:{owner}"),
            Self::Cancel { run } => write!(f, "cancel:{run}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_button_survives_its_id() {
        let long = "ä".repeat(100);
        let table = [
            Button::Page { list: List::Jobs, page: 3, owner: u64::MAX },
            Button::Page { list: List::Pipelines, page: 0, owner: 1 },
            Button::Page { list: List::History(None), page: 99_999, owner: u64::MAX },
            Button::Page { list: List::History(Some(Reference::new("a:b", ROOM))), page: 1, owner: 1 },
            Button::Page {
                list: List::History(Some(Reference::new(&long, ROOM))),
                page: usize::MAX,
                owner: u64::MAX,
            },
            Button::Remove { job: Reference::new("pipeline_x:y", ROOM), owner: u64::MAX, expires: i64::MAX },
            Button::Remove { job: Reference::new(&long, ROOM), owner: 1, expires: -1 },
            Button::Keep { owner: 5 },
            Button::Cancel { run: Reference::new("0199-ab", ROOM) },
        ];
        for button in table {
            let id = button.to_string();
            assert!(length(&id) <= MAX, "{id} is too long");
            assert_eq!(Button::parse(&id).as_ref(), Some(&button), "{id}");
        }
        for forged in
            ["", "x", "page:jobs", "page:jobs:x:1", "page:jobs:1:1:z", "remove:1:2", "keep:x", "boom:1"]
        {
            assert_eq!(Button::parse(forged), None, "{forged}");
        }
    }

    #[test]
    fn long_names_are_found_again() {
        let names = ["a".repeat(150), "b".repeat(150)];
        let text = Reference::new(&names[1], MAX).to_string();
        assert!(length(&text) <= MAX);
        let found = Reference::parse(&text);
        assert_eq!(found.resolve(names.iter().map(String::as_str)), Some(names[1].as_str()));
        assert_eq!(Reference::parse("#zz").resolve(std::iter::empty()), Some("#zz"));
        assert_eq!(Reference::parse("#0000000000000001").resolve(std::iter::empty()), None);
    }
}
