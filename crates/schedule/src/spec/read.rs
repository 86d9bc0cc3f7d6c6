//! From any value to a [`ScheduleSpec`], collecting what is wrong.

use std::time::Duration;

use super::node::Node;
use super::{ScheduleSpec, SpecProblem};
use crate::dst::{DstOverride, Gap, Overlap};
use crate::misfire::{CatchUp, MisfirePolicy};
use crate::suggest::{nearest, shown};

const KEYS: [&str; 10] =
    ["cron", "interval", "at", "manual", "timezone", "dst", "jitter", "start", "end", "misfire"];
const UNITS: [(&str, &str); 5] =
    [("weeks", "w"), ("days", "d"), ("hours", "h"), ("minutes", "m"), ("seconds", "s")];

/// Keys of other schedulers, with what they are called here.
const OTHER_NAMES: [(&str, &str); 22] = [
    ("every", "interval"),
    ("expression", "cron"),
    ("crontab", "cron"),
    ("minute", "cron"),
    ("hour", "cron"),
    ("day", "cron"),
    ("day_of_week", "cron"),
    ("month", "cron"),
    ("weeks", "interval"),
    ("days", "interval"),
    ("hours", "interval"),
    ("minutes", "interval"),
    ("seconds", "interval"),
    ("run_date", "at"),
    ("date", "at"),
    ("tz", "timezone"),
    ("time_zone", "timezone"),
    ("start_date", "start"),
    ("end_date", "end"),
    ("misfire_grace_time", "misfire.grace"),
    ("coalesce", "misfire.catch_up"),
    ("catch_up", "misfire.catch_up"),
];

/// Keys that belong beside the block, not into it.
const BESIDE: [&str; 7] = ["overlap", "max_instances", "retry", "timeout", "limit_group", "enabled", "after"];

pub(super) fn read(node: Node) -> ScheduleSpec {
    let mut reader = Reader { problems: Vec::new() };
    let mut spec = ScheduleSpec::default();
    match node {
        Node::Map(entries) => {
            for (key, value) in entries {
                reader.entry(&mut spec, &key, value);
            }
        }
        Node::Null => {}
        other => reader.problem(
            SpecProblem::new("", format!("it is {}, a map is needed", other.kind()))
                .hint("write for example `schedule: {cron: \"0 9 * * 1-5\"}`"),
        ),
    }
    spec.problems = reader.problems;
    spec
}

struct Reader {
    problems: Vec<SpecProblem>,
}

impl Reader {
    fn problem(&mut self, problem: SpecProblem) {
        self.problems.push(problem);
    }

    fn entry(&mut self, spec: &mut ScheduleSpec, key: &str, value: Node) {
        match key {
            "cron" => spec.cron = self.text(key, value),
            "interval" => spec.interval = self.interval(value),
            "at" => spec.at = self.text(key, value),
            "manual" => spec.manual = self.boolean(key, value).unwrap_or(false),
            "timezone" => spec.timezone = self.text(key, value),
            "dst" => spec.dst = self.dst(value),
            "jitter" => spec.jitter = self.duration(key, value),
            "start" => spec.start = self.text(key, value),
            "end" => spec.end = self.text(key, value),
            "misfire" => spec.misfire = self.misfire(value),
            _ => self.unknown_key("", key, &KEYS),
        }
    }

    fn unknown_key(&mut self, parent: &str, key: &str, known: &[&str]) {
        let path = if parent.is_empty() { shown(key) } else { format!("{parent}.{}", shown(key)) };
        let problem = SpecProblem::new(path, "unknown key");
        let lower = key.to_lowercase();
        let other = OTHER_NAMES.iter().find(|(name, _)| parent.is_empty() && *name == lower);
        self.problem(if let Some(near) = nearest(key, known.iter().copied()) {
            problem.hint(format!("did you mean `{near}`?"))
        } else if let Some((_, here)) = other {
            problem.hint(format!("use `{here}`"))
        } else if parent.is_empty() && BESIDE.contains(&lower.as_str()) {
            problem.hint(format!("`{lower}` stands beside `schedule`, not inside it"))
        } else {
            problem.hint(format!("known are {}", known.join(", ")))
        });
    }

    fn wrong_kind(&mut self, path: &str, value: &Node, wanted: &str) {
        self.problem(SpecProblem::new(path, format!("it is {}, {wanted} is needed", value.kind())));
    }

    fn text(&mut self, path: &str, value: Node) -> Option<String> {
        match value {
            Node::Text(text) => Some(text),
            Node::Null => None,
            other => {
                self.wrong_kind(path, &other, "text");
                None
            }
        }
    }

