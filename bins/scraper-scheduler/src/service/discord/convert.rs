//! From the engine's words to the bot's.

use ::discord::bot::{ControlError, CronPreview, JobInfo, PipelineInfo, RunInfo, RunOutcome, RunStage};
use chrono::{DateTime, Utc};
use engine::{JobView, Pipeline, RunView};
use jobstore::{JobSource, Outcome, RunRecord};
use pipeline_core::StageReport;
use pipeline_core::config::Overlap;
use schedule::Schedule;

pub(super) fn error(error: engine::ControlError) -> ControlError {
    use engine::ControlError as E;
    match error {
        E::UnknownPipeline { .. } | E::UnknownJob { .. } | E::UnknownTarget { .. } | E::UnknownRun(_) => {
            ControlError::NotFound(error.to_string())
        }
        E::Store(_) | E::Reload(_) => ControlError::internal(error),
        _ => ControlError::Refused(error.to_string()),
    }
}

pub(super) fn outcome(outcome: Outcome) -> RunOutcome {
    match outcome {
        Outcome::Succeeded => RunOutcome::Succeeded,
        Outcome::Failed => RunOutcome::Failed,
        Outcome::TimedOut => RunOutcome::TimedOut,
        Outcome::Cancelled => RunOutcome::Cancelled,
        Outcome::Skipped => RunOutcome::Skipped,
        Outcome::Missed => RunOutcome::Missed,
        Outcome::Abandoned => RunOutcome::Abandoned,
    }
}

pub(super) fn pipeline(pipeline: &Pipeline) -> PipelineInfo {
    let words = |schedule: &Schedule| format!("{} ({})", schedule.describe(), schedule.zone());
    PipelineInfo {
        name: pipeline.name.to_string(),
        description: pipeline.description.clone(),
        enabled: pipeline.enabled,
        stages: pipeline.stages.clone(),
        schedules: pipeline.schedule.iter().map(words).collect(),
        exclusive: pipeline.overlap == Overlap::Skip,
    }
}

pub(super) fn job(job: &JobView) -> JobInfo {
    let record = &job.record;
    JobInfo {
        id: record.id.to_string(),
        pipeline: record.pipeline.clone(),
        trigger: record.trigger.clone(),
        timezone: record.timezone.clone(),
        next_fire_at: record.next_fire_at,
        state: job.state.to_string(),
        from_file: record.source == JobSource::Config,
        last_outcome: job.last.as_ref().and_then(|run| run.outcome).map(outcome),
    }
}

pub(super) fn run(run: &RunView) -> RunInfo {
    let record = &run.record;
    RunInfo {
        id: record.id.to_string(),
        pipeline: record.pipeline.clone(),
        reason: record.reason.to_string(),
        scheduled_for: record.scheduled_for,
        outcome: record.outcome.map(outcome),
        duration: duration(record),
        error: record.error.clone(),
        count: record.count.and_then(|count| u64::try_from(count).ok()).unwrap_or(1),
    }
}

pub(super) fn duration(record: &RunRecord) -> Option<std::time::Duration> {
    (record.finished_at? - record.started_at?).to_std().ok()
}

pub(super) fn stages(stages: &[StageReport]) -> Vec<RunStage> {
    let stage = |stage: &StageReport| RunStage {
        class: stage.class.clone(),
        items_in: stage.items_in,
        items_out: stage.items_out,
        errors: stage.errors,
    };
    stages.iter().map(stage).collect()
}

pub(super) fn stored_stages(record: &RunRecord) -> Vec<RunStage> {
    let reports: Option<Vec<StageReport>> =
        record.stages.as_deref().and_then(|text| serde_json::from_str(text).ok());
    stages(&reports.unwrap_or_default())
}

/// A cron expression in words, with its next fires.
pub(super) fn preview(schedule: &Schedule, now: DateTime<Utc>) -> CronPreview {
    let explained = schedule::explain(schedule, now, 3);
    CronPreview {
        english: explained.description,
        timezone: schedule.zone().name().to_owned(),
        next: explained.fires.iter().map(|fire| fire.at).collect(),
        warnings: explained.warnings.into_iter().map(|warning| warning.message).collect(),
    }
}
