//! The values of programs. They know how large and how deep they are, so that no program makes one that
//! could not be held, walked or written.

use std::sync::Arc;

use compact_str::CompactString;
use jaq_json::{Map, Num};

use super::meter::{self, DEPTH};
use super::text::Text;

/// About what an entry of an object takes beside its texts.
const ENTRY: usize = 96;

/// About how many bytes the smallest value is, written out.
const NODE: u64 = 16;

/// A value of a program.
#[derive(Debug, Clone, Default)]
pub(super) enum Val {
    #[default]
    Null,
    Bool(bool),
    Num(Num),
    Text(Text),
    Arr(Arc<List>),
    Obj(Arc<Object>),
}

/// The values of an array.
#[derive(Debug, Default)]
pub(super) struct List {
    items: Vec<Val>,
    facts: Facts,
}

/// The values of an object.
#[derive(Debug, Default)]
pub(super) struct Object {
    map: Map<CompactString, Val>,
    facts: Facts,
}

/// What is known about a value that holds others. All are upper bounds.
#[derive(Debug, Default)]
struct Facts {
    /// The memory that it has taken, without that of the arrays, objects and large texts in it.
    counted: usize,
    /// How deep the values in it are nested.
    depth: u32,
    /// The size of all that is in it, what is shared counted each time.
    weight: u64,
}

impl Facts {
    /// Takes memory. Returns false when the program may not go on.
    fn take(&mut self, bytes: usize) -> bool {
        let may_go_on = bytes == 0 || meter::take(bytes);
        if may_go_on {
            self.counted += bytes;
        }
        may_go_on
    }

    /// Takes a value in. Returns false when the program may not go on.
    fn hold(&mut self, value: &Val) -> bool {
        let depth = value.depth();
        if depth >= DEPTH {
            return meter::refuse_depth();
        }
        self.depth = self.depth.max(depth);
        self.weight = self.weight.saturating_add(value.weight());
        self.take(value.own_bytes())
    }

    /// Lets a value go.
    fn release(&mut self, value: &Val) {
        self.weight = self.weight.saturating_sub(value.weight());
        let bytes = value.own_bytes().min(self.counted);
        self.counted -= bytes;
        meter::give_back(bytes);
    }
}

impl Drop for Facts {
    fn drop(&mut self) {
        meter::give_back(self.counted);
    }
}

impl Val {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(Text::new(text))
    }

    pub(super) fn object(object: Object) -> Self {
        Self::Obj(Arc::new(object))
    }

    /// How many values are nested in it, one in the other.
    pub(super) fn depth(&self) -> u32 {
        match self {
            Self::Arr(list) => list.facts.depth + 1,
            Self::Obj(object) => object.facts.depth + 1,
            _ => 0,
        }
    }

    /// About how many bytes it is, written out.
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::Text(text) => NODE + text.len() as u64,
            Self::Arr(list) => list.facts.weight.saturating_add(NODE),
            Self::Obj(object) => object.facts.weight.saturating_add(NODE),
            _ => NODE,
        }
    }

    /// The memory that is part of what holds it.
    fn own_bytes(&self) -> usize {
        match self {
            Self::Text(Text::Small(text)) if text.is_heap_allocated() => text.capacity(),
            _ => 0,
        }
    }
}

impl List {
    /// Room for so many values.
    pub(super) fn with_room(least: usize) -> Self {
        let mut list = Self::default();
        list.reserve(least);
        list
    }

    fn reserve(&mut self, more: usize) -> bool {
        let length = self.items.len() + more;
        if length <= self.items.capacity() {
            return true;
        }
        let capacity = length.max(self.items.capacity() * 2).max(4);
        let added = capacity - self.items.capacity();
        if !self.facts.take(added.saturating_mul(size_of::<Val>())) {
            return false;
        }
        self.items.reserve_exact(capacity - self.items.len());
        true
    }

    /// Adds a value. Returns false when the program may not go on.
    pub(super) fn push(&mut self, value: Val) -> bool {
        let may_go_on = self.reserve(1) && self.facts.hold(&value);
        if may_go_on {
            self.items.push(value);
        }
        may_go_on
    }

