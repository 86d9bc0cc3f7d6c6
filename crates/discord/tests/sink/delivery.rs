//! The delivery when Discord is slow, strict, away, or comes back.

use std::sync::Arc;
use std::time::Duration;

use discord::delivery::Drained;
use discord::outbox::{Counts, MemoryOutbox};
use discord::sink::DiscordService;
use mock_discord::{Fault, LimitShape, Message, MockConfig, MockDiscord, Rule};
use pipeline_core::SystemClock;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{LONG, World, channel, delivery, numbered};

fn numbers(messages: &[Message]) -> Vec<String> {
    let texts = messages.iter().map(Message::content);
    texts
        .flat_map(|t| t.split("\"n\": \"").skip(1).map(|p| p.split('"').next().unwrap().to_owned()))
        .collect()
}

fn wanted(count: usize) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}

#[tokio::test]
async fn one_message_a_second_and_channel() {
    let world = World::new().await;
    tokio::join!(world.run(channel(1), numbered(4, 900)), world.run(channel(2), numbered(4, 900)));
    world.empty().await;
    for id in [1, 2] {
        let path = format!("/channels/{id}/messages");
        let times: Vec<_> =
            world.mock.requests().iter().filter(|r| r.is("POST", &path)).map(|r| r.at).collect();
        assert!(times.len() >= 2);
        for pair in times.windows(2) {
            assert!(pair[1] - pair[0] > Duration::from_millis(950), "{:?}", pair[1] - pair[0]);
        }
    }
    assert!(world.mock.requests().iter().all(|r| r.status == Some(200)));
}

