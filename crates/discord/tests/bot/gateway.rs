//! A gateway in all its moods.

use std::time::Duration;

use discord::bot::{BotState, Timing};
use mock_discord::{Connection, Interaction, MockConfig, Push, ResumeAnswer};
use serde_json::json;

use crate::logs;
use crate::scheduler::FakeScheduler;
use crate::support::{LONG, World};

fn count(n: usize) -> impl Fn(&[Connection]) -> Option<Vec<Connection>> {
    move |all| (all.len() >= n).then(|| all.to_vec())
}

/// Waits until the second connection has sent this.
async fn second_sends(world: &World, op: u64) -> Vec<Connection> {
    world
        .mock
        .connections_until(LONG, |all| all.get(1).is_some_and(|c| c.sent(op)).then(|| all.to_vec()))
        .await
        .unwrap()
}

fn run(pipeline: &str) -> Interaction {
    Interaction::command("run", &[("pipeline_name", pipeline)])
}

#[tokio::test]
async fn a_requested_reconnect_resumes_and_loses_nothing() {
    let world = World::new(&FakeScheduler::new(&["fi", "b"])).await;
    world.answer(run("fi")).await;
    world.mock.push(Push::Reconnect);
    // Dispatched while nobody is connected, or just before the close.
    let missed = world.mock.interact(run("b"));
    let all = second_sends(&world, 6).await;
    assert_eq!(all[0].closed_by_client, Some(4000));
    assert_eq!(all[0].uri, all[1].uri);
    let resume = &all[1].received.iter().find(|(op, _)| *op == 6).unwrap().1;
    assert_eq!(resume["token"], "Bot mock-token");
    assert!(
        resume["session_id"].as_str().unwrap().starts_with("session-") && resume["seq"].as_u64() >= Some(2)
    );
    assert!(!all[1].sent(2), "the session goes on");
    world.shows(&missed, "run-2").await;
    assert_eq!(world.scheduler.calls().len(), 2);
}

#[tokio::test]
async fn a_replayed_interaction_is_not_run_twice() {
    let world = World::new(&FakeScheduler::new(&["fi", "b"])).await;
    let payload = json!({"id": "4711", "application_id": "9", "type": 2, "token": "tok", "guild_id": "4", "channel_id": "5",
        "member": {"user": {"id": "3", "username": "alice"}, "permissions": "8"},
        "data": {"name": "run", "options": [{"name": "pipeline_name", "type": 3, "value": "fi"}]}});
    for _ in 0..3 {
        world.mock.push(Push::Dispatch("INTERACTION_CREATE".into(), payload.clone()));
    }
    world.answer(run("b")).await;
    // The mock knows no such interaction, so its acknowledgement is refused and nothing is run.
    assert_eq!(world.mock.count("POST", "/interactions/4711/*/callback"), 1);
    assert_eq!(world.scheduler.calls(), ["run b by discord:alice (3)"]);
}

#[tokio::test]
async fn an_invalid_session_is_resumed_or_begun_anew() {
    for resumable in [true, false] {
        let world = World::new(&FakeScheduler::new(&["fi"])).await;
        world.mock.push(Push::InvalidSession(resumable));
        let all = second_sends(&world, if resumable { 6 } else { 2 }).await;
        assert_eq!(all[0].closed_by_client, Some(if resumable { 4000 } else { 1000 }));
        world.answer(run("fi")).await;
    }
    // A server that says that every session is invalid.
    let world = World::new(&FakeScheduler::new(&["fi"])).await;
    world.mock.behave(|b| b.resume = ResumeAnswer::Refuse);
    world.mock.push(Push::Close(4000));
    let identified_again = |all: &[Connection]| (all.iter().filter(|c| c.sent(2)).count() == 2).then_some(());
    world.mock.connections_until(LONG, identified_again).await.unwrap();
    world.answer(run("fi")).await;
}

#[tokio::test]
async fn sessions_that_are_over_are_not_resumed() {
    for code in [4007, 4009] {
        let world = World::new(&FakeScheduler::new(&["fi"])).await;
        world.mock.push(Push::Close(code));
        second_sends(&world, 2).await;
        world.answer(run("fi")).await;
    }
}

