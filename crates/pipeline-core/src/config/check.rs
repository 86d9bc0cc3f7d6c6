//! The file as a whole: its keys, its pipelines, and what they say of each other.

use std::collections::{HashMap, HashSet};

use serde::de::DeserializeOwned;

use super::after;
use super::decode::{decode, unknown_key};
use super::inherit::Defaults;
use super::loader::ScheduleCheck;
use super::model::{Pipeline, PipelinesFile};
use super::node::{Kind, Node, Position};
use super::path::KeyPath;
use super::problem::{ConfigError, Problem};
use super::yaml::Fault;
use crate::context::Services;
use crate::redact::Redactor;
use crate::registry::{BuildErrors, KwargsProblem, Registry};

/// Keys of the whole file. Keys that begin with `x-` are free, for anchors.
const KEYS: [&str; 3] = ["pipelines", "defaults", "extra"];

/// Goes through a file and collects what is wrong.
pub(super) struct Checker<'a> {
    name: std::sync::Arc<str>,
    pub(super) registry: &'a Registry,
    pub(super) schedules: &'a dyn ScheduleCheck,
    pub(super) redactor: &'a Redactor,
    pub(super) services: &'a Services,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Places with a fault of their own: what follows from it is not worth a line.
    faulty: HashSet<Position>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(
        name: &'a str,
        registry: &'a Registry,
        schedules: &'a dyn ScheduleCheck,
        redactor: &'a Redactor,
        services: &'a Services,
    ) -> Self {
        Self {
            name: name.into(),
            registry,
            schedules,
            redactor,
            services,
            problems: Vec::new(),
            warnings: Vec::new(),
            faulty: HashSet::new(),
        }
    }

    /// The result: the pipelines, or all that is wrong, in the order of the file.
    pub(super) fn finish(mut self, pipelines: Vec<Pipeline>) -> Result<PipelinesFile, ConfigError> {
        if self.problems.is_empty() {
            self.warnings.sort_by_key(|warning| warning.at);
            self.warnings.dedup();
            return Ok(PipelinesFile { name: self.name.to_string(), pipelines, warnings: self.warnings });
        }
        self.problems.sort_by_key(|problem| problem.at);
        self.problems.dedup();
        // A value may have become a secret only after it was quoted.
        for problem in &mut self.problems {
            problem.message = self.redactor.redact(&problem.message).into_owned();
        }
        Err(ConfigError { problems: self.problems })
    }

    /// A fault of the text itself.
    pub(super) fn fault(&mut self, fault: Fault) {
        self.complain(fault.at, &fault.path, fault.message);
        self.faulty.insert(fault.at);
    }

    pub(super) fn file_name(&self) -> std::sync::Arc<str> {
        self.name.clone()
    }

    pub(super) fn problem_count(&self) -> usize {
        self.problems.len()
    }

    pub(super) fn complain(&mut self, at: Position, path: &KeyPath, message: impl Into<String>) {
        if !self.faulty.contains(&at) {
            self.problems.push(self.problem(at, path, message.into()));
        }
    }

    pub(super) fn warn(&mut self, at: Position, path: &KeyPath, message: impl Into<String>) {
        let problem = self.problem(at, path, message.into());
        self.warnings.push(problem);
    }

    fn problem(&self, at: Position, path: &KeyPath, message: String) -> Problem {
        let path = self.redactor.redact(path.as_str()).into_owned();
        Problem { file: self.name.to_string(), at: Some(at), path, message: one_line(&message) }
    }

    /// Notes all that is wrong with a node, whose path is given.
    pub(super) fn absorb(&mut self, errors: BuildErrors, node: &Node, path: &KeyPath) {
        for problem in errors.located_in(node).0 {
            self.complain(problem.at.unwrap_or(node.at), &path.join(&problem.path), problem.message);
        }
    }

    pub(super) fn absorb_warnings(&mut self, warnings: Vec<KwargsProblem>, node: &Node, path: &KeyPath) {
        for warning in BuildErrors(warnings).located_in(node).0 {
            self.warn(warning.at.unwrap_or(node.at), &path.join(&warning.path), warning.message);
        }
    }

    /// A type's value of a node; what is wrong is noted.
    pub(super) fn take<T: DeserializeOwned>(&mut self, node: &Node, path: &KeyPath) -> Option<T> {
        match decode(node) {
            Ok(value) => Some(value),
            Err(errors) => {
                self.absorb(errors, node, path);
                None
            }
        }
    }

    /// Notes the keys of a map that are not among the known ones.
    pub(super) fn check_keys(
        &mut self,
        map: &Node,
        path: &KeyPath,
        known: &[&str],
        hint: impl Fn(&str) -> Option<String>,
    ) {
        for entry in map.entries() {
            let free = path.as_str().is_empty() && entry.key.starts_with("x-");
            if !free && !known.contains(&entry.key.as_str()) {
                let message = hint(&entry.key).unwrap_or_else(|| unknown_key(&entry.key, known));
                self.complain(entry.key_at, &path.key(&entry.key), message);
            }
        }
    }

    /// Whether a node is a map; noted where it is not.
    pub(super) fn is_map(&mut self, node: &Node, path: &KeyPath, what: &str) -> bool {
        let is_map = matches!(node.kind, Kind::Map(_));
        if !is_map {
            self.complain(node.at, path, format!("{what} is a map, but here stands {}", node.describe()));
        }
        is_map
    }

    /// Checks the whole.
    pub(super) fn file(&mut self, root: &Node) -> Vec<Pipeline> {
        let path = KeyPath::root();
        if !self.is_map(root, &path, "the file") {
            return Vec::new();
        }
        self.check_keys(root, &path, &KEYS, |_| None);
        let defaults = match root.get("defaults").filter(|node| !node.is_null()) {
            Some(node) => Defaults::check(self, node, &path.key("defaults")),
            None => Defaults::default(),
        };
        let pipelines = path.key("pipelines");
        let Some(entry) = root.entry("pipelines") else {
            self.complain(
                Position::START,
                &pipelines,
                "`pipelines` is missing: it holds the pipelines by name",
            );
            return Vec::new();
        };
        let result = match &entry.value.kind {
            Kind::Map(entries) => entries
                .iter()
                .filter_map(|entry| {
                    let path = pipelines.key(&entry.key);
                    self.pipeline(Some((&entry.key, entry.key_at)), &entry.value, &path, &defaults)
                })
                .collect(),
            Kind::List(elements) => self.list(elements, &pipelines, &defaults),
            _ if entry.value.is_null() => Vec::new(),
            _ => {
                let message = format!("expected a map of pipelines, found {}", entry.value.describe());
                self.complain(entry.value.at, &pipelines, message);
                return Vec::new();
            }
        };
        if entry.value.entries().is_empty() && entry.value.elements().is_empty() {
            self.complain(entry.key_at, &pipelines, "there is no pipeline: at least one is needed");
        }
        self.relations(&result, &pipelines);
        result
    }

    /// Pipelines as a list, each with its `name`.
    fn list(&mut self, elements: &[Node], path: &KeyPath, defaults: &Defaults) -> Vec<Pipeline> {
        let mut first: HashMap<String, Position> = HashMap::new();
        let mut result = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            let path = path.index(index);
            if let Some((name, node)) = element.get("name").and_then(|node| Some((node.as_text()?, node))) {
                let seen = *first.entry(name.to_owned()).or_insert(node.at);
                if seen != node.at {
                    let message = format!(
                        "a pipeline `{name}` stands here already (at line {}, column {})",
                        seen.line, seen.column
                    );
                    self.complain(node.at, &path.key("name"), message);
                    continue;
                }
            }
            result.extend(self.pipeline(None, element, &path, defaults));
        }
        result
    }

    /// What pipelines say of each other.
    fn relations(&mut self, pipelines: &[Pipeline], path: &KeyPath) {
        for finding in after::check(pipelines) {
            let path = path.key(&finding.pipeline).key("after");
            if finding.fatal {
                self.complain(finding.at, &path, finding.message);
            } else {
                self.warn(finding.at, &path, finding.message);
            }
        }
        let mut groups: HashMap<&str, (&Pipeline, u32)> = HashMap::new();
        for pipeline in pipelines {
            let Some(group) = &pipeline.limit_group else { continue };
            let (other, max) = *groups.entry(&group.name).or_insert((pipeline, group.max.get()));
            if max != group.max.get() {
                let message = format!(
                    "the group `{}` has max {} here and {max} in the pipeline `{}`: they share one limit",
                    group.name, group.max, other.name
                );
                self.complain(pipeline.at, &path.key(&pipeline.name).key("limit_group"), message);
            }
        }
    }
}

fn one_line(message: &str) -> String {
    if message.contains('\n') {
        message.split_whitespace().collect::<Vec<_>>().join(" ")
    } else {
        message.to_owned()
    }
}
