//! Messages that were given up on: who shows them, and who brings them back.

use mock_discord::{Fault, Rule};
use serde_json::json;

use crate::support::{World, news, stop};
use crate::world::{json, until};

fn forbid(world: &World) {
    let body = json!({"message": "Missing Access", "code": 50001});
    world.mock.fault(Rule::on("POST", "/channels/**", Fault::Status(403, body)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_are_named_by_their_run_and_come_back_when_somebody_asks() {
    let world = World::new(&[news("news", "", "channel_id: 77", "")]).await;
    world.program.write("items", "[{\"n\": 1}, {\"n\": 2}]");
    forbid(&world);
    let running = world.connected().await;
    let id = world.run("news", 0);
    until("they are given up on", || {
        let messages = world.waiting();
        (messages.len() == 2 && messages.iter().all(|message| message["state"] == "dead")).then_some(())
    });
    let shown = json(&world.program, &["runs", "show", &id]);
    assert_eq!(shown["outcome"], "succeeded", "a sink never fails a run: {shown}");
    for message in shown["messages"].as_array().unwrap() {
        assert_eq!((&message["state"], &message["run_id"]), (&json!("dead"), &json!(id)));
        assert!(message["error"].as_str().unwrap().contains("403"), "{message}");
    }
    let text = world.program.run(&["runs", "show", &id]).expect(0).stdout;
    assert!(text.lines().any(|line| line.starts_with("message") && line.contains("dead")), "{text}");
    let table = world.program.run(&["outbox", "list", "--state", "dead"]).expect(0).stdout;
    assert!(table.contains("channel:77") && table.contains("3-DiscordSink"), "{table}");

    world.mock.heal();
    let retried = world.program.run(&["outbox", "retry", "--dead"]).expect(0).stdout;
    assert!(retried.contains("2 messages"), "{retried}");
    assert_eq!(world.told(77, 2).await, [1, 2]);
    until("nothing is left", || world.waiting().is_empty().then_some(()));

    forbid(&world);
    world.run("news", 0);
    until("they are given up on", || {
        world.waiting().iter().any(|message| message["state"] == "dead").then_some(())
    });
    world.program.run(&["outbox", "purge", "--all"]).expect(0);
    assert!(world.waiting().is_empty());
    stop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_must_tell_fails_without_and_waits_for_it() {
    let world = World::new(&[news("must", "", "channel_id: 77, required: true", "")]).await;
    world.program.write("items", "[{\"n\": 1}]");
    let running = world.connected().await;
    world.run("must", 0);
    assert_eq!(world.told(77, 1).await, [1], "it was told before the run ended");
    forbid(&world);
    let id = world.run("must", 1);
    let run = json(&world.program, &["runs", "show", &id]);
    assert!(run["error"].as_str().unwrap().contains("given up on"), "{run}");
    assert!(world.waiting().is_empty(), "the next attempt would make it again");
    stop(running);
}
