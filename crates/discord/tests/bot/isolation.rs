//! Neither half keeps the other waiting: Discord in trouble, the scheduler in trouble, and the end of both.

use std::time::Duration;

use discord::bot::{BotConfig, BotState, RunOutcome, run_bot};
use mock_discord::{Fault, Interaction, LimitShape, MockConfig, Rule};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::scheduler::{FakeScheduler, Mood};
use crate::support::{LONG, World};

fn run(pipeline: &str) -> Interaction {
    Interaction::command("run", &[("pipeline_name", pipeline)])
}

#[tokio::test]
async fn an_acknowledgement_waits_for_nothing() {
    let scheduler = FakeScheduler::new(&["fi"]);
    let world = World::with(&scheduler, MockConfig::default(), |mock, _| {
        // Registering the commands hangs, and so does the scheduler.
        mock.fault(Rule::on("PUT", "/applications/**", Fault::Delay(Duration::from_secs(5))));
    })
    .await;
    scheduler.mood(Mood::Slow(Duration::from_secs(60)));
    let (_, ack) = world.acknowledged(run("fi")).await;
    assert!(ack.elapsed < Duration::from_secs(1), "{:?}", ack.elapsed);
}

#[tokio::test]
async fn an_acknowledgement_survives_one_fault() {
    let world = World::new(&FakeScheduler::new(&["a", "b", "c", "d", "e"])).await;
    let faults = [
        Fault::Status(500, serde_json::json!({})),
        Fault::Html(502),
        Fault::Reset,
        Fault::ResetAfter,
        Fault::RateLimit(LimitShape::BodyOnly, 0.2),
    ];
    for (fault, pipeline) in faults.into_iter().zip(["a", "b", "c", "d", "e"]) {
        world.mock.fault(Rule::on("POST", "/interactions/**", fault.clone()).times(1));
        let (ticket, _) = world.acknowledged(run(pipeline)).await;
        world.shows(&ticket, "run-").await;
    }
    assert_eq!(world.scheduler.calls().len(), 5);
}

#[tokio::test]
async fn what_could_not_be_acknowledged_is_not_done() {
    let world = World::new(&FakeScheduler::new(&["a", "b"])).await;
    for fault in [Fault::Hang, Fault::Html(502), Fault::RateLimit(LimitShape::User, 30.0)] {
        world.mock.fault(Rule::on("POST", "/interactions/**", fault));
        let ticket = world.mock.interact(run("a"));
        assert!(world.mock.acknowledged(&ticket, Duration::from_secs(4)).await.is_none());
        assert!(world.mock.count("POST", "/interactions/*/*/callback") <= 12);
        world.mock.heal();
    }
    world.answer(run("b")).await;
    assert_eq!(world.scheduler.calls(), ["run b by discord:alice (3)"]);
}

#[tokio::test]
async fn two_processes_of_one_bot_do_a_thing_once() {
    let world = World::new(&FakeScheduler::new(&["a", "b"])).await;
    let taken = Fault::Status(400, serde_json::json!({"code": 40060, "message": "already acknowledged"}));
    world.mock.fault(Rule::on("POST", "/interactions/**", taken).times(1));
    world.mock.interact(run("a"));
    world.answer(run("b")).await;
    assert_eq!(world.scheduler.calls(), ["run b by discord:alice (3)"]);
}

#[tokio::test]
async fn rates_are_obeyed_and_the_answer_arrives() {
    let shapes =
        [LimitShape::User, LimitShape::Shared, LimitShape::Global, LimitShape::BodyOnly, LimitShape::Proxy];
    for shape in shapes {
        let world = World::new(&FakeScheduler::new(&["fi"])).await;
        world.mock.fault(Rule::on("PATCH", "/webhooks/**", Fault::RateLimit(shape, 0.3)).times(2));
        let (ticket, _) = world.acknowledged(run("fi")).await;
        let message = world.shows(&ticket, "run-1").await;
        assert!(message.edits >= 1);
        let edits = world.mock.requests().iter().filter(|r| r.method == "PATCH").count();
        assert!(edits <= 5, "{shape:?}: {edits} requests");
    }
}

