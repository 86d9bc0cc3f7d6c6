//! `after`: which pipelines wait for which.

use std::collections::HashMap;

use super::model::Pipeline;
use super::node::Position;

/// Something wrong, or suspect, with a pipeline's `after`.
pub(super) struct Finding {
    pub(super) pipeline: String,
    pub(super) at: Position,
    pub(super) message: String,
    pub(super) fatal: bool,
}

/// Finds unknown names, repeats, disabled pipelines that are waited for, and circles.
pub(super) fn check(pipelines: &[Pipeline]) -> Vec<Finding> {
    let by_name: HashMap<&str, &Pipeline> = pipelines.iter().map(|p| (p.name.as_str(), p)).collect();
    let mut findings = Vec::new();
    for pipeline in pipelines {
        let mut find = |fatal: bool, message: String| {
            findings.push(Finding { pipeline: pipeline.name.clone(), at: pipeline.after_at, message, fatal });
        };
        for (index, name) in pipeline.after.iter().enumerate() {
            match by_name.get(name.as_str()) {
                None => {
                    let known = by_name.keys().copied().filter(|known| *known != pipeline.name);
                    let hint = match crate::suggest::nearest(name, known) {
                        Some(near) => format!(", did you mean `{near}`?"),
                        None => String::new(),
                    };
                    find(true, format!("there is no pipeline `{name}`{hint}"));
                }
                Some(other) if !other.enabled && pipeline.enabled => {
                    find(false, format!("`{name}` is disabled, so that this pipeline never runs"));
                }
                Some(_) => {}
            }
            if pipeline.after[..index].contains(name) {
                find(false, format!("`{name}` stands here twice"));
            }
        }
    }
    for circle in circles(pipelines, &by_name) {
        let pipeline = by_name[circle[0]];
        let mut way = circle.clone();
        way.push(circle[0]);
        findings.push(Finding {
            pipeline: pipeline.name.clone(),
            at: pipeline.after_at,
            message: format!("these pipelines wait for each other: {}", way.join(" → ")),
            fatal: true,
        });
    }
    findings
}

/// The circles, each from the first of its pipelines in the file.
fn circles<'a>(pipelines: &'a [Pipeline], by_name: &HashMap<&str, &'a Pipeline>) -> Vec<Vec<&'a str>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        Open,
        Done,
    }
    let mut marks: HashMap<&str, Mark> = HashMap::new();
    let mut circles = Vec::new();
    for start in pipelines {
        if marks.contains_key(start.name.as_str()) {
            continue;
        }
        // Depth first, without recursion: a chain of pipelines may be long.
        let mut way: Vec<(&'a Pipeline, usize)> = vec![(start, 0)];
        marks.insert(&start.name, Mark::Open);
        while let Some((pipeline, next)) = way.last_mut() {
            let Some(name) = pipeline.after.get(*next) else {
                marks.insert(&pipeline.name, Mark::Done);
                way.pop();
                continue;
            };
            *next += 1;
            let Some(other) = by_name.get(name.as_str()).copied() else { continue };
            match marks.get(other.name.as_str()) {
                Some(Mark::Done) => {}
                Some(Mark::Open) => {
                    let from = way.iter().position(|(p, _)| p.name == other.name).unwrap_or(0);
                    circles.push(way[from..].iter().map(|(p, _)| p.name.as_str()).collect());
                }
                None => {
                    marks.insert(&other.name, Mark::Open);
                    way.push((other, 0));
                }
            }
        }
    }
    circles
}

/// The pipelines in an order in which each comes behind those that it waits for; else the file's order.
pub(super) fn in_order(pipelines: &[Pipeline]) -> Vec<&Pipeline> {
    let by_name: HashMap<&str, &Pipeline> = pipelines.iter().map(|p| (p.name.as_str(), p)).collect();
    let mut placed: std::collections::HashSet<&str> = std::collections::HashSet::new();
    let mut order = Vec::with_capacity(pipelines.len());
    for start in pipelines {
        let mut way: Vec<(&Pipeline, usize)> = vec![(start, 0)];
        while let Some((pipeline, next)) = way.last_mut() {
            if placed.contains(pipeline.name.as_str()) {
                way.pop();
                continue;
            }
            match pipeline.after.get(*next) {
                Some(name) => {
                    *next += 1;
                    // A checked file has no circles, so that this ends.
                    if let Some(other) =
                        by_name.get(name.as_str()).filter(|_| !placed.contains(name.as_str()))
                    {
                        way.push((other, 0));
                    }
                }
                None => {
                    placed.insert(&pipeline.name);
                    order.push(*pipeline);
                    way.pop();
                }
            }
        }
    }
    order
}
