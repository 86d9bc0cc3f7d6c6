//! Whatever Discord does, the schedule is kept, and the scheduler stops in time.

use chrono::{DateTime, TimeDelta, Utc};
use mock_discord::{Fault, LimitShape, MockDiscord, Push, Rule};
use serde_json::Value;

use crate::support::{LONG, TOKEN, World, stop};
use crate::world::{runs, shell, until};

/// Discord's own patience is far longer, and so is ours with it.
const LATENESS: TimeDelta = TimeDelta::seconds(5);

/// A pipeline fires each second while Discord behaves like this.
async fn keeps_time(behave: impl FnOnce(&MockDiscord)) -> World {
    let world = World::new(&[shell("often", "interval: 1s", "true", "")]).await;
    behave(&world.mock);
    let running = world.start();
    check(&world);
    stop(running);
    world
}

/// It goes on firing, without a gap, in time.
fn check(world: &World) {
    let before = fires(world).len();
    until("it has fired five times more", || (fires(world).len() >= before + 5).then_some(()));
    let fires = fires(world);
    let at = |run: &Value, key: &str| run[key].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    for (run, next) in fires.iter().zip(&fires[1..]) {
        assert_eq!(at(next, "scheduled_for") - at(run, "scheduled_for"), TimeDelta::seconds(1), "{fires:?}");
    }
    for run in &fires {
        assert!(at(run, "started_at") - at(run, "scheduled_for") < LATENESS, "{run}");
    }
}

fn fires(world: &World) -> Vec<Value> {
    let done = |run: &Value| run["outcome"] == "succeeded";
    runs(&world.program).into_iter().filter(done).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_says_nothing() {
    let world = keeps_time(|mock| mock.behave(|behaviour| behaviour.hello = false)).await;
    assert!(!world.mock.connections().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_never_gets_ready() {
    let world = keeps_time(|mock| mock.behave(|behaviour| behaviour.ready = false)).await;
    assert!(world.mock.connections().iter().any(|connection| connection.sent(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_discord_does_not_know() {
    let world = keeps_time(|mock| mock.set_token("another")).await;
    let identified = world.mock.connections().iter().filter(|connection| connection.sent(2)).count();
    assert_eq!(identified, 1, "a refused token is not shown again and again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rest_interface_that_hangs() {
    let world = keeps_time(|mock| mock.fault(Rule::on("*", "**", Fault::Hang))).await;
    assert!(world.mock.count("*", "**") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals() {
    keeps_time(|mock| mock.fault(Rule::on("*", "**", Fault::RateLimit(LimitShape::Global, 30.0)))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_all() {
    keeps_time(MockDiscord::stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_lies() {
    let world = World::new(&[shell("often", "interval: 1s", "true", "")]).await;
    let running = world.connected().await;
    let lies = [
        Push::Text("{\"op\": \"ten\"".to_owned()),
        Push::Dispatch("INTERACTION_CREATE".to_owned(), serde_json::json!({"id": 7, "type": "command"})),
        Push::Binary(vec![0xff; 64]),
        Push::InvalidSession(false),
    ];
    for lie in lies {
        // It may be on its way back from the one before.
        assert!(world.mock.ready(LONG).await, "it connects again");
        world.mock.push(lie);
    }
    check(&world);
    let ended = stop(running);
    assert!(!ended.stderr.contains(TOKEN) && !ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_there_is_no_discord() {
    let world = World::without_token(&[shell("often", "interval: 1s", "true", "")]).await;
    let running = world.start();
    check(&world);
    let ended = stop(running);
    assert!(!ended.stderr.to_lowercase().contains("discord"), "{}", ended.stderr);
    assert_eq!((world.mock.count("*", "**"), world.mock.connections().len()), (0, 0));
    let files = world.program.files();
    assert!(!files.iter().any(|file| file.contains("alerts")), "{files:?}");
}
