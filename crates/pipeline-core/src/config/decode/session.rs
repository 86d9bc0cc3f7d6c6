//! The passes over a node, and what they found.

use std::cell::RefCell;
use std::collections::HashMap;

use serde::de::DeserializeOwned;

use super::error::{DecodeError, ErrorKind};
use super::source::Source;
use crate::config::node::{Node, Position};
use crate::config::path::KeyPath;
use crate::registry::{BuildErrors, KwargsProblem};

/// Passes over one node. Each notes a problem or makes up another value, so that this bounds both.
const MAX_PASSES: usize = 200;

/// A type's value of what stands at a node.
///
/// Texts with variables in them become whatever their place asks for: numbers, booleans, variants.
///
/// # Errors
/// All that is wrong: unknown and missing keys, values of another type or that their type refuses.
pub fn decode<T: DeserializeOwned>(node: &Node) -> Result<T, BuildErrors> {
    match decode_known(node) {
        (Some(value), errors) if errors.0.is_empty() => Ok(value),
        (_, errors) => Err(errors),
    }
}

/// Like [`decode`], but where unknown keys are all that is wrong, there is a value without them too:
/// so that what else is wrong with it can be said in the same breath.
pub fn decode_known<T: DeserializeOwned>(node: &Node) -> (Option<T>, BuildErrors) {
    let session = Session::default();
    let mut result = None;
    for _ in 0..MAX_PASSES {
        match T::deserialize(Source::new(node, &session)) {
            Ok(value) => {
                result = session.nothing_is_made().then_some(value);
                break;
            }
            Err(error) => {
                if !session.settle(error, node) {
                    break;
                }
            }
        }
    }
    let mut problems = session.problems.into_inner();
    problems.sort_by_key(|problem| problem.at);
    (result, BuildErrors(problems))
}

/// A place of which something can be wrong: a node by its address, or a key that is missing from one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PlaceKey {
    pub(super) node: usize,
    pub(super) missing: Option<&'static str>,
}

/// A place with what is shown of it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) key: PlaceKey,
    pub(super) path: KeyPath,
    pub(super) at: Position,
}

#[derive(Default)]
pub(super) struct Session {
    problems: RefCell<Vec<KwargsProblem>>,
    /// Places whose values are made up, and how often that has failed.
    made: RefCell<HashMap<PlaceKey, usize>>,
    /// Keys that are made up, by the address of the map that lacks them.
    missing: RefCell<HashMap<usize, Vec<&'static str>>>,
}

impl Session {
    fn nothing_is_made(&self) -> bool {
        self.made.borrow().is_empty()
    }

    /// How often a made-up value of this place has failed, where it is made up at all.
    pub(super) fn made(&self, key: &PlaceKey) -> Option<usize> {
        self.made.borrow().get(key).copied()
    }

    /// The keys to make up in the map at this address.
    pub(super) fn missing(&self, node: usize) -> Vec<&'static str> {
        self.missing.borrow().get(&node).cloned().unwrap_or_default()
    }

    /// Notes a problem; from now on the value of its place is made up.
    pub(super) fn complain(&self, place: Place, message: String) {
        self.note(&place.path, place.at, message);
        self.made.borrow_mut().entry(place.key).or_insert(0);
    }

    /// Notes a problem, once.
    pub(super) fn note(&self, path: &KeyPath, at: Position, message: String) {
        let problem = KwargsProblem { path: path.as_str().to_owned(), message, at: Some(at) };
        let mut problems = self.problems.borrow_mut();
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    /// Makes the next pass get further than the error that ended this one; false where that is impossible.
    fn settle(&self, error: DecodeError, root: &Node) -> bool {
        let place = error.place.unwrap_or_else(|| Place {
            key: PlaceKey { node: address(root), missing: None },
            path: KeyPath::root(),
            at: root.at,
        });
        if let Some(failed) = self.made.borrow_mut().get_mut(&place.key) {
            *failed += 1;
            return *failed < super::made::VARIETIES;
        }
        match error.kind {
            ErrorKind::Wrong(message) => self.complain(place, message),
            ErrorKind::Missing(field) => {
                self.note(&place.path, place.at, format!("`{field}` is missing"));
                let node = place.key.node;
                self.missing.borrow_mut().entry(node).or_default().push(field);
                let key = PlaceKey { node, missing: Some(field) };
                self.made.borrow_mut().insert(key, 0);
            }
        }
        true
    }
}

pub(super) fn address(node: &Node) -> usize {
    std::ptr::from_ref(node).addr()
}
