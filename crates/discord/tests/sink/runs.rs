//! A run and its messages: they leave with its success, and it never fails for them unless it must.

use std::time::Duration;

use mock_discord::{Fault, Rule};
use pipeline_core::RunOutcome;
use serde_json::json;

use crate::support::{Items, LONG, World, channel, numbered};

fn failing(count: usize) -> Items {
    Items { items: numbered(count, 1), fails: true }
}

#[tokio::test]
async fn a_failed_run_tells_nothing() {
    let world = World::new().await;
    let report = world.attempt(channel(1), failing(2), None).await;
    assert_eq!(report.outcome, RunOutcome::Failed);
    let report = world.run(channel(1), numbered(1, 1)).await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    world.empty().await;
    assert_eq!(world.mock.sent().len(), 1);
    assert_eq!(world.mock.sent()[0].content().matches("New item").count(), 1);
}

#[tokio::test]
async fn an_endless_stream_tells_at_once() {
    let world = World::new().await;
    let report = world.attempt(json!({"channel_id": 1, "when": "immediately"}), failing(2), None).await;
    assert_eq!(report.outcome, RunOutcome::Failed);
    world.empty().await;
    assert_eq!(world.mock.sent()[0].content().matches("New item").count(), 2);
}

#[tokio::test]
async fn topics_choose_what_is_told() {
    let world = World::new().await;
    world.run(json!({"channel_id": 1, "topics": ["other"]}), numbered(3, 1)).await;
    world.run(json!({"channel_id": 1, "topics": ["shop.book"]}), numbered(1, 1)).await;
    world.empty().await;
    assert_eq!(world.mock.sent()[0].content().matches("New item").count(), 1);
}

#[tokio::test]
async fn discord_in_trouble_fails_no_run() {
    let world = World::new().await;
    world.mock.fault(Rule::on(
        "POST",
        "/channels/**",
        Fault::Status(403, json!({"code": 50013, "message": "Missing Permissions"})),
    ));
    let report = world.run(channel(1), numbered(3, 1)).await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    world.mock.fault(Rule::on("POST", "/channels/**", Fault::Hang));
    let report = world.run(channel(2), numbered(3, 1)).await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
}

#[tokio::test]
async fn a_required_delivery_is_waited_for() {
    let required = json!({"channel_id": 1, "required": true});
    let world = World::new().await;
    world.mock.fault(Rule::on("POST", "/channels/**", Fault::Html(503)).times(1));
    let report = world.run(required.clone(), numbered(30, 1)).await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    assert!(!world.mock.sent().is_empty(), "the run ends after its delivery");
    // A run that fails elsewhere has told nothing.
    let before = world.mock.sent().len();
    world.attempt(required.clone(), failing(2), None).await;
    // One that is refused fails, and says why.
    world.mock.fault(
        Rule::on(
            "POST",
            "/channels/**",
            Fault::Status(404, json!({"code": 10003, "message": "Unknown Channel"})),
        )
        .times(1),
    );
    let report = world.run(required.clone(), numbered(1, 1)).await;
    assert_eq!(report.outcome, RunOutcome::Failed);
    assert!(format!("{:?}", report.error).contains("Unknown Channel"), "{:?}", report.error);
    // One that takes too long is taken back.
    world.mock.fault(Rule::on("POST", "/channels/**", Fault::Html(503)));
    let items = Items { items: numbered(1, 1), fails: false };
    let report = world.attempt(required, items, Some(Duration::from_millis(500))).await;
    assert_eq!(report.outcome, RunOutcome::TimedOut);
    world.empty().await;
    assert_eq!(world.mock.sent().len(), before);
}

#[tokio::test]
async fn without_a_token_messages_wait_and_a_required_sink_fails() {
    let world = World::with(mock_discord::MockConfig::default(), None).await;
    let report = world.run(channel(1), numbered(1, 1)).await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    let report = world.run(json!({"channel_id": 1, "required": true}), numbered(1, 1)).await;
    assert!(format!("{:?}", report.error).contains("DISCORD_TOKEN"), "{:?}", report.error);
    assert_eq!((world.outbox.counts().waiting, world.mock.requests().len()), (1, 0));
    tokio::time::timeout(LONG, world.stop()).await.unwrap();
}
