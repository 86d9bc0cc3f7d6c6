//! One pipeline: its policies, its schedule, its chain.

use std::num::NonZeroU32;

use super::check::Checker;
use super::inherit::{Defaults, SCHEDULE_KEYS};
use super::model::{Pipeline, ScheduleBlock};
use super::node::{Kind, Node, Position};
use super::path::KeyPath;
use super::policy::{LimitGroup, OnFailure, Overlap, RetryPolicy, TimeoutPolicy};
use super::url::check_http_url;

/// Keys that a pipeline can inherit.
pub(super) const POLICY_KEYS: [&str; 7] =
    ["overlap", "max_instances", "retry", "timeout", "limit_group", "on_failure", "heartbeat_url"];

/// Keys that a pipeline has for itself. `discord_commands` named Python code and has no effect.
const OWN_KEYS: [&str; 8] =
    ["name", "description", "enabled", "schedule", "after", "chain", "extra", "discord_commands"];

/// The longest name, in characters.
const MAX_NAME: usize = 100;

/// Runs at a time under `overlap: allow`, where the file says nothing.
const MAX_INSTANCES: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);

/// The values of a pipeline's policies, as far as they were given and right.
#[derive(Default)]
struct Policies {
    overlap: Option<Overlap>,
    max_instances: Option<NonZeroU32>,
    retry: Option<RetryPolicy>,
    timeout: Option<TimeoutPolicy>,
    limit_group: Option<LimitGroup>,
    on_failure: Option<OnFailure>,
    heartbeat_url: Option<Option<String>>,
}

