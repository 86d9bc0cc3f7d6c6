//! `defaults`: what every pipeline has unless it says otherwise.

use super::check::Checker;
use super::model::ScheduleBlock;
use super::node::{Entry, Kind, Node, Position};
use super::path::KeyPath;
use super::pipeline::POLICY_KEYS;

/// Keys that belong to a schedule and may stand in `defaults`.
pub(super) const SCHEDULE_KEYS: [&str; 4] = ["timezone", "misfire", "jitter", "dst"];

/// The keys whose maps are inherited key by key; other values are taken as a whole.
const DEEP: [&str; 3] = ["retry", "on_failure", "misfire"];

/// Checked defaults; what is wrong in them has been left out.
#[derive(Default)]
pub(super) struct Defaults {
    policies: Vec<Entry>,
    schedule: Vec<Entry>,
}

impl Defaults {
    /// Checks `defaults`.
    pub(super) fn check(checker: &mut Checker<'_>, node: &Node, path: &KeyPath) -> Self {
        if !checker.is_map(node, path, "`defaults`") {
            return Self::default();
        }
        let known: Vec<&str> = SCHEDULE_KEYS.iter().chain(&POLICY_KEYS).copied().collect();
        checker.check_keys(node, path, &known, |key| {
            let own = ["schedule", "cron", "interval", "chain", "after", "enabled", "description"];
            own.contains(&key).then(|| format!("`{key}` belongs to a pipeline: it cannot be inherited"))
        });
        let given = |keys: &[&str]| -> Vec<Entry> {
            let entries = node.entries().iter();
            entries.filter(|e| keys.contains(&e.key.as_str()) && !e.value.is_null()).cloned().collect()
        };
        let mut policies = given(&POLICY_KEYS);
        policies.retain(|entry| {
            let before = checker.problem_count();
            checker.policy(&entry.key, &entry.value, &path.key(&entry.key));
            checker.problem_count() == before
        });
        let mut schedule = given(&SCHEDULE_KEYS);
        let block = ScheduleBlock(Node::new(node.at, Kind::Map(schedule.clone())));
        if !schedule.is_empty()
            && let Err(errors) = checker.schedules.check_defaults(&block)
        {
            schedule.retain(|entry| !errors.0.iter().any(|problem| names(&problem.path, &entry.key)));
            checker.absorb(errors, node, path);
        }
        Self { policies, schedule }
    }

    /// A pipeline's map with the policies that it inherits.
    pub(super) fn policies_for(&self, pipeline: &Node) -> Node {
        inherit(pipeline, &self.policies)
    }

    /// A pipeline's schedule with what it inherits.
    pub(super) fn schedule_for(&self, schedule: &Node) -> Node {
        inherit(schedule, &self.schedule)
    }
}

/// Whether a path begins with a key.
fn names(path: &str, key: &str) -> bool {
    path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// A map with the entries that it does not have itself. An entry without a value counts as absent.
fn inherit(own: &Node, defaults: &[Entry]) -> Node {
    let mut entries: Vec<Entry> =
        own.entries().iter().filter(|entry| !entry.value.is_null()).cloned().collect();
    for default in defaults {
        match entries.iter_mut().find(|entry| entry.key == default.key) {
            None => entries.push(default.clone()),
            Some(entry) if DEEP.contains(&entry.key.as_str()) => {
                if let (Kind::Map(_), Kind::Map(inherited)) = (&entry.value.kind, &default.value.kind) {
                    entry.value = inherit(&entry.value, inherited);
                }
            }
            Some(_) => {}
        }
    }
    Node::new(own.at, Kind::Map(entries))
}

/// Where an empty map would stand.
pub(super) fn empty_map(at: Position) -> Node {
    Node::new(at, Kind::Map(Vec::new()))
}
