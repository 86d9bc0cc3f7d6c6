//! The service with a Discord beside it: the bot steers it, sinks tell their news, channels are told of failures.

use std::net::TcpListener;
use std::time::Duration;

use mock_discord::{Interaction, MockConfig, MockDiscord};
use serde_json::Value;
use test_support::process::{Program, Running};

use crate::world::{json, lines, program, shell, until};

/// Long enough for a loaded machine; nothing that works waits for it.
const LONG: Duration = Duration::from_secs(40);

async fn mock() -> MockDiscord {
    MockDiscord::start(MockConfig::default()).await.unwrap()
}

fn with_discord(program: Program, mock: &MockDiscord) -> Program {
    program
        .variable("DISCORD_TOKEN", "mock-token")
        .variable("DISCORD_API_BASE", mock.api_base())
        .variable("DISCORD_GATEWAY_URL", mock.gateway_url())
}

fn sink(name: &str, schedule: &str) -> String {
    format!(
        "  {name}:\n    schedule: {{{schedule}}}\n    chain:\n      - class: items.ItemsFetcher\n        kwargs: {{topic: shop.book, items: [{{title: Emma}}]}}\n      - class: discord.DiscordSink\n        kwargs: {{channel_id: 77}}\n"
    )
}

async fn asked(mock: &MockDiscord, command: &str, options: &[(&str, &str)], text: &str) -> String {
    let ticket = mock.interact(Interaction::command(command, options).permissions(8));
    let shown = mock.response(&ticket, LONG, |message| message.text().contains(text)).await;
    match shown {
        Some(message) => message.text(),
        None => panic!("/{command} never shows {text:?}: {:?}", mock.original(&ticket)),
    }
}

fn stop(running: Running) -> String {
    running.signal("TERM");
    running.finish().expect(0).stderr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bot_steers_the_scheduler() {
    let mock = mock().await;
    let say = shell("say", "cron: \"0 6 * * *\"", "echo hello >> said; echo {}", "");
    let program = with_discord(program(&[say]), &mock);
    let running = program.start(&[]);
    assert!(mock.ready(LONG).await, "the bot connects");
    asked(&mock, "run", &[("pipeline_name", "say")], "succeeded").await;
    assert_eq!(lines(&program, "said"), ["hello"]);
    let run = &json(&program, &["runs", "list"])[0];
    assert_eq!((&run["reason"], &run["outcome"]), (&"manual".into(), &"succeeded".into()));
    assert!(run["requested_by"].as_str().unwrap().starts_with("discord:"), "{run}");
    asked(&mock, "schedule", &[("pipeline_name", "say"), ("cron", "0 12 * * *")], "every day").await;
    let jobs = json(&program, &["jobs", "list"]);
    let ids: Vec<&Value> = jobs.as_array().unwrap().iter().map(|job| &job["id"]).collect();
    assert_eq!(ids, ["pipeline_say", "pipeline_say_manual"]);
    asked(&mock, "jobs", &[], "pipeline_say_manual").await;
    asked(&mock, "pause", &[("job_id", "pipeline_say_manual")], "paused").await;
    assert_eq!(json(&program, &["jobs", "show", "pipeline_say_manual"])["state"], "paused");
    asked(&mock, "history", &[], "say").await;
    let said = stop(running);
    assert!(!said.contains("mock-token"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_tell_their_news_and_channels_are_told_of_failures_and_recoveries() {
    let mock = mock().await;
    let fragile =
        shell("fragile", "manual: true", "test -e ok", "    on_failure: {discord_channel_id: 88}\n");
    let program = with_discord(program(&[sink("books", "manual: true"), fragile]), &mock);
    let mut running = program.start(&[]);
    running.wait_for("is ready");
    program.run(&["jobs", "run", "books", "--wait"]).expect(0);
    let news = |messages: &[mock_discord::Message]| {
        messages.iter().find(|message| message.channel == 77 && message.text().contains("Emma")).map(|_| ())
    };
    assert!(mock.messages_until(LONG, news).await.is_some(), "{:?}", mock.messages());
    program.run(&["jobs", "run", "fragile", "--wait"]).expect(1);
    let told = |messages: &[mock_discord::Message]| {
        messages
            .iter()
            .find(|message| message.channel == 88 && message.text().contains("fragile"))
            .map(|_| ())
    };
    assert!(mock.messages_until(LONG, told).await.is_some(), "{:?}", mock.messages());
    program.write("ok", "");
    program.run(&["jobs", "run", "fragile", "--wait"]).expect(0);
    let recovered = |messages: &[mock_discord::Message]| {
        (messages.iter().filter(|m| m.channel == 88).count() == 2).then_some(())
    };
    assert!(mock.messages_until(LONG, recovered).await.is_some(), "{:?}", mock.messages());
    assert_eq!(json(&program, &["outbox", "list"]), serde_json::json!([]));
    stop(running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_wait_in_the_store_while_discord_is_away_and_survive_a_restart() {
    let mock = mock().await;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = program(&[sink("books", "manual: true")])
        .variable("DISCORD_TOKEN", "mock-token")
        .variable("DISCORD_API_BASE", format!("http://{closed}"))
        .variable("DISCORD_GATEWAY_URL", format!("ws://{closed}"));
    let mut running = away.start(&[]);
    running.wait_for("is ready");
    let id = away.run(&["jobs", "run", "books", "--wait"]).expect(0).stdout.trim().to_owned();
    let waiting = until("sending has failed once", || {
        let list = json(&away, &["outbox", "list"]);
        (list[0]["attempts"].as_i64()? > 0).then_some(list)
    });
    assert_eq!((&waiting[0]["pipeline"], &waiting[0]["run_id"]), (&"books".into(), &id.as_str().into()));
    assert!(!waiting[0]["error"].as_str().unwrap().is_empty());
    stop(running);
    let back = with_discord(away, &mock);
    let mut running = back.start(&[]);
    running.wait_for("is ready");
    back.run(&["outbox", "retry", "--all"]).expect(0);
    let news = |messages: &[mock_discord::Message]| {
        messages.iter().find(|message| message.channel == 77 && message.text().contains("Emma")).map(|_| ())
    };
    assert!(mock.messages_until(LONG, news).await.is_some(), "{:?}", mock.messages());
    until("nothing waits any more", || {
        (json(&back, &["outbox", "list"]) == serde_json::json!([])).then_some(())
    });
    stop(running);
}