#[tokio::test]
async fn a_scheduler_in_trouble_is_an_answer_too() {
    let scheduler = FakeScheduler::new(&["fi"]);
    let world =
        World::with(&scheduler, MockConfig::default(), |_, c| c.timing.control = Duration::from_millis(300))
            .await;
    scheduler.mood(Mood::Slow(Duration::from_secs(60)));
    assert!(world.answer(run("fi")).await.1.content().contains("did not work"));
    scheduler.mood(Mood::Panicking);
    assert!(world.refused(run("fi")).await.contains("did not work"));
    assert!(world.answer(Interaction::command("jobs", &[])).await.1.content().contains("did not work"));
    scheduler.mood(Mood::Fine);
    world.answer(run("fi")).await;
}

#[tokio::test]
async fn a_shutdown_says_good_bye() {
    let mut world = World::new(&FakeScheduler::new(&["fi", "b"])).await;
    world.state(BotState::Connected).await;
    let (first, _) = world.answer(run("fi")).await;
    let (second, _) = world.answer(run("b")).await;
    world.scheduler.finish("run-2", RunOutcome::Succeeded, None);
    world.shows(&second, "succeeded").await;
    let start = Instant::now();
    world.shutdown.cancel();
    (&mut world.bot).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(world.mock.original(&first).unwrap().content().contains("interrupted"));
    assert!(world.mock.original(&second).unwrap().content().contains("succeeded"));
    assert_eq!(world.mock.connections()[0].closed_by_client, Some(1000));
    assert_eq!(world.status.borrow().state, BotState::Stopped);
}

#[tokio::test]
async fn a_shutdown_is_quick_whatever_discord_does() {
    let scheduler = FakeScheduler::new(&["fi"]);
    // Nobody answers edits.
    let world = World::new(&scheduler).await;
    world.answer(run("fi")).await;
    world.mock.fault(Rule::on("PATCH", "**", Fault::Hang));
    let start = Instant::now();
    world.stop().await;
    assert!(start.elapsed() < Duration::from_millis(5500), "{:?}", start.elapsed());
    // Nobody is there at all; nobody ever says HELLO.
    for answers in [false, true] {
        let world = World::unconnected(&scheduler, MockConfig::default(), |mock, _| {
            mock.behave(|b| b.hello = false);
            if !answers {
                mock.stop();
            }
        })
        .await;
        tokio::time::timeout(Duration::from_millis(300), world.mock.ready(LONG)).await.ok();
        let start = Instant::now();
        world.stop().await;
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn nonsense_in_the_settings_never_fails_the_program() {
    let scheduler = FakeScheduler::new(&["fi"]);
    let nonsense = ["", "   ", "tok\nen", "töken"];
    for token in nonsense {
        let config = BotConfig::new(token);
        tokio::time::timeout(LONG, run_bot(config, scheduler.clone(), CancellationToken::new()))
            .await
            .unwrap_or_else(|_| panic!("{token:?} does not end"));
    }
    for url in ["", "not a url", "http://127.0.0.1:1", "ws://"] {
        let mut config = BotConfig::new("token");
        config.gateway_url = Some(url.into());
        config.timing.backoff = Duration::from_millis(10);
        let stop = CancellationToken::new();
        let bot = tokio::spawn(run_bot(config, scheduler.clone(), stop.clone()));
        tokio::time::timeout(Duration::from_millis(200), std::future::pending::<()>()).await.ok();
        assert!(!bot.is_finished(), "{url:?}");
        stop.cancel();
        tokio::time::timeout(LONG, bot).await.unwrap_or_else(|_| panic!("{url:?} does not end")).unwrap();
    }
}
