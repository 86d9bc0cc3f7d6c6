//! The bot steers the scheduler.

use std::time::Duration;

use mock_discord::{Captured, Interaction};
use pipeline_core::Stopwatch;
use serde_json::{Value, json};

use crate::support::{LONG, World, stop};
use crate::world::{json, lines, runs, shell};

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_run_scheduled_and_unscheduled_from_discord() {
    let say = shell("say", "manual: true", "echo hello >> said; echo []", "");
    let world = World::new(&[say]).await;
    let running = world.connected().await;
    let put = |log: &[Captured]| log.iter().find(|r| r.method == "PUT" && r.status == Some(200)).cloned();
    let registered = world.mock.requests_until(LONG, put).await.unwrap();
    let names: Vec<&Value> =
        registered.body.as_array().unwrap().iter().map(|command| &command["name"]).collect();
    assert!(
        ["run", "schedule", "jobs", "remove", "pipelines"].iter().all(|name| names.contains(&&json!(name)))
    );

    // Whoever may not is told so, and nothing happens.
    let run = || Interaction::command("run", &[("pipeline_name", "say")]);
    let (_, refusal) = world.acknowledged(run().permissions(0)).await;
    assert!(refusal.ephemeral() && refusal.content().contains("Only administrators"), "{refusal:?}");

    let (ticket, ack) = world.acknowledged(run()).await;
    assert_eq!((ack.kind, ack.ephemeral()), (5, false));
    let message = world.shows(&ticket, "succeeded").await;
    let found = runs(&world.program);
    assert_eq!((found.len(), lines(&world.program, "said").len()), (1, 1));
    assert!(message.text().contains(found[0]["id"].as_str().unwrap()), "{message:?}");
    assert_eq!(found[0]["requested_by"], "discord:alice (3)");

    let cron = |cron: &str| Interaction::command("schedule", &[("pipeline_name", "say"), ("cron", cron)]);
    let (_, refusal) = world.acknowledged(cron("60 * * * *")).await;
    assert!(refusal.ephemeral() && refusal.content().contains("60"), "{refusal:?}");
    let (ticket, _) = world.acknowledged(cron("0 6 * * *")).await;
    let message = world.shows(&ticket, "pipeline_say_manual").await;
    let job = json(&world.program, &["jobs", "show", "pipeline_say_manual"]);
    let next = job["next_fire_at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert!(message.content().contains(&format!("<t:{}:", next.timestamp())), "{message:?}");
    assert!(message.content().matches("<t:").count() >= 3, "the next three: {message:?}");
    assert_eq!(job["requested_by"], "discord:alice (3)");

    let remove = Interaction::command("remove", &[("job_id", "pipeline_say_manual")]);
    let (ticket, ack) = world.acknowledged(remove).await;
    assert!(ack.ephemeral(), "{ack:?}");
    let question = world.mock.original(&ticket).unwrap();
    let ids = || -> Vec<String> {
        let jobs = json(&world.program, &["jobs", "list"]);
        jobs.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    assert!(ids().contains(&"pipeline_say_manual".to_owned()), "only a click removes it");
    let button = question.buttons().into_iter().find(|(_, label)| label == "Remove").unwrap().0;
    let (ticket, _) = world.acknowledged(Interaction::click(&button, question.id)).await;
    world.shows(&ticket, "is removed").await;
    assert!(!ids().contains(&"pipeline_say_manual".to_owned()));

    assert_eq!(world.mock.count("PUT", "**"), 1, "registered once");
    stop(running);
    assert_eq!(runs(&world.program).len(), 1, "nothing else has run");
    let closed = world.mock.connections()[0].closed_by_client;
    assert_eq!(closed, Some(1000), "it said goodbye");
}

/// What is changed on the command line is noticed within a second, and some more on a busy machine.
const NOTICED: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_notices_what_is_changed_on_the_command_line() {
    let world = World::new(&[
        shell("say", "manual: true", "true", ""),
        shell("slow", "manual: true", "sleep 60", ""),
    ])
    .await;
    let running = world.connected().await;
    // The bot suggests only what it knows.
    let suggests = async |command: &str, option: &str, wanted: &str| {
        let watch = Stopwatch::start();
        loop {
            let typed = Interaction::autocomplete(command, &[(option, wanted)]);
            let (_, answer) = world.acknowledged(typed).await;
            let found = serde_json::to_string(&answer.data).unwrap().contains(wanted);
            if found || watch.elapsed() > LONG {
                assert!(watch.elapsed() < NOTICED, "/{command} knows {wanted} after {:?}", watch.elapsed());
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    for round in 0..3 {
        let id = format!("fresh{round}");
        world.program.run(&["jobs", "add", "say", "--cron", "0 6 * * *", "--id", &id]).expect(0);
        suggests("pause", "job_id", &id).await;
    }
    let run = world.program.run(&["jobs", "run", "slow"]).expect(0).stdout.trim().to_owned();
    suggests("cancel", "run_id", &run).await;
    world.program.run(&["runs", "cancel", &run]).expect(0);
    stop(running);
}