    fn boolean(&mut self, path: &str, value: Node) -> Option<bool> {
        match value {
            Node::Bool(value) => Some(value),
            Node::Text(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
            Node::Text(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
            Node::Null => None,
            other => {
                self.wrong_kind(path, &other, "true or false");
                None
            }
        }
    }

    fn duration(&mut self, path: &str, value: Node) -> Option<Duration> {
        match value {
            Node::Text(text) | Node::Number(text) => match crate::duration::parse(&text) {
                Ok(duration) => Some(duration),
                Err(error) => {
                    self.problem(SpecProblem::new(path, error.to_string()));
                    None
                }
            },
            Node::Null => None,
            other => {
                self.wrong_kind(path, &other, "a duration such as `30s` or `1h30m`");
                None
            }
        }
    }

    fn interval(&mut self, value: Node) -> Option<Duration> {
        let Node::Map(entries) = value else {
            return self.duration("interval", value);
        };
        let known = UNITS.map(|(name, _)| name);
        let mut total = Duration::ZERO;
        let before = self.problems.len();
        for (key, value) in entries {
            let path = format!("interval.{}", shown(&key));
            match UNITS.iter().find(|(name, _)| *name == key) {
                Some((_, unit)) => total = total.saturating_add(self.count(&path, value, unit)),
                None => self.unknown_key("interval", &key, &known),
            }
        }
        if total > crate::duration::MAX {
            let longest = crate::duration::format(crate::duration::MAX);
            self.problem(SpecProblem::new(
                "interval",
                format!("it is longer than the longest duration, {longest}"),
            ));
        }
        // A period that is only half understood must not be reported as too short as well.
        Some(if self.problems.len() > before { Duration::from_secs(1) } else { total })
    }

    /// `value` of a unit.
    fn count(&mut self, path: &str, value: Node, unit: &str) -> Duration {
        let text = match value {
            Node::Null => return Duration::ZERO,
            Node::Number(text) => text,
            Node::Text(text) => text.trim().to_owned(),
            other => {
                self.wrong_kind(path, &other, "a number");
                return Duration::ZERO;
            }
        };
        let message = if text.starts_with('-') {
            format!("`{}` is negative", shown(&text))
        } else if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            format!("`{}` is not a number", shown(&text))
        } else {
            match crate::duration::parse(&format!("{text}{unit}")) {
                Ok(duration) => return duration,
                Err(error) => error.to_string(),
            }
        };
        self.problem(SpecProblem::new(path, message));
        Duration::ZERO
    }

    /// One of a few words.
    fn choice<T: Copy>(&mut self, path: &str, value: Node, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(path, value)?;
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(*choice);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let problem =
            SpecProblem::new(path, format!("`{}` is not one of {}", shown(&text), names.join(", ")));
        self.problem(match nearest(&text, names) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem,
        });
        None
    }

    /// The entries of a map, or none and a problem.
    fn map(&mut self, path: &str, value: Node) -> Vec<(String, Node)> {
        match value {
            Node::Map(entries) => entries,
            Node::Null => Vec::new(),
            other => {
                self.wrong_kind(path, &other, "a map");
                Vec::new()
            }
        }
    }

    fn dst(&mut self, value: Node) -> DstOverride {
        let mut dst = DstOverride::default();
        for (key, value) in self.map("dst", value) {
            match key.as_str() {
                "gap" => {
                    dst.gap =
                        self.choice("dst.gap", value, &[("run_after", Gap::RunAfter), ("skip", Gap::Skip)]);
                }
                "overlap" => {
                    let choices =
                        [("first", Overlap::First), ("second", Overlap::Second), ("both", Overlap::Both)];
                    dst.overlap = self.choice("dst.overlap", value, &choices);
                }
                _ => self.unknown_key("dst", &key, &["gap", "overlap"]),
            }
        }
        dst
    }

    fn misfire(&mut self, value: Node) -> MisfirePolicy {
        let mut policy = MisfirePolicy::default();
        for (key, value) in self.map("misfire", value) {
            match key.as_str() {
                "catch_up" => {
                    let choices =
                        [("latest", CatchUp::Latest), ("all", CatchUp::All), ("skip", CatchUp::Skip)];
                    policy.catch_up =
                        self.choice("misfire.catch_up", value, &choices).unwrap_or(policy.catch_up);
                }
                "grace" => policy.grace = self.duration("misfire.grace", value),
                "max" => policy.max = self.max(value).unwrap_or(policy.max),
                _ => self.unknown_key("misfire", &key, &["catch_up", "grace", "max"]),
            }
        }
        policy
    }

    fn max(&mut self, value: Node) -> Option<u32> {
        let text = match value {
            Node::Null => return None,
            Node::Number(text) | Node::Text(text) => text,
            other => {
                self.wrong_kind("misfire.max", &other, "a number");
                return None;
            }
        };
        let number =
            text.trim().parse::<u32>().ok().filter(|max| (1..=MisfirePolicy::LARGEST_MAX).contains(max));
        if number.is_none() {
            self.problem(SpecProblem::new(
                "misfire.max",
                format!("`{}` is not a whole number from 1 to {}", shown(&text), MisfirePolicy::LARGEST_MAX),
            ));
        }
        number
    }
}