impl Checker<'_> {
    /// Checks a pipeline. `key` is its name where it stands in a map.
    pub(super) fn pipeline(
        &mut self,
        key: Option<(&str, Position)>,
        node: &Node,
        path: &KeyPath,
        defaults: &Defaults,
    ) -> Option<Pipeline> {
        let name = match key {
            Some((name, at)) => self.checked_name(name, at, path).then(|| name.to_owned()),
            None => None,
        };
        if !self.is_map(node, path, "a pipeline") {
            return None;
        }
        let known: Vec<&str> = OWN_KEYS.iter().chain(&POLICY_KEYS).copied().collect();
        self.check_keys(node, path, &known, |key| {
            let inner = ["cron", "interval", "at", "manual", "start", "end"];
            let of_schedule = inner.contains(&key) || SCHEDULE_KEYS.contains(&key);
            of_schedule.then(|| format!("`{key}` belongs under `schedule`"))
        });
        let name = self.name_of(key, name, node, path);
        let effective = defaults.policies_for(node);
        let policies = self.policies(&effective, path);
        self.suspect_policies(node, &effective, &policies, path);
        let schedule = self.schedule(node, path, defaults);
        let after = self.after(node, path);
        if let (Some(_), Some(entry)) = (&schedule, node.entry("after").filter(|_| !after.is_empty())) {
            let message = "`after` stands instead of a `schedule`: leave one of them out";
            self.complain(entry.key_at, &path.key("after"), message);
        }
        let own = |key: &str| node.get(key).filter(|value| !value.is_null());
        let description = own("description").and_then(|node| self.take(node, &path.key("description")));
        let enabled = own("enabled").and_then(|node| self.take(node, &path.key("enabled"))).unwrap_or(true);
        let chain = self.chain(name.as_deref(), node, path);
        if let Some(entry) = node.entry("discord_commands") {
            self.warn(entry.key_at, &path.key(&entry.key), "`discord_commands` has no effect here");
        }
        Some(Pipeline {
            canonical: super::canonical::canonical(&effective, schedule.as_ref()),
            name: name?,
            file: self.file_name(),
            at: key.map_or(node.at, |(_, at)| at),
            description,
            enabled,
            schedule,
            overlap: policies.overlap.unwrap_or_default(),
            max_instances: policies.max_instances.unwrap_or(MAX_INSTANCES),
            retry: policies.retry.unwrap_or_default(),
            timeout: policies.timeout.unwrap_or_default(),
            limit_group: policies.limit_group,
            on_failure: policies.on_failure.unwrap_or_default(),
            heartbeat_url: policies.heartbeat_url.flatten(),
            after,
            after_at: node.entry("after").map_or(node.at, |entry| entry.key_at),
            chain,
            extra: node.get("extra").cloned(),
        })
    }

    fn name_of(
        &mut self,
        key: Option<(&str, Position)>,
        name: Option<String>,
        node: &Node,
        path: &KeyPath,
    ) -> Option<String> {
        let written = node.get("name").filter(|name| !name.is_null());
        let path = path.key("name");
        match (key, written) {
            (Some(_), None) => name,
            (Some((key, _)), Some(node)) => {
                if self.take::<String>(node, &path).is_some_and(|written| written != key) {
                    let message = format!("the pipeline is called `{key}` already: leave `name` out");
                    self.complain(node.at, &path, message);
                }
                name
            }
            (None, Some(node)) => {
                let name: String = self.take(node, &path)?;
                self.checked_name(&name, node.at, &path).then_some(name)
            }
            (None, None) => {
                self.complain(node.at, &path, "`name` is missing: in a list each pipeline has its name");
                None
            }
        }
    }

    fn checked_name(&mut self, name: &str, at: Position, path: &KeyPath) -> bool {
        let length = name.chars().count();
        let message = if name.is_empty() {
            "the name is empty".to_owned()
        } else if length > MAX_NAME {
            format!("the name is {length} characters long: at most {MAX_NAME} are allowed")
        } else if let Some(c) = name.chars().find(|c| c.is_control()) {
            format!("the name holds the control character {}", c.escape_default())
        } else {
            return true;
        };
        self.complain(at, path, message);
        false
    }

    fn policies(&mut self, effective: &Node, path: &KeyPath) -> Policies {
        let mut policies = Policies::default();
        for entry in effective.entries() {
            self.set_policy(&mut policies, &entry.key, &entry.value, &path.key(&entry.key));
        }
        policies
    }

    /// Checks one policy, for `defaults`.
    pub(super) fn policy(&mut self, key: &str, node: &Node, path: &KeyPath) {
        self.set_policy(&mut Policies::default(), key, node, path);
    }

    fn set_policy(&mut self, policies: &mut Policies, key: &str, node: &Node, path: &KeyPath) {
        match key {
            "overlap" => policies.overlap = self.take(node, path),
            "max_instances" => policies.max_instances = self.take(node, path),
            "retry" => policies.retry = self.take(node, path),
            "timeout" => policies.timeout = self.timeout(node, path),
            "limit_group" => policies.limit_group = self.limit_group(node, path),
            "on_failure" => policies.on_failure = self.on_failure(node, path),
            "heartbeat_url" => policies.heartbeat_url = Some(self.url(node, path)),
            _ => {}
        }
    }

    fn timeout(&mut self, node: &Node, path: &KeyPath) -> Option<TimeoutPolicy> {
        if node.as_text().is_some_and(|text| text.trim().eq_ignore_ascii_case("none")) {
            return Some(TimeoutPolicy::Never);
        }
        let timeout: crate::HumanDuration = self.take(node, path)?;
        if timeout.0.is_zero() {
            self.complain(node.at, path, "a timeout is longer than 0 (`none` is no timeout)");
            return None;
        }
        Some(TimeoutPolicy::After(timeout.0))
    }

    fn limit_group(&mut self, node: &Node, path: &KeyPath) -> Option<LimitGroup> {
        let group: LimitGroup = self.take(node, path)?;
        let at = node.get("name").map_or(node.at, |name| name.at);
        self.checked_name(&group.name, at, &path.key("name")).then_some(group)
    }

    fn on_failure(&mut self, node: &Node, path: &KeyPath) -> Option<OnFailure> {
        if !self.is_map(node, path, "`on_failure`") {
            return None;
        }
        self.check_keys(node, path, &["discord_channel_id", "webhook_url"], |_| None);
        let value = |key: &str| node.get(key).filter(|value| !value.is_null());
        let discord_channel_id = value("discord_channel_id").and_then(|node| {
            let path = path.key("discord_channel_id");
            match &node.kind {
                Kind::Text(text) if text.value.trim().is_empty() => None,
                Kind::Text(text) if text.value.trim().parse::<u64>().is_ok() => {
                    text.value.trim().parse().ok()
                }
                _ => self.take::<std::num::NonZeroU64>(node, &path).map(u64::from),
            }
        });
        let webhook_url = value("webhook_url").and_then(|node| self.url(node, &path.key("webhook_url")));
        Some(OnFailure { discord_channel_id, webhook_url })
    }

    /// A web address; an empty one is none.
    fn url(&mut self, node: &Node, path: &KeyPath) -> Option<String> {
        let url: String = self.take(node, path)?;
        let url = url.trim();
        if url.is_empty() {
            return None;
        }
        match check_http_url(url) {
            Ok(()) => Some(url.to_owned()),
            Err(message) => {
                self.complain(node.at, path, message);
                None
            }
        }
    }

    fn schedule(&mut self, node: &Node, path: &KeyPath, defaults: &Defaults) -> Option<ScheduleBlock> {
        let own = node.get("schedule").filter(|node| !node.is_null())?;
        let path = path.key("schedule");
        if let Kind::Text(text) = &own.kind {
            let message = format!("`schedule` is a map: write `schedule: {{cron: \"{}\"}}`", text.value);
            self.complain(own.at, &path, message);
            return None;
        }
        if !self.is_map(own, &path, "`schedule`") {
            return None;
        }
        let block = ScheduleBlock(defaults.schedule_for(own));
        match self.schedules.check(&block) {
            Ok(()) => {
                let suspect = self.schedules.suspect(&block);
                self.absorb_warnings(suspect, &block.0, &path);
            }
            Err(errors) => self.absorb(errors, &block.0, &path),
        }
        Some(block)
    }

    fn after(&mut self, node: &Node, path: &KeyPath) -> Vec<String> {
        let path = path.key("after");
        match node.get("after").filter(|node| !node.is_null()) {
            Some(node) => self.take(node, &path).unwrap_or_default(),
            None => Vec::new(),
        }
    }

    fn suspect_policies(&mut self, own: &Node, effective: &Node, policies: &Policies, path: &KeyPath) {
        if let (Some(TimeoutPolicy::Never), Some(entry)) = (policies.timeout, own.entry("timeout")) {
            let message = "without a timeout a run that hangs is never ended";
            self.warn(entry.value.at, &path.key("timeout"), message);
        }
        if let Some(entry) = own.entry("max_instances").filter(|entry| !entry.value.is_null())
            && policies.overlap.unwrap_or_default() != Overlap::Allow
        {
            let message = "`max_instances` has an effect with `overlap: allow` only";
            self.warn(entry.key_at, &path.key("max_instances"), message);
        }
        if let (Some(retry), Some(node)) = (policies.retry, effective.get("retry"))
            && retry.backoff > retry.max_backoff
        {
            let message = format!(
                "`backoff` ({}) is longer than `max_backoff` ({}), which wins",
                retry.backoff, retry.max_backoff
            );
            self.warn(node.at, &path.key("retry"), message);
        }
    }
}