    /// Adds the values of another array, moved where nobody else has it.
    pub(super) fn extend(&mut self, other: Arc<Self>) {
        if !self.reserve(other.items.len()) {
            return;
        }
        match Arc::try_unwrap(other) {
            Ok(Self { items, facts: _counted_until_moved }) => items.into_iter().all(|item| self.push(item)),
            Err(shared) => shared.items.iter().all(|value| self.push(value.clone())),
        };
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Val> {
        self.items.iter()
    }

    pub(super) fn as_slice(&self) -> &[Val] {
        &self.items
    }

    /// Takes a value out; null stays.
    pub(super) fn take(&mut self, at: usize) -> Val {
        let value = self.items.get_mut(at).map(std::mem::take).unwrap_or_default();
        self.facts.release(&value);
        value
    }

    /// Puts a value where [`List::take`] left null.
    pub(super) fn put(&mut self, at: usize, value: Val) {
        if let Some(place) = self.items.get_mut(at)
            && self.facts.hold(&value)
        {
            *place = value;
        }
    }

    pub(super) fn remove(&mut self, at: usize) {
        if at < self.items.len() {
            self.items.remove(at);
        }
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Val) -> bool) {
        self.items.retain(keep);
    }
}

impl Clone for List {
    fn clone(&self) -> Self {
        let mut list = Self::default();
        if list.reserve(self.items.len()) {
            self.items.iter().all(|value| list.push(value.clone()));
        }
        list
    }
}

impl Object {
    /// Room for so many values.
    pub(super) fn with_room(count: usize) -> Self {
        let map = Map::with_capacity_and_hasher(count, Default::default());
        Self { map, facts: Facts::default() }
    }

    /// Adds a value, or puts it in the place of one. Returns false when the program may not go on.
    pub(super) fn insert(&mut self, name: CompactString, value: Val) -> bool {
        let name_bytes = if name.is_heap_allocated() { name.capacity() } else { 0 };
        if !self.facts.hold(&value) {
            return false;
        }
        let weight = NODE + name.len() as u64;
        match self.map.insert(name, value) {
            Some(old) => self.facts.release(&old),
            None => {
                self.facts.weight = self.facts.weight.saturating_add(weight);
                return self.facts.take(ENTRY + name_bytes);
            }
        }
        true
    }

    /// Adds the values of another object, moved where nobody else has it.
    pub(super) fn extend(&mut self, other: Arc<Self>) {
        match Arc::try_unwrap(other) {
            Ok(Self { map, facts: _counted_until_moved }) => {
                map.into_iter().all(|(name, value)| self.insert(name, value))
            }
            Err(shared) => shared.map.iter().all(|(name, value)| self.insert(name.clone(), value.clone())),
        };
    }

    /// Takes a value out; null stays.
    pub(super) fn take(&mut self, name: &str) -> Option<Val> {
        let value = std::mem::take(self.map.get_mut(name)?);
        self.facts.release(&value);
        Some(value)
    }

    pub(super) fn remove(&mut self, name: &str) {
        // The order of the others stays.
        self.map.shift_remove(name);
    }

    pub(super) fn get(&self, name: &str) -> Option<&Val> {
        self.map.get(name)
    }

    pub(super) fn at(&self, number: usize) -> Option<(&CompactString, &Val)> {
        self.map.get_index(number)
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&CompactString, &Val)> {
        self.map.iter()
    }
}

impl Clone for Object {
    fn clone(&self) -> Self {
        let mut object = Self::default();
        if meter::has_room((self.map.len() * ENTRY) as u64) {
            object = Self::with_room(self.map.len());
            self.map.iter().all(|(name, value)| object.insert(name.clone(), value.clone()));
        }
        object
    }
}

impl FromIterator<Val> for Val {
    fn from_iter<I: IntoIterator<Item = Self>>(items: I) -> Self {
        let items = items.into_iter();
        let mut list = List::with_room(items.size_hint().0.min(1024));
        for item in items {
            if !list.push(item) {
                break;
            }
        }
        Self::Arr(Arc::new(list))
    }
}
