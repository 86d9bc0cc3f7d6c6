//! The entries of a map, for a struct or for a map.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, MapAccess};

use super::error::{DecodeError, unknown};
use super::made::Made;
use super::session::{Place, PlaceKey, address};
use super::source::{Source, Way};
use crate::config::node::Entry;

/// Gives the entries; for a struct, notes those that it does not know and adds those that are made up.
pub(super) struct FieldAccess<'a> {
    map: Source<'a>,
    entries: std::slice::Iter<'a, Entry>,
    known: Option<&'static [&'static str]>,
    missing: std::vec::IntoIter<&'static str>,
    next: Next<'a>,
}

enum Next<'a> {
    Nothing,
    Entry(&'a Entry),
    Missing(&'static str),
}

impl<'a> FieldAccess<'a> {
    /// The entries of a map. With `known`, of a struct with these fields.
    pub(super) fn new(map: Source<'a>, known: Option<&'static [&'static str]>) -> Self {
        let missing = map.session.missing(address(map.node)).into_iter();
        Self { map, entries: map.node.entries().iter(), known, missing, next: Next::Nothing }
    }

    fn is_known(&self, entry: &Entry) -> bool {
        let Some(known) = self.known else { return true };
        if known.contains(&entry.key.as_str()) {
            return true;
        }
        let path = Way::Key(&self.map.way, &entry.key).to_path();
        self.map.session.note(&path, entry.key_at, unknown("key", &entry.key, known));
        false
    }
}

impl<'de> MapAccess<'de> for FieldAccess<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        while let Some(entry) = self.entries.next() {
            if self.is_known(entry) {
                self.next = Next::Entry(entry);
                let key = seed.deserialize(StrDeserializer::<DecodeError>::new(&entry.key));
                return key.map(Some).map_err(|error| {
                    error.at(|| Place {
                        key: PlaceKey { node: address(&entry.value), missing: None },
                        path: Way::Key(&self.map.way, &entry.key).to_path(),
                        at: entry.key_at,
                    })
                });
            }
        }
        match self.missing.next() {
            Some(field) => {
                self.next = Next::Missing(field);
                seed.deserialize(StrDeserializer::new(field)).map(Some)
            }
            None => Ok(None),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Entry(entry) => {
                let way = Way::Key(&self.map.way, &entry.key);
                let one_of_many = self.known.is_none();
                seed.deserialize(Source { node: &entry.value, way, session: self.map.session, one_of_many })
            }
            Next::Missing(field) => {
                let key = PlaceKey { node: address(self.map.node), missing: Some(field) };
                let variety = self.map.session.made(&key).unwrap_or(0);
                let path = Way::Key(&self.map.way, field).to_path();
                seed.deserialize(Made::new(variety, Place { key, path, at: self.map.node.at }))
            }
            Next::Nothing => Err(serde::de::Error::custom("a value was asked for before its key")),
        }
    }
}
