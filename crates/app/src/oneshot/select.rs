//! Which pipelines run, and how they are listed.

use pipeline_core::config::{Pipeline, PipelinesFile};
use schedule::Zone;

/// The named pipelines, or all that are enabled, each behind those that it waits for.
///
/// # Errors
/// A message for each name that is not in the file.
pub fn select<'a>(file: &'a PipelinesFile, names: &[String]) -> Result<Vec<&'a Pipeline>, Vec<String>> {
    let unknown: Vec<String> = names
        .iter()
        .filter(|name| file.get(name).is_none())
        .map(|name| match file.suggest(name) {
            Some(near) => format!("{}: there is no pipeline `{name}`, did you mean `{near}`?", file.name),
            None => {
                let known: Vec<String> =
                    file.pipelines.iter().map(|pipeline| format!("`{}`", pipeline.name)).collect();
                format!("{}: there is no pipeline `{name}` (there are {})", file.name, known.join(", "))
            }
        })
        .collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let wanted = |pipeline: &&Pipeline| match names {
        [] => pipeline.enabled,
        names => names.contains(&pipeline.name),
    };
    Ok(file.in_order().into_iter().filter(wanted).collect())
}

/// Name, schedule and stages of a pipeline.
pub fn list_row(pipeline: &Pipeline, zone: Zone) -> [String; 3] {
    let when = match crate::schedule_of(pipeline, zone) {
        Ok(Some(schedule)) if schedule.trigger().kind() == "manual" => "manual".to_owned(),
        Ok(Some(schedule)) => format!("{} ({})", schedule.trigger(), schedule.zone()),
        Ok(None) if !pipeline.after.is_empty() => format!("after: {}", pipeline.after.join(", ")),
        // A checked file has no other case.
        Ok(None) | Err(_) => "no schedule".to_owned(),
    };
    let when = if pipeline.enabled { when } else { format!("{when}, disabled") };
    let stages: Vec<&str> = pipeline.chain.iter().map(|stage| stage.class.as_str()).collect();
    [pipeline.name.clone(), when, stages.join(" → ")]
}
