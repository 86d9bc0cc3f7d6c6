//! Suggestions while somebody types: at most 25, those that begin with the text first.

use serde_json::{Value, json};

use super::control::Snapshot;
use super::custom_id::{MAX, Reference};
use super::event::Choice;
use crate::text::{cut, line};

/// Discord shows no more.
const SHOWN: usize = 25;

/// The response to an autocomplete interaction.
pub(crate) fn response(choices: Vec<Value>) -> Value {
    json!({"type": 8, "data": {"choices": choices}})
}

/// Suggestions for the focused option.
pub(crate) fn suggest(snapshot: &Snapshot, options: &[Choice]) -> Vec<Value> {
    let Some(focused) = options.iter().find(|o| o.focused) else { return Vec::new() };
    match focused.name.as_str() {
        "pipeline_name" => {
            let names = snapshot.pipelines.iter().map(|p| (p.name.as_str(), p.name.clone()));
            rank(names, &focused.value)
        }
        "job_id" => {
            let jobs = snapshot.jobs.iter().map(|job| {
                let next = match job.next_fire_at {
                    Some(at) => at.format("%Y-%m-%d %H:%M UTC").to_string(),
                    None => job.state.clone(),
                };
                (job.id.as_str(), format!("{} · {next}", job.id))
            });
            rank(jobs, &focused.value)
        }
        "run_id" => {
            let runs = snapshot.active.iter().map(|run| {
                (
                    run.id.as_str(),
                    format!("{} · {} · {}", run.id, run.pipeline, run.since.format("%H:%M UTC")),
                )
            });
            rank(runs, &focused.value)
        }
        _ => Vec::new(),
    }
}

fn rank<'a>(candidates: impl Iterator<Item = (&'a str, String)>, typed: &str) -> Vec<Value> {
    let typed = typed.trim().to_lowercase();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (value, label) in candidates {
        let low = label.to_lowercase();
        if low.starts_with(&typed) {
            first.push((value, label));
            if first.len() == SHOWN {
                break;
            }
        } else if second.len() < SHOWN && low.contains(&typed) {
            second.push((value, label));
        }
    }
    let chosen = first.into_iter().chain(second).take(SHOWN);
    chosen
        .filter_map(|(value, label)| {
            let name = line(&label);
            let name = cut(name.trim(), MAX);
            // An empty label is refused by Discord, and with it all the others.
            (!name.is_empty()).then(|| json!({"name": name, "value": Reference::new(value, MAX).to_string()}))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bot::control::PipelineInfo;

    fn names(snapshot: &Snapshot, typed: &str) -> Vec<String> {
        let options = [Choice { name: "pipeline_name".into(), value: typed.into(), focused: true }];
        suggest(snapshot, &options).iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn prefix_before_substring_and_never_too_many() {
        let pipeline = |name: &str| PipelineInfo { name: name.into(), ..PipelineInfo::default() };
        let mut snapshot = Snapshot {
            pipelines: ["all-news", "News", "newts", "old"].map(pipeline).into(),
            ..Snapshot::default()
        };
        assert_eq!(names(&snapshot, "new"), ["News", "newts", "all-news"]);
        assert_eq!(names(&snapshot, "zzz"), Vec::<String>::new());
        snapshot.pipelines = (0..1000).map(|i| pipeline(&format!("{}{i}", "😀".repeat(60)))).collect();
        let suggested = names(&snapshot, "");
        assert_eq!(suggested.len(), 25);
        assert!(suggested.iter().all(|n| crate::text::length(n) <= 100));
    }
}
