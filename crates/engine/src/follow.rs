//! Pipelines with `after`: they run when all that they wait for has succeeded since they ran last.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use jobstore::{Outcome, Reason, RunFilter, RunId, RunRecord, RunRequest};

use crate::error::ControlError;
use crate::event::EventKind;
use crate::pipeline::Pipeline;
use crate::shared::Shared;

/// Queues a run of each of these pipelines that is due. At the start only those that have run before are looked at:
/// a pipeline that is new in the file waits for the next success, whatever there was before.
pub(crate) async fn start_due(
    shared: &Shared,
    followers: &[Arc<Pipeline>],
    at_start: bool,
) -> Result<(), ControlError> {
    for pipeline in followers {
        let last = newest(shared, &pipeline.name, None).await?;
        if at_start && last.is_none() {
            continue;
        }
        let mut successes = Vec::with_capacity(pipeline.after.len());
        for name in &pipeline.after {
            successes.push(newest(shared, name, Some(Outcome::Succeeded)).await?);
        }
        let finished = successes.iter().map(|run| run.as_ref().and_then(|run| run.finished_at));
        if is_due(last.map(|run| run.id.created_at()), finished) {
            let ids: Vec<RunId> = successes.iter().flatten().map(|run| run.id).collect();
            start(shared, pipeline, &ids).await?;
        }
    }
    Ok(())
}

/// Whether all have succeeded after this pipeline's last run was asked for.
fn is_due(last: Option<DateTime<Utc>>, mut successes: impl Iterator<Item = Option<DateTime<Utc>>>) -> bool {
    successes.all(|success| success.is_some_and(|success| last.is_none_or(|last| success > last)))
}

async fn newest(
    shared: &Shared,
    pipeline: &str,
    outcome: Option<Outcome>,
) -> Result<Option<RunRecord>, ControlError> {
    let filter = RunFilter {
        pipeline: Some(pipeline.to_owned()),
        outcomes: outcome.into_iter().collect(),
        limit: 1,
        ..RunFilter::default()
    };
    Ok(shared.control.store().runs(filter).await?.into_iter().next())
}

async fn start(shared: &Shared, pipeline: &Pipeline, successes: &[RunId]) -> Result<(), ControlError> {
    let now = shared.control.clock().now();
    let request = RunRequest {
        id: run_id(&pipeline.name, successes, now),
        pipeline: pipeline.name.to_string(),
        job_id: None,
        reason: Reason::Schedule,
        available_at: now,
        policy: pipeline.run_policy(),
        requested_by: Some(format!("after {}", pipeline.after.join(", "))),
    };
    let by = request.requested_by.clone();
    match shared.control.request(request).await {
        Ok(queued) => {
            shared.emit(EventKind::Requested { run: queued.run, by });
            Ok(())
        }
        Err(ControlError::AlreadyRunning { runs, .. }) => {
            tracing::info!(
                "pipeline '{}' was not started after {}: it is already running ({} runs)",
                pipeline.name,
                pipeline.after.join(", "),
                runs.len()
            );
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The id of the run that follows these successes: always the same, so that two schedulers which see them at the same
/// time ask for one run.
fn run_id(pipeline: &str, successes: &[RunId], now: DateTime<Utc>) -> RunId {
    let newest = successes.iter().map(RunId::created_at).max().unwrap_or(now);
    let mut hash = [0xcbf2_9ce4_8422_2325_u64, 0x9e37_79b9_7f4a_7c15];
    let ids: Vec<String> = successes.iter().map(RunId::to_string).collect();
    for byte in pipeline.bytes().chain([0xff]).chain(ids.iter().flat_map(|id| id.bytes())) {
        for part in &mut hash {
            *part = (*part ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    // The layout of a UUID of version 7: milliseconds, version, variant, and the hash for the rest.
    let millis = u128::from(u64::try_from(newest.timestamp_millis()).unwrap_or(0) & ((1 << 48) - 1));
    let high = u128::from(hash[0] & 0xfff);
    let low = u128::from(hash[1] & ((1 << 62) - 1));
    let bits = (millis << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low;
    format!("{bits:032x}").parse().unwrap_or_else(|_| RunId::generate(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
    }

    #[test]
    fn a_follower_is_due_when_all_have_succeeded_since_it_ran() {
        // (its last run, the last successes of the others, due)
        type Case<'a> = (Option<i64>, &'a [Option<i64>], bool);
        let cases: [Case<'_>; 6] = [
            (None, &[Some(1)], true),
            (None, &[Some(1), None], false),
            (Some(5), &[Some(6), Some(7)], true),
            (Some(5), &[Some(6), Some(4)], false),
            (Some(5), &[Some(5)], false),
            (Some(5), &[None], false),
        ];
        for (last, successes, due) in cases {
            let found = is_due(last.map(at), successes.iter().map(|success| success.map(at)));
            assert_eq!(found, due, "{last:?} {successes:?}");
        }
    }

    #[test]
    fn the_same_successes_give_the_same_run() {
        let a = RunId::generate(at(1));
        let b = RunId::generate(at(2));
        let run = run_id("report", &[a, b], at(3));
        assert_eq!(run, run_id("report", &[a, b], at(99)));
        assert_ne!(run, run_id("other", &[a, b], at(3)));
        assert_ne!(run, run_id("report", &[a, RunId::generate(at(2))], at(3)));
        assert_eq!(run.created_at(), at(2));
    }
}
