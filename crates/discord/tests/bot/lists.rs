//! Lists, their pages, and suggestions.

use std::time::Duration;

use discord::bot::PipelineInfo;
use mock_discord::{Interaction, Message};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::scheduler::{FakeScheduler, Mood};
use crate::support::World;

fn next_page(message: &Message) -> Option<Interaction> {
    let id = message.buttons().into_iter().find(|(_, label)| label == "▶")?.0;
    Some(Interaction::click(&id, message.id))
}

/// The names in the lines of a list, over all its pages.
async fn walk(world: &World, mut message: Message) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        assert!(!message.content().contains("\\n"), "{}", message.content());
        names.extend(message.content().lines().filter_map(|l| Some(l.split('`').nth(1)?.to_owned())));
        let Some(click) = next_page(&message) else { return names };
        let (ticket, ack) = world.acknowledged(click).await;
        let before = message.clone();
        let changed = |m: &Message| m.content() != before.content();
        message = world.mock.response(&ticket, crate::support::LONG, changed).await.unwrap();
        assert!(matches!(ack.kind, 6 | 7), "{ack:?}");
    }
}

#[tokio::test]
async fn all_jobs_are_on_the_pages() {
    for count in [0, 1, 25, 200] {
        let scheduler = FakeScheduler::new(&["fi"]);
        let ids: Vec<String> = (0..count).map(|i| format!("job-{i:03}")).collect();
        scheduler.add_jobs(ids.clone());
        let world = World::new(&scheduler).await;
        let (ticket, message) = world.answer(Interaction::command("jobs", &[])).await;
        assert!(message.ephemeral, "only administrators see jobs");
        if count == 0 {
            assert!(message.content().contains("no jobs"), "{}", message.content());
            continue;
        }
        assert_eq!(walk(&world, message).await, ids);
        if count > 10 {
            let shown = world.mock.original(&ticket).unwrap();
            let text = world.refused(Interaction::click("page:jobs:1:3", shown.id).by(8, "bob")).await;
            assert!(text.contains("somebody else"), "{text}");
        }
        world.stop().await;
    }
}

#[tokio::test]
async fn the_history_has_pages_too() {
    let scheduler = FakeScheduler::new(&["fi"]);
    scheduler.add_history(40);
    let world = World::new(&scheduler).await;
    let (_, message) = world.answer(Interaction::command("history", &[("pipeline_name", "fi")])).await;
    assert!(message.content().contains(r"line one line \*two\*"), "{}", message.content());
    let names = walk(&world, message).await;
    assert_eq!(names.len(), 40 + names.iter().filter(|n| *n == "fi").count() - 40);
}

#[tokio::test]
async fn hostile_names_are_only_text() {
    let scheduler = FakeScheduler::new(&[]);
    let hostile =
        ["@everyone", "<@3> <#5>", "```\nx", "**bold** [a](http://b)", "\u{202e}evil", &"😀".repeat(100)];
    scheduler.edit(|s| {
        for name in hostile {
            s.pipelines.push(PipelineInfo {
                name: name.into(),
                description: Some(format!("{name} https://discord.gg/x")),
                stages: vec![name.into(); 30],
                schedules: vec![name.into(); 9],
                ..PipelineInfo::default()
            });
        }
    });
    scheduler.add_jobs(hostile.map(str::to_owned));
    let world = World::new(&scheduler).await;
    let (_, ack) = world.acknowledged(Interaction::command("pipelines", &[])).await;
    assert!(!ack.content().contains("```") && !ack.content().contains("**bold**"), "{}", ack.content());
    world.answer(Interaction::command("jobs", &[])).await;
    for name in hostile {
        world.answer(Interaction::command("run", &[("pipeline_name", name)])).await;
        world.acknowledged(Interaction::command("remove", &[("job_id", name)])).await;
    }
    for request in world.mock.requests() {
        let data = match request.body["type"].as_u64() {
            Some(4 | 7) => &request.body["data"],
            Some(_) => continue,
            None if request.method == "PATCH" => &request.body,
            None => continue,
        };
        assert_eq!(data["allowed_mentions"], json!({"parse": []}), "{} {}", request.method, request.path);
    }
}

#[tokio::test]
async fn suggestions() {
    let names: Vec<String> = (0..1000).map(|i| format!("pipeline-{i:04}")).collect();
    let scheduler = FakeScheduler::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    scheduler.add_jobs(["x".repeat(150), "job-b".to_owned()]);
    let world = World::new(&scheduler).await;
    let values = async |option: &str, typed: &str| -> Vec<String> {
        let start = Instant::now();
        let (_, ack) = world.acknowledged(Interaction::autocomplete("run", &[(option, typed)])).await;
        assert_eq!(ack.kind, 8);
        assert!(start.elapsed() < Duration::from_millis(300), "{:?}", start.elapsed());
        ack.data["choices"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c: &Value| c["value"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(values("pipeline_name", "").await.len(), 25);
    assert_eq!(values("pipeline_name", "0999").await, ["pipeline-0999"]);
    assert_eq!(values("pipeline_name", "zzz").await, Vec::<String>::new());
    assert_eq!(values("other", "").await, Vec::<String>::new());
    // A value that is too long is suggested by its fingerprint, which the commands understand.
    let long = values("job_id", "x").await;
    let (_, ack) = world.acknowledged(Interaction::command("remove", &[("job_id", &long[0])])).await;
    assert!(ack.content().contains("Remove job `xxx"), "{}", ack.content());
    // Whatever the scheduler does, suggestions are never an error.
    scheduler.mood(Mood::Panicking);
    assert_eq!(values("pipeline_name", "").await, Vec::<String>::new());
}
