//! What each command does.

use std::time::Duration;

use discord::bot::{RunOutcome, RunStage};
use mock_discord::{Fault, Interaction, MessageKind, MockConfig, Rule};
use serde_json::{Value, json};

use crate::logs;
use crate::scheduler::{FakeScheduler, Mood, instant};
use crate::support::{LONG, World};

fn run(pipeline: &str) -> Interaction {
    Interaction::command("run", &[("pipeline_name", pipeline)])
}

#[tokio::test]
async fn commands_are_registered_once() {
    let world = World::new(&FakeScheduler::new(&["fi"])).await;
    let put = |log: &[mock_discord::Captured]| {
        log.iter().find(|r| r.method == "PUT" && r.status.is_some()).cloned()
    };
    let request = world.mock.requests_until(LONG, put).await.unwrap();
    assert_eq!((request.path.as_str(), request.status), ("/applications/9/commands", Some(200)));
    assert_eq!(request.authorization.as_deref(), Some("Bot mock-token"));
    // name, options (name, required, autocomplete), for everyone
    type Row<'a> = (&'a str, &'a [(&'a str, bool, bool)], bool);
    let table: [Row<'_>; 10] = [
        ("run", &[("pipeline_name", true, true)], false),
        ("schedule", &[("pipeline_name", true, true), ("cron", true, false)], false),
        ("jobs", &[], false),
        ("remove", &[("job_id", true, true)], false),
        ("pipelines", &[], true),
        ("cancel", &[("run_id", true, true)], false),
        ("pause", &[("job_id", true, true)], false),
        ("resume", &[("job_id", true, true)], false),
        ("history", &[("pipeline_name", false, true)], false),
        ("next", &[("pipeline_name", true, true)], false),
    ];
    let commands = request.body.as_array().unwrap();
    assert_eq!(commands.len(), table.len());
    for (command, (name, options, everyone)) in commands.iter().zip(table) {
        assert_eq!((&command["name"], &command["contexts"]), (&json!(name), &json!([0])));
        assert_eq!(command["default_member_permissions"].is_null(), everyone, "{name}");
        let actual: Vec<Value> = command["options"].as_array().unwrap().clone();
        let wanted: Vec<_> = options.iter().map(|(n, r, a)| (json!(n), json!(r), json!(a))).collect();
        let actual: Vec<_> = actual
            .iter()
            .map(|o| (o["name"].clone(), o["required"].clone(), o["autocomplete"].clone()))
            .collect();
        assert_eq!(actual, wanted, "{name}");
    }
    // A new session brings a second READY, and no second registration.
    world.mock.push(mock_discord::Push::InvalidSession(false));
    let two = |c: &[mock_discord::Connection]| (c.iter().filter(|c| c.sent(2)).count() == 2).then_some(());
    world.mock.connections_until(LONG, two).await.unwrap();
    world.answer(Interaction::command("jobs", &[])).await;
    assert_eq!(world.mock.count("PUT", "**"), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_guild_has_the_commands_and_the_rest_of_the_world_has_none() {
    let scheduler = FakeScheduler::new(&["fi"]);
    let world = World::with(&scheduler, MockConfig::default(), |_, c| c.admin_guild_id = Some(4)).await;
    let both = |log: &[mock_discord::Captured]| {
        (log.iter().filter(|r| r.status == Some(200)).count() == 2).then_some(())
    };
    world.mock.requests_until(LONG, both).await.unwrap();
    assert_eq!(world.mock.commands(Some(4)).unwrap().as_array().unwrap().len(), 10);
    assert_eq!(world.mock.commands(None), Some(json!([])));
}

#[tokio::test]
async fn a_run_is_started_followed_and_told() {
    let world = World::new(&FakeScheduler::new(&["fi"])).await;
    let (ticket, ack) = world.acknowledged(run("fi")).await;
    assert_eq!((ack.kind, ack.ephemeral()), (5, false));
    assert!(ack.elapsed < Duration::from_millis(500), "{:?}", ack.elapsed);
    let message = world.shows(&ticket, "run-1").await;
    assert_eq!(message.buttons(), [("cancel:run-1".to_owned(), "Cancel".to_owned())]);
    world.scheduler.progress("run-1", |p| {
        p.stages = vec![RunStage { class: "http.HttpFetcher".into(), items_in: 1, items_out: 50, errors: 0 }];
    });
    world.shows(&ticket, "1 → 50").await;
    world.scheduler.finish("run-1", RunOutcome::Succeeded, None);
    let message = world.shows(&ticket, "succeeded").await;
    assert!(message.content().contains("run-1") && message.buttons().is_empty(), "{message:?}");
    assert_eq!(world.scheduler.calls(), ["run fi by discord:alice (3)"]);
    assert_eq!(world.mock.count("POST", "/channels/**"), 0);
}

#[tokio::test]
async fn refusals_are_private_and_do_nothing() {
    let scheduler = FakeScheduler::new(&["books", "prices"]);
    scheduler.add_jobs(["pipeline_books".to_owned()]);
    let world = World::new(&scheduler).await;
    let long = "x".repeat(2000);
    let table: [(Interaction, &str); 10] = [
        (run("bokos"), "Did you mean `books`?"),
        (run("**@everyone** `x`"), "There is no pipeline"),
        (run(&long), "There is no pipeline"),
        (run("  "), "`pipeline_name` is missing"),
        (Interaction::command("run", &[]), "`pipeline_name` is missing"),
        (Interaction::command("remove", &[("job_id", "pipeline_boks")]), "Did you mean `pipeline_books`?"),
        (Interaction::command("pause", &[("job_id", "zzz")]), "There is no job `zzz`"),
        (
            Interaction::command("schedule", &[("pipeline_name", "zzz"), ("cron", "* * * * *")]),
            "There is no pipeline",
        ),
        (Interaction::command("history", &[("pipeline_name", "zzz")]), "There is no pipeline"),
        (Interaction::command("dance", &[]), "not known"),
    ];
    for (interaction, words) in table {
        let text = world.refused(interaction.clone()).await;
        assert!(text.contains(words), "{interaction:?}: {text}");
    }
    assert_eq!(world.scheduler.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_failure_is_told_in_short_and_an_error_only_by_its_id() {
    let world = World::new(&FakeScheduler::new(&["fi"])).await;
    let (ticket, _) = world.acknowledged(run("fi")).await;
    world.shows(&ticket, "run-1").await;
    let error = format!("stage 2 ```broke``` {}", "x".repeat(5000));
    world.scheduler.finish("run-1", RunOutcome::Failed, Some(&error));
    let message = world.shows(&ticket, "failed").await;
    assert!(message.content().matches("```").count() == 2, "{}", message.content());
    world.scheduler.mood(Mood::Broken);
    let (_, message) = world.answer(run("fi")).await;
    assert!(!message.text().contains("hunter2"), "{}", message.text());
    let id = message.content().split('`').nth(1).unwrap().to_owned();
    assert_eq!(logs::lines_with(&id).len(), 1, "the log has the error by its id");
}

#[tokio::test]
async fn one_run_at_a_time() {
    let world = World::new(&FakeScheduler::new(&["fi"])).await;
    world.answer(run("fi")).await;
    let text = world.refused(run("fi")).await;
    assert!(text.contains("already running") && text.contains("run-1"), "{text}");
    // The scheduler has the last word where memory knew nothing.
    world.scheduler.mood(Mood::Busy);
    let (_, message) = world.answer(run("fi")).await;
    assert!(message.content().contains("already running"), "{}", message.content());
    world.scheduler.mood(Mood::Fine);
    world.scheduler.finish("run-1", RunOutcome::Succeeded, None);
    let pair = [world.mock.interact(run("fi")), world.mock.interact(run("fi"))];
    for ticket in &pair {
        world.mock.acknowledged(ticket, LONG).await.unwrap();
        let said =
            |m: &mock_discord::Message| m.text().contains("run-2") || m.text().contains("already running");
        world.mock.response(ticket, LONG, said).await.unwrap();
    }
    assert_eq!(world.scheduler.calls().len(), 2);
}

#[tokio::test]
async fn the_outcome_arrives_when_the_token_has_ended() {
    let ended = [(401, 50027), (404, 10015), (404, 10062)];
    for ended_token in ended {
        let mock =
            MockConfig { token_lifetime: Duration::from_millis(600), ended_token, ..MockConfig::default() };
        let world = World::with(&FakeScheduler::new(&["fi"]), mock, |_, _| {}).await;
        let (ticket, _) = world.answer(run("fi")).await;
        tokio::time::sleep_until(ticket.at + Duration::from_millis(650)).await;
        world.scheduler.finish("run-1", RunOutcome::TimedOut, Some("too slow"));
        let told = |messages: &[mock_discord::Message]| {
            messages.iter().find(|m| m.kind == MessageKind::Channel).cloned()
        };
        let message = world.mock.messages_until(LONG, told).await.unwrap();
        assert_eq!(message.channel, 5);
        assert!(
            message.content().contains("timed out") && message.content().contains("run-1"),
            "{message:?}"
        );
    }
}

#[tokio::test]
async fn a_schedule_is_read_back() {
    let world = World::new(&FakeScheduler::new(&["fi"])).await;
    let schedule = |cron: &str| Interaction::command("schedule", &[("pipeline_name", "fi"), ("cron", cron)]);
    let (_, message) = world.answer(schedule("0 * * * *")).await;
    let text = message.content();
    assert!(
        text.contains("pipeline_fi_manual") && text.contains("added") && text.contains("every hour"),
        "{text}"
    );
    for i in 0..3 {
        assert!(text.contains(&format!("<t:{}:R>", instant(i * 3600).timestamp())), "{text}");
    }
    let (_, message) = world.answer(schedule("5 * * * *")).await;
    assert!(message.content().contains("replaced"), "{}", message.content());
    for bad in ["* * * *", "60 * * * *", "nonsense ```"] {
        let text = world.refused(schedule(bad)).await;
        assert!(text.contains("fields") && text.matches("```").count() == 2, "{text}");
    }
    assert!(world.refused(schedule(&"x ".repeat(5000))).await.contains("9999"));
    assert_eq!(world.refused(schedule("")).await, "`cron` is missing.");
    assert_eq!(world.scheduler.calls().len(), 2);
}

#[tokio::test]
async fn a_job_is_removed_after_a_click() {
    let scheduler = FakeScheduler::new(&["fi"]);
    let long = format!("pipeline_{}", "é".repeat(110));
    scheduler.add_jobs(["pipeline_fi_manual".to_owned(), "other".to_owned(), long.clone()]);
    let world = World::new(&scheduler).await;
    let ask = async |job: &str| {
        let (ticket, ack) = world.acknowledged(Interaction::command("remove", &[("job_id", job)])).await;
        assert!(ack.ephemeral() && ack.kind == 4, "{ack:?}");
        world.mock.original(&ticket).unwrap()
    };
    let button = |message: &mock_discord::Message, label: &str| {
        let id = message.buttons().into_iter().find(|(_, l)| l == label).unwrap().0;
        Interaction::click(&id, message.id)
    };
    // Keeping it.
    let question = ask("other").await;
    let (ticket, ack) = world.acknowledged(button(&question, "Keep")).await;
    assert_eq!(ack.kind, 7);
    assert!(world.mock.original(&ticket).unwrap().buttons().is_empty());
    assert!(world.scheduler.job_ids().contains(&"other".to_owned()));
    // Somebody else's click, also an administrator's.
    let question = ask("pipeline_fi_manual").await;
    let text = world.refused(button(&question, "Remove").by(77, "mallory")).await;
    assert!(text.contains("somebody else"), "{text}");
    let text = world.refused(button(&question, "Remove").permissions(0)).await;
    assert!(text.contains("administrators"), "{text}");
    // The click that counts, and one too many.
    let (_, message) = world.answer(button(&question, "Remove")).await;
    assert!(message.content().contains("is removed") && message.buttons().is_empty(), "{message:?}");
    let (ticket, ack) = world.acknowledged(button(&question, "Remove")).await;
    assert_eq!(ack.kind, 7);
    assert!(world.mock.original(&ticket).unwrap().content().contains("already removed"));
    // An old question.
    let old = Interaction::click("remove:3:1000:other", question.id);
    let (ticket, _) = world.acknowledged(old).await;
    assert!(world.mock.original(&ticket).unwrap().content().contains("too old"));
    // An id that fits into no button.
    let question = ask(&long).await;
    let (_, message) = world.answer(button(&question, "Remove")).await;
    assert!(message.content().contains("is removed"), "{message:?}");
    assert_eq!(world.scheduler.job_ids(), ["other"]);
    assert_eq!(world.scheduler.calls().len(), 2);
}

#[tokio::test]
async fn the_other_verbs() {
    let scheduler = FakeScheduler::new(&["fi"]);
    scheduler.add_jobs(["pipeline_fi".to_owned()]);
    let world = World::new(&scheduler).await;
    let job = |verb: &str| Interaction::command(verb, &[("job_id", "pipeline_fi")]);
    assert!(world.answer(job("pause")).await.1.content().contains("paused"));
    assert!(
        world.answer(job("resume")).await.1.content().contains(&format!("<t:{}:R>", instant(60).timestamp()))
    );
    let next = Interaction::command("next", &[("pipeline_name", "fi")]);
    assert!(world.answer(next).await.1.content().contains(&format!("<t:{}:F>", instant(3600).timestamp())));
    let (ticket, _) = world.answer(run("fi")).await;
    let cancel = Interaction::command("cancel", &[("run_id", "run-1")]);
    assert!(world.answer(cancel.clone()).await.1.content().contains("cancelled"));
    world.shows(&ticket, "**cancelled**").await;
    let (_, ack) = world.acknowledged(cancel).await;
    assert!(ack.ephemeral(), "a run that is over is a private matter");
    let (ticket, _) = world.answer(run("fi")).await;
    let (_, answer) =
        world.answer(Interaction::click("cancel:run-2", world.mock.original(&ticket).unwrap().id)).await;
    assert!(answer.ephemeral && answer.content().contains("cancelled"), "{answer:?}");
    world.shows(&ticket, "**cancelled**").await;
    let by = "by discord:alice (3)";
    let wanted =
        ["pause pipeline_fi", "resume pipeline_fi", "run fi", "cancel run-1", "run fi", "cancel run-2"];
    assert_eq!(world.scheduler.calls(), wanted.map(|what| format!("{what} {by}")));
}

#[tokio::test]
async fn who_may_do_what() {
    let scheduler = FakeScheduler::new(&["fi"]);
    scheduler.add_jobs(["pipeline_fi".to_owned()]);
    let world = World::with(&scheduler, MockConfig::default(), |_, config| {
        config.admin_guild_id = Some(4);
        config.admin_user_id = Some(42);
    })
    .await;
    let commands: [(&str, &[(&str, &str)]); 9] = [
        ("run", &[("pipeline_name", "fi")]),
        ("schedule", &[("pipeline_name", "fi"), ("cron", "* * * * *")]),
        ("jobs", &[]),
        ("remove", &[("job_id", "pipeline_fi")]),
        ("cancel", &[("run_id", "x")]),
        ("pause", &[("job_id", "pipeline_fi")]),
        ("resume", &[("job_id", "pipeline_fi")]),
        ("history", &[]),
        ("next", &[("pipeline_name", "fi")]),
    ];
    for (name, options) in commands {
        let command = || Interaction::command(name, options);
        let strangers = [
            command().permissions(0),
            command().permissions(32),
            command().guild(Some(6)),
            command().guild(None),
        ];
        for stranger in strangers {
            let text = world.refused(stranger.clone()).await;
            assert!(text.contains("Only administrators"), "{stranger:?}");
        }
        let typing = Interaction::autocomplete(name, &[("pipeline_name", "")]).permissions(0);
        assert_eq!(world.acknowledged(typing).await.1.data["choices"], json!([]), "{name}");
    }
    for forged in ["cancel:run-1", "page:jobs:0:3", "remove:3:99999999999:pipeline_fi", "page:history:0:3"] {
        let text = world.refused(Interaction::click(forged, 1).permissions(0)).await;
        assert!(text.contains("Only administrators"), "{forged}");
    }
    assert!(world.refused(Interaction::click("whatever", 1)).await.contains("not known"));
    assert_eq!(world.scheduler.calls(), Vec::<String>::new());
    assert!(!logs::lines_with("allowed=false").is_empty());
    // Everyone may look at the pipelines, and the one user may do everything anywhere.
    let (_, ack) =
        world.acknowledged(Interaction::command("pipelines", &[]).permissions(0).guild(Some(6))).await;
    assert!(ack.content().contains("`fi`"), "{ack:?}");
    world.answer(run("fi").by(42, "root").permissions(0).guild(Some(6))).await;
    assert_eq!(world.scheduler.calls(), ["run fi by discord:root (42)"]);
}

#[tokio::test]
async fn a_reset_connection_does_not_lose_an_answer() {
    let world = World::new(&FakeScheduler::new(&["fi"])).await;
    world.mock.fault(Rule::on("PATCH", "/webhooks/**", Fault::ResetAfter).times(1));
    world.mock.fault(Rule::on("PATCH", "/webhooks/**", Fault::Html(502)).times(1));
    let (ticket, _) = world.acknowledged(run("fi")).await;
    world.shows(&ticket, "run-1").await;
}