#[tokio::test]
async fn a_mute_gateway_is_left() {
    let fast = |timing: &mut Timing| {
        timing.ready = Duration::from_millis(700);
        timing.silence = Duration::from_millis(700);
        timing.close = Duration::from_millis(300);
    };
    let scheduler = FakeScheduler::new(&["fi"]);
    // Never a HELLO; never a READY.
    for hello in [false, true] {
        let world = World::unconnected(&scheduler, MockConfig::default(), |mock, config| {
            fast(&mut config.timing);
            mock.behave(|b| (b.hello, b.ready) = (hello, false));
        })
        .await;
        world.mock.connections_until(LONG, count(2)).await.unwrap();
        world.mock.behave(|b| (b.hello, b.ready) = (true, true));
        assert!(world.mock.ready(LONG).await);
    }
    // Connected, and then nothing any more; a close that is never answered.
    for push in [Push::Freeze, Push::Reconnect] {
        let world = World::with(&scheduler, MockConfig::default(), |mock, config| {
            fast(&mut config.timing);
            mock.behave(|b| (b.answer_close, b.heartbeat) = (false, Duration::from_millis(300)));
        })
        .await;
        world.mock.push(push);
        second_sends(&world, 6).await;
        world.stop().await;
    }
    // Heartbeats without an acknowledgement.
    let world = World::with(&scheduler, MockConfig::default(), |mock, _| {
        mock.behave(|b| (b.acknowledge, b.heartbeat) = (false, Duration::from_millis(200)));
    })
    .await;
    second_sends(&world, 6).await;
}

#[tokio::test]
async fn connections_are_few_whatever_the_gateway_does() {
    type Change = fn(&mut mock_discord::Behaviour);
    let table: [(&str, Change); 3] = [
        ("closes after HELLO", |b| b.close_after_hello = Some(4000)),
        ("drops after the upgrade", |b| b.drop_after_upgrade = true),
        ("closes when identified", |b| b.reject_identify = Some(4000)),
    ];
    for (what, change) in table {
        let scheduler = FakeScheduler::new(&["fi"]);
        let world = World::unconnected(&scheduler, MockConfig::default(), |mock, config| {
            mock.behave(change);
            config.timing.connections_per_minute = 10;
            config.timing.ready = Duration::from_secs(2);
            config.timing.backoff = Duration::from_millis(1);
            config.timing.backoff_max = Duration::from_millis(2);
        })
        .await;
        world.mock.connections_until(LONG, count(5)).await.unwrap();
        // The window is full now; give a hot loop the time to show itself. The library below connects again by itself a few
        // times before it can be stopped.
        let more = world.mock.connections_until(Duration::from_millis(2500), count(25)).await;
        assert!(more.is_none(), "{what}: too many connections");
        world.stop().await;
    }
}

#[tokio::test]
async fn a_refused_bot_is_parked() {
    for code in [4004, 4014] {
        let scheduler = FakeScheduler::new(&["fi"]);
        let mut world = World::unconnected(&scheduler, MockConfig::default(), |mock, config| {
            if code == 4004 {
                config.token = "wrong".into();
            }
            mock.behave(|b| b.reject_identify = Some(code));
        })
        .await;
        world.state(BotState::Parked).await;
        let more = world.mock.connections_until(Duration::from_millis(700), count(2)).await;
        assert!(more.is_none(), "a parked bot waits");
        assert!(world.status.borrow().last_error.clone().unwrap().contains(&code.to_string()));
        world.stop().await;
    }
}

#[tokio::test]
async fn lies_of_the_gateway() {
    let world = World::unconnected(&FakeScheduler::new(&["fi", "b"]), MockConfig::default(), |mock, _| {
        mock.behave(|b| b.resume_url = Some("not a url".into()));
    })
    .await;
    assert!(world.mock.ready(LONG).await);
    let text = |s: &str| Push::Text(s.to_owned());
    let secret = "leaky-interaction-token";
    let lies = [
        text("garbage"),
        text(r#"{"op":0}"#),
        text(r#"{"op":0,"s":1,"t":"SOMETHING_NEW","d":{"x":1}}"#),
        text(r#"{"op":77,"d":{}}"#),
        text(&format!(r#"{{"op":0,"s":3,"t":"INTERACTION_CREATE","d":{{"token":"{secret}"}}}}"#)),
        text(&format!(r#"{{"op":0,"t":"INTERACTION_CREATE","d":{{"token":"{secret}"}}}}"#)),
        text(&format!(r#"{{"op":0,"s":"x","t":5,"d":{{"token":"{secret}"}}}}"#)),
        Push::Binary(vec![0xff; 1000]),
        text(&format!(r#"{{"op":0,"s":4,"t":"GUILD_CREATE","d":{{"x":"{}"}}}}"#, "y".repeat(1_000_000))),
        Push::Heartbeat,
    ];
    for lie in lies {
        world.mock.push(lie);
    }
    world.answer(run("fi")).await;
    // The place to resume at is malformed; the usual one is used.
    world.mock.push(Push::Close(4000));
    second_sends(&world, 6).await;
    world.answer(run("b")).await;
    world.stop().await;
    assert_eq!(logs::lines_with(secret), Vec::<String>::new());
    assert_eq!(logs::lines_with("interaction-token-"), Vec::<String>::new());
    assert_eq!(logs::lines_with("mock-token"), Vec::<String>::new());
}