#[tokio::test]
async fn every_shape_of_a_429_is_obeyed() {
    let shapes =
        [LimitShape::User, LimitShape::Shared, LimitShape::Global, LimitShape::BodyOnly, LimitShape::Proxy];
    for shape in shapes {
        let world = World::new().await;
        world.mock.fault(Rule::on("POST", "/channels/1/messages", Fault::RateLimit(shape, 1.5)).times(2));
        world.run(channel(1), numbered(1, 1)).await;
        let start = Instant::now();
        world.mock.requests_until(LONG, |r| (r.first()?.status.is_some()).then_some(())).await.unwrap();
        world.run(channel(2), numbered(1, 1)).await;
        world.empty().await;
        assert!(start.elapsed() >= Duration::from_secs(3), "{shape:?}");
        let requests = world.mock.requests();
        let first: Vec<_> = requests.iter().filter(|r| r.is("POST", "/channels/1/messages")).collect();
        assert_eq!(first.len(), 3, "{shape:?}");
        assert!(first[1].at - first[0].at >= Duration::from_millis(1500), "{shape:?}");
        assert_eq!(world.mock.sent().len(), 2);
        if shape != LimitShape::Global {
            let other = requests.iter().find(|r| r.is("POST", "/channels/2/messages")).unwrap();
            assert!(other.at < first[1].at, "{shape:?}: another channel waits for nothing");
        }
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_repeated_under_the_same_nonce() {
    let world = World::new().await;
    world.mock.fault(Rule::on("POST", "/channels/**", Fault::ResetAfter).times(1));
    world.mock.fault(Rule::on("POST", "/channels/**", Fault::Html(502)).times(1));
    world.run(channel(1), numbered(2, 1)).await;
    world.run(channel(1), numbered(2, 1)).await;
    world.empty().await;
    let requests = world.mock.requests();
    assert!(requests.len() >= 3);
    assert_eq!(requests[0].body, requests[1].body, "a sealed batch is never regrouped");
    assert_eq!(numbers(&world.mock.sent()), ["0", "1", "0", "1"]);
}

#[tokio::test]
async fn what_is_refused_for_good_holds_up_nothing() {
    let channels = Some(vec![2]);
    let world = World::with(MockConfig { channels, ..MockConfig::default() }, Some("mock-token")).await;
    world.run(channel(1), numbered(1, 1)).await;
    world.run(channel(2), numbered(1, 1)).await;
    world.empty().await;
    assert_eq!(world.outbox.counts(), Counts { waiting: 0, dead: 1 });
    assert_eq!((world.mock.sent().len(), world.mock.requests().len()), (1, 2));
    let line = crate::logs::lines_with("given up on").pop().unwrap();
    assert!(line.contains("Unknown Channel"), "{line}");
}

#[tokio::test]
async fn a_refused_token_parks_the_messages() {
    let world = World::new().await;
    world.mock.set_token("another");
    world.run(channel(1), numbered(1, 1)).await;
    world.mock.requests_until(LONG, |r| r.first()?.status).await.unwrap();
    world.run(channel(2), numbered(1, 1)).await;
    let more = world.mock.requests_until(Duration::from_secs(1), |r| (r.len() > 1).then_some(())).await;
    assert!(more.is_none(), "a parked bot sends nothing");
    assert_eq!(world.outbox.counts(), Counts { waiting: 2, dead: 0 });
    // Webhooks are another matter.
    world.run(json!({"webhook_url": "https://discord.com/api/webhooks/8/t"}), numbered(1, 1)).await;
    world.mock.messages_until(LONG, |m| (m.len() == 1).then_some(())).await.unwrap();
}

#[tokio::test]
async fn what_waited_while_discord_was_away_arrives_once_and_in_order() {
    let mut world = World::new().await;
    let port = world.mock.api_base().rsplit(':').next().unwrap().parse().unwrap();
    world.mock.stop();
    for _ in 0..3 {
        world.run(channel(1), numbered(1, 700)).await;
    }
    tokio::time::timeout(Duration::from_millis(800), world.empty()).await.unwrap_err();
    world.mock = loop {
        match MockDiscord::start(MockConfig { rest_port: port, ..MockConfig::default() }).await {
            Ok(mock) => break mock,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    world.run(channel(1), numbered(2, 700)).await;
    world.empty().await;
    assert_eq!(numbers(&world.mock.sent()), ["0", "0", "0", "0", "1"]);
    world.stop().await;
}

#[tokio::test]
async fn a_restart_in_the_middle_loses_and_doubles_nothing() {
    let world = World::new().await;
    world.mock.fault(Rule::on("POST", "/channels/**", Fault::ResetAfter).after(1).times(1));
    world.run(channel(1), numbered(5, 900)).await;
    world.mock.messages_until(LONG, |m| (m.len() == 2).then_some(())).await.unwrap();
    let World { mock, outbox, service, shutdown, delivering, .. } = world;
    shutdown.cancel();
    delivering.await.unwrap();
    let again = delivery(&mock, &service, Some("mock-token"));
    assert_eq!(again.drain(LONG).await, Drained::Empty);
    assert_eq!(numbers(&mock.sent()), wanted(5));
    assert_eq!(outbox.counts().waiting, 0);
}

#[tokio::test]
async fn a_channel_that_hangs_holds_up_no_other() {
    let world = World::new().await;
    world.mock.fault(Rule::on("POST", "/channels/1/messages", Fault::Hang));
    world.run(channel(1), numbered(1, 1)).await;
    world.mock.requests_until(LONG, |r| (!r.is_empty()).then_some(())).await.unwrap();
    for id in 2..6 {
        world.run(channel(id), numbered(1, 1)).await;
    }
    let within = Duration::from_secs(5);
    world.mock.messages_until(within, |m| (m.len() == 4).then_some(())).await.expect("four other channels");
}

#[tokio::test]
async fn an_end_is_quick_whatever_discord_does() {
    let world = World::new().await;
    world.mock.fault(Rule::on("POST", "/channels/**", Fault::Hang));
    world.run(channel(1), numbered(1, 1)).await;
    world.mock.requests_until(LONG, |r| (!r.is_empty()).then_some(())).await.unwrap();
    let start = Instant::now();
    let outbox = world.outbox.clone();
    world.stop().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(outbox.counts().waiting, 1);
}

#[tokio::test]
async fn draining_ends_in_time() {
    let mock = MockDiscord::start(MockConfig::default()).await.unwrap();
    let outbox = Arc::new(MemoryOutbox::new(Arc::new(SystemClock)));
    let service = DiscordService::new(outbox.clone(), true);
    let delivery = delivery(&mock, &service, Some("mock-token"));
    assert_eq!(delivery.drain(LONG).await, Drained::Empty, "an empty outbox is drained at once");
    mock.fault(Rule::on("POST", "**", Fault::Html(503)));
    let message = discord::outbox::NewMessage {
        pipeline: "p".into(),
        stage: "2-DiscordSink".into(),
        run_id: "r".into(),
        target: "channel:1".into(),
        kind: discord::outbox::KIND,
        payload: json!({"text": "hello", "max_length": 1900, "item": "{}"}).to_string(),
    };
    use discord::outbox::Outbox as _;
    outbox.enqueue(vec![message]).await.unwrap();
    let start = Instant::now();
    assert_eq!(delivery.drain(Duration::from_millis(500)).await, Drained::Waiting);
    assert!(start.elapsed() < Duration::from_secs(2));
    mock.set_token("another");
    mock.heal();
    let start = Instant::now();
    assert_eq!(delivery.drain(LONG).await, Drained::Waiting, "a refused token is not waited for");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
