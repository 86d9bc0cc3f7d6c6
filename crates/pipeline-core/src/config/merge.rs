//! Keys of maps: merge keys (`<<: *common`) are unfolded, and no key stands twice.

use std::collections::HashMap;

use super::node::{Entry, Kind, Node, Position};
use super::path::KeyPath;
use super::yaml::Fault;

/// Unfolds merge keys and finds keys that stand twice, everywhere below a node.
pub(crate) fn settle_keys(node: &mut Node, path: &KeyPath, faults: &mut Vec<Fault>) {
    match &mut node.kind {
        Kind::List(elements) => {
            for (at, element) in elements.iter_mut().enumerate() {
                settle_keys(element, &path.index(at), faults);
            }
        }
        Kind::Map(entries) => {
            for entry in entries.iter_mut() {
                settle_keys(&mut entry.value, &path.key(&entry.key), faults);
            }
            refuse_repeats(entries, path, faults);
            unfold(entries, path, faults);
        }
        Kind::Null | Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) | Kind::Text(_) => {}
    }
}

/// The first of several counts, so that the rest of the file can be checked.
fn refuse_repeats(entries: &mut Vec<Entry>, path: &KeyPath, faults: &mut Vec<Fault>) {
    let mut seen: HashMap<String, Position> = HashMap::with_capacity(entries.len());
    entries.retain(|entry| {
        let first = *seen.entry(entry.key.clone()).or_insert(entry.key_at);
        if first != entry.key_at {
            faults.push(Fault {
                at: entry.key_at,
                path: path.key(&entry.key),
                message: format!(
                    "`{}` stands here twice (first at line {}, column {})",
                    entry.key, first.line, first.column
                ),
            });
        }
        first == entry.key_at
    });
}

/// Replaces `<<` by the entries of the maps behind it. The map's own keys win, then the earlier map's.
fn unfold(entries: &mut Vec<Entry>, path: &KeyPath, faults: &mut Vec<Fault>) {
    let Some(at) = entries.iter().position(|entry| entry.key == "<<") else { return };
    let merged = entries.remove(at).value;
    let maps = match merged.kind {
        Kind::Map(_) => vec![merged],
        Kind::List(maps) => maps,
        _ => vec![merged],
    };
    let mut known: std::collections::HashSet<String> =
        entries.iter().map(|entry| entry.key.clone()).collect();
    for map in maps {
        let Kind::Map(inherited) = map.kind else {
            faults.push(Fault {
                at: map.at,
                path: path.key("<<"),
                message: "`<<` takes a map, or a list of maps (`<<: *name`)".to_owned(),
            });
            continue;
        };
        for entry in inherited {
            if known.insert(entry.key.clone()) {
                entries.push(entry);
            }
        }
    }
}
