//! Edits of the file, jobs added at run time, pauses: what survives what.

use std::time::Duration;

use engine::{ControlError, JobQuery, NewJob, Pipeline, Pipelines};
use jobstore::{JobState, Outcome, RunFilter};

use crate::world::{World, at, cron, every, same};

fn at_hour(world: &World, hour: u32) -> Pipeline {
    world.pipeline("books").scheduled(cron(&format!("0 {hour} * * *"), "UTC"))
}

async fn state(
    process: &crate::world::Process,
    id: &str,
) -> (JobState, Option<chrono::DateTime<chrono::Utc>>) {
    let job = process.handle.job(id).await.unwrap();
    (job.state, job.record.next_fire_at)
}

#[tokio::test(start_paused = true)]
async fn a_reload_registers_changes_and_removes_jobs_and_lets_chains_go_on() {
    let world = World::new("2026-01-01 08:50").await;
    world.script.takes("books", "30m");
    let other = || world.pipeline("other").scheduled(cron("0 10 * * *", "UTC"));
    let process = world.start([at_hour(&world, 9), other()]).await;
    world.until("2026-01-01 09:10").await;
    let third = world.pipeline("third").scheduled(every("1h"));
    let reloaded =
        process.handle.reload(Pipelines::new([at_hour(&world, 11), third]).unwrap()).await.unwrap();
    assert_eq!((reloaded.pipelines, reloaded.changes), (2, 3));
    world.until("2026-01-01 11:10").await;
    process.stop().await;
    same(
        &world.lines_of(&["registered", "removed", "reloaded", "fired", "finished"]),
        "
        2026-01-01 08:50:00 registered pipeline_books next 01-01T09:00:00
        2026-01-01 08:50:00 registered pipeline_other next 01-01T10:00:00
        2026-01-01 09:00:00 fired pipeline_books 01-01T09:00:00 schedule
        2026-01-01 09:10:00 registered pipeline_books next 01-01T11:00:00
        2026-01-01 09:10:00 registered pipeline_third next 01-01T10:10:00
        2026-01-01 09:10:00 removed pipeline_other
        2026-01-01 09:10:00 reloaded
        2026-01-01 09:30:00 finished pipeline_books 01-01T09:00:00 #1 succeeded
        2026-01-01 10:10:00 fired pipeline_third 01-01T10:10:00 schedule
        2026-01-01 10:10:00 finished pipeline_third 01-01T10:10:00 #1 succeeded
        2026-01-01 11:00:00 fired pipeline_books 01-01T11:00:00 schedule
        2026-01-01 11:10:00 fired pipeline_third 01-01T11:10:00 schedule
        2026-01-01 11:10:00 finished pipeline_third 01-01T11:10:00 #1 succeeded
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_overdue_when_the_schedule_has_changed_goes_through_the_misfire_policy_first() {
    let world = World::new("2026-01-01 08:50").await;
    world.start([at_hour(&world, 9)]).await.stop().await;
    world.until("2026-01-01 09:30").await;
    let process = world.start([at_hour(&world, 12)]).await;
    world.until("2026-01-01 12:30").await;
    process.stop().await;
    same(
        &world.lines_of(&["registered", "fired"]),
        "
        2026-01-01 08:50:00 registered pipeline_books next 01-01T09:00:00
        2026-01-01 09:30:00 fired pipeline_books 01-01T09:00:00 catch_up
        2026-01-01 09:30:00 registered pipeline_books next 01-01T12:00:00
        2026-01-01 12:00:00 fired pipeline_books 01-01T12:00:00 schedule
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn a_pause_survives_restarts_and_changes_of_the_schedule() {
    let world = World::new("2026-01-01 08:50").await;
    let process = world.start([at_hour(&world, 9)]).await;
    assert!(process.handle.pause_job("pipeline_books", Some("anna".into())).await.unwrap().changed);
    assert!(!process.handle.pause_job("pipeline_books", None).await.unwrap().changed);
    world.until("2026-01-02 08:00").await;
    process.stop().await;
    let process = world.start([at_hour(&world, 10)]).await;
    assert_eq!(state(&process, "pipeline_books").await.0, JobState::Paused);
    world.until("2026-01-02 11:00").await;
    assert!(process.handle.resume_job("pipeline_books", None).await.unwrap().changed);
    assert_eq!(
        state(&process, "pipeline_books").await,
        (JobState::Scheduled, Some(at("2026-01-03 10:00"))),
        "what fell into the pause is no fire"
    );
    world.until("2026-01-03 10:30").await;
    process.stop().await;
    same(
        &world.lines_of(&["fired", "missed", "paused", "resumed"]),
        "
        2026-01-01 08:50:00 paused pipeline_books
        2026-01-02 11:00:00 resumed pipeline_books next 01-03T10:00:00
        2026-01-03 10:00:00 fired pipeline_books 01-03T10:00:00 schedule
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_of_the_file_stays_removed_until_its_schedule_changes() {
    let world = World::new("2026-01-01 08:50").await;
    let process = world.start([at_hour(&world, 9)]).await;
    assert!(process.handle.remove_job("pipeline_books", Some("anna".into())).await.unwrap().changed);
    process.stop().await;
    let process = world.start([at_hour(&world, 9)]).await;
    assert!(process.handle.jobs(JobQuery::default()).await.unwrap().is_empty());
    let all = process.handle.jobs(JobQuery { all: true, ..JobQuery::default() }).await.unwrap();
    assert_eq!((all.len(), all[0].state), (1, JobState::Removed));
    world.until("2026-01-01 09:10").await;
    assert!(world.script.starts().is_empty());
    process.handle.reload(Pipelines::new([at_hour(&world, 10)]).unwrap()).await.unwrap();
    assert_eq!(state(&process, "pipeline_books").await, (JobState::Scheduled, Some(at("2026-01-01 10:00"))));
    process.handle.remove_job("pipeline_books", None).await.unwrap();
    process.handle.resume_job("pipeline_books", None).await.unwrap();
    assert_eq!(state(&process, "pipeline_books").await.0, JobState::Scheduled, "resume brings it back");
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_disabled_pipeline_keeps_its_job_and_does_not_fire() {
    let world = World::new("2026-01-01 08:50").await;
    let off = || Pipeline { enabled: false, ..at_hour(&world, 9) };
    world.start([at_hour(&world, 9)]).await.stop().await;
    let process = world.start([off()]).await;
    assert_eq!(state(&process, "pipeline_books").await.0, JobState::Disabled);
    let refused = process.handle.resume_job("pipeline_books", None).await.unwrap_err();
    assert!(refused.to_string().contains("not enabled"), "{refused}");
    world.until("2026-01-01 09:10").await;
    process.handle.run_now("books", None).await.expect("by hand it runs");
    world.settle().await;
    process.handle.reload(Pipelines::new([at_hour(&world, 9)]).unwrap()).await.unwrap();
    assert_eq!(state(&process, "pipeline_books").await, (JobState::Scheduled, Some(at("2026-01-02 09:00"))));
    process.stop().await;
    same(
        &world.lines_of(&["fired", "missed", "requested", "disabled", "resumed"]),
        "
        2026-01-01 08:50:00 disabled pipeline_books
        2026-01-01 09:10:00 requested books 01-01T09:10:00 manual
        2026-01-01 09:10:00 resumed pipeline_books next 01-02T09:00:00
        ",
    );
}

fn new_job(pipeline: &str, id: Option<&str>, schedule: schedule::Schedule) -> NewJob {
    NewJob { pipeline: pipeline.into(), id: id.map(Into::into), schedule, requested_by: Some("anna".into()) }
}

#[tokio::test(start_paused = true)]
async fn jobs_added_at_run_time_survive_restarts_and_are_replaced_by_their_id() {
    let world = World::new("2026-01-01 08:50").await;
    let process = world.start([at_hour(&world, 9)]).await;
    let added = process.handle.add_job(new_job("books", None, every("20m"))).await.unwrap();
    assert_eq!((added.id.as_str(), added.replaced), ("pipeline_books_manual", false));
    assert_eq!(added.next_fire_at, Some(at("2026-01-01 09:10")));
    process.stop().await;
    let process = world.start([at_hour(&world, 9)]).await;
    world.until("2026-01-01 09:15").await;
    let again = process.handle.add_job(new_job("books", None, every("1h"))).await.unwrap();
    assert!(again.replaced);
    assert_eq!(again.next_fire_at, Some(at("2026-01-01 10:15")), "an interval counts from now");
    let config = process.handle.add_job(new_job("books", Some("pipeline_books"), every("1h"))).await;
    assert!(matches!(config, Err(ControlError::ConfigJob(_))), "{config:?}");
    let unknown = process.handle.add_job(new_job("boks", None, every("1h"))).await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no pipeline named 'boks': did you mean 'books'?");
    process.handle.remove_job("pipeline_books_manual", Some("anna".into())).await.unwrap();
    world.until("2026-01-01 11:00").await;
    process.stop().await;
    same(
        &world.lines_of(&["fired", "added", "removed"]),
        "
        2026-01-01 08:50:00 added pipeline_books_manual next 01-01T09:10:00
        2026-01-01 09:00:00 fired pipeline_books 01-01T09:00:00 schedule
        2026-01-01 09:10:00 fired pipeline_books_manual 01-01T09:10:00 schedule
        2026-01-01 09:15:00 added pipeline_books_manual next 01-01T10:15:00
        2026-01-01 09:15:00 removed pipeline_books_manual
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_pipeline_no_file_has_is_orphaned_and_comes_back_with_it() {
    let world = World::new("2026-01-01 08:50").await;
    let other = || world.pipeline("other").scheduled(cron("0 0 1 1 *", "UTC"));
    let process = world.start([at_hour(&world, 9), other()]).await;
    process.handle.add_job(new_job("books", Some("extra"), every("1h"))).await.unwrap();
    process.stop().await;
    world.lines();
    let process = world.start([other()]).await;
    assert_eq!(state(&process, "extra").await.0, JobState::Orphaned);
    world.until("2026-01-01 11:00").await;
    assert!(world.script.starts().is_empty(), "it is not run");
    assert!(world.lines().iter().any(|line| line.contains(" orphaned")), "it is reported");
    process.handle.reload(Pipelines::new([at_hour(&world, 9), other()]).unwrap()).await.unwrap();
    assert_eq!(state(&process, "extra").await.0, JobState::Scheduled);
    world.until("2026-01-01 11:45").await;
    process.stop().await;
    same(
        &world.lines_of(&["fired", "missed"]),
        "
        2026-01-01 11:00:00 missed extra 01-01T09:50:00 ×1 01-01T09:50:00–01-01T09:50:00
        2026-01-01 11:00:00 fired extra 01-01T10:50:00 catch_up
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn pipelines_without_schedule_run_once_at_each_start_and_not_at_a_reload() {
    let world = World::new("2026-01-01 08:50").await;
    let pipelines = || [world.pipeline("once"), at_hour(&world, 9)];
    for _ in 0..2 {
        let process = world.start(pipelines()).await;
        world.clock_on("1m").await;
        process.handle.reload(Pipelines::new(pipelines()).unwrap()).await.unwrap();
        world.clock_on("1m").await;
        process.stop().await;
    }
    same(
        &world.lines_of(&["requested", "finished"]),
        "
        2026-01-01 08:50:00 requested once 01-01T08:50:00 startup
        2026-01-01 08:50:00 finished once 01-01T08:50:00 #1 succeeded
        2026-01-01 08:52:00 requested once 01-01T08:52:00 startup
        2026-01-01 08:52:00 finished once 01-01T08:52:00 #1 succeeded
        ",
    );
    // The overlap holds over all schedulers.
    world.script.takes("once", "10m");
    let one = world.start(pipelines()).await;
    let other = world.start(pipelines()).await;
    assert_eq!(world.lines_of(&["skipped"]).len(), 1);
    one.kill().await;
    other.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_with_after_runs_when_all_that_it_waits_for_have_succeeded() {
    let world = World::new("2026-01-01 08:50").await;
    let report = Pipeline { after: vec!["a".into(), "b".into()], ..world.pipeline("report") };
    let a = world.pipeline("a").scheduled(cron("0 * * * *", "UTC"));
    let b = world.pipeline("b").scheduled(cron("30 */2 * * *", "UTC"));
    let process = world.start([a, b, report]).await;
    world.script.fails("b", 1);
    world.until("2026-01-01 13:50").await;
    process.stop().await;
    let starts = world.script.starts().into_iter().filter(|start| start.pipeline == "report");
    let starts: Vec<_> = starts.map(|start| start.at.format("%H:%M").to_string()).collect();
    // b fails at 10:30 and succeeds at 12:30; a succeeds each hour.
    assert_eq!(starts, ["12:30"]);
}

#[tokio::test(start_paused = true)]
async fn history_is_kept_as_long_as_said() {
    let mut world = World::new("2026-01-01 08:50").await;
    world.settings.keep_runs = Some(5);
    world.settings.keep_age = Some(Duration::from_secs(7_200));
    let process = world
        .start([
            world.pipeline("often").scheduled(cron("* * * * *", "UTC")),
            world.pipeline("seldom").scheduled(cron("0 * * * *", "UTC")),
        ])
        .await;
    world.until("2026-01-01 12:45").await;
    let runs = process.handle.runs(RunFilter::default()).await.unwrap();
    let of = |name: &str| runs.iter().filter(|run| run.record.pipeline == name).count();
    // What was left by the last look, at most ten minutes ago, and what has come since.
    assert!((5..=15).contains(&of("often")), "{}", of("often"));
    assert_eq!(of("seldom"), 2, "those of the last two hours");
    assert!(runs.iter().all(|run| run.record.outcome == Some(Outcome::Succeeded)));
    process.stop().await;
}
