//! The chain of a pipeline: classes, `kwargs`, and whether each stage can be built.

use super::check::Checker;
use super::inherit::empty_map;
use super::model::StageSpec;
use super::node::{Kind, Node};
use super::original;
use super::path::KeyPath;
use super::secrets;
use crate::registry::BuildContext;

const KEYS: [&str; 3] = ["class", "kwargs", "on_error"];

impl Checker<'_> {
    /// Checks `chain`. Stages with something wrong are left out of the result.
    pub(super) fn chain(&mut self, name: Option<&str>, pipeline: &Node, path: &KeyPath) -> Vec<StageSpec> {
        let Some(entry) = pipeline.entry("chain") else {
            self.complain(pipeline.at, path, "`chain` is missing");
            return Vec::new();
        };
        let path = path.key("chain");
        let elements = match &entry.value.kind {
            Kind::List(elements) if !elements.is_empty() => elements,
            Kind::List(_) | Kind::Null => {
                self.complain(entry.key_at, &path, "the chain is empty: it needs at least one stage");
                return Vec::new();
            }
            _ => {
                let message = format!("expected a list of stages, found {}", entry.value.describe());
                self.complain(entry.value.at, &path, message);
                return Vec::new();
            }
        };
        let stages = elements.iter().enumerate();
        stages.filter_map(|(index, node)| self.stage(name, index, node, &path.index(index))).collect()
    }

    fn stage(
        &mut self,
        pipeline: Option<&str>,
        index: usize,
        node: &Node,
        path: &KeyPath,
    ) -> Option<StageSpec> {
        if !self.is_map(node, path, "a stage") {
            return None;
        }
        self.check_keys(node, path, &KEYS, |_| None);
        let on_error = match node.get("on_error").filter(|node| !node.is_null()) {
            Some(node) => self.take(node, &path.key("on_error")),
            None => Some(crate::OnError::default()),
        };
        let kwargs_path = path.key("kwargs");
        let mut kwargs = match node.get("kwargs") {
            Some(kwargs) => kwargs.clone().or_empty_map(),
            None => empty_map(node.at),
        };
        let Some(class_node) = node.get("class") else {
            self.complain(node.at, path, "`class` is missing");
            return None;
        };
        let class: String = self.take(class_node, &path.key("class"))?;
        let Some(entry) = self.registry.get(&class).copied() else {
            self.complain(class_node.at, &path.key("class"), original::unknown_class(&class, self.registry));
            return None;
        };
        if !self.is_map(&kwargs, &kwargs_path, "`kwargs`") {
            return None;
        }
        for plain in secrets::find(&mut kwargs, (entry.schema)().as_value(), self.redactor) {
            let message = "a secret stands here in plain text: put it into a variable and write `${NAME}`";
            self.warn(plain.at, &kwargs_path.join(plain.path.as_str()), message);
        }
        let ctx = BuildContext {
            pipeline: pipeline.unwrap_or_default().to_owned(),
            stage: index + 1,
            services: self.services.clone(),
        };
        match entry.build_node(&kwargs, &ctx) {
            Ok(_) => {
                let suspect = entry.suspect(&kwargs);
                self.absorb_warnings(suspect, &kwargs, &kwargs_path);
            }
            Err(errors) => self.absorb(errors, &kwargs, &kwargs_path),
        }
        Some(StageSpec { class, at: node.at, on_error: on_error?, kwargs, path: path.clone().into_string() })
    }
}
