//! What sinks send: with the run's success, in order, each at least once, also over restarts.

use mock_discord::{Captured, Fault, Rule};

use crate::support::{LONG, World, news, pipeline, stop};
use crate::world::{json, until};

const TO_77: &str = "channel_id: 77";

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_for_discord_survive_a_kill_and_arrive_in_order() {
    let mut world = World::new(&[news("news", "", TO_77, "")]).await;
    world.vanish();
    let running = world.start();
    world.program.write("items", "[{\"n\": 1}, {\"n\": 2}]");
    world.run("news", 0);
    world.program.write("items", "[{\"n\": 3}]");
    world.run("news", 0);
    let tried = || world.waiting().iter().any(|message| message["attempts"].as_i64() > Some(0)).then_some(());
    until("sending was tried", tried);
    let waiting = world.waiting();
    assert_eq!(waiting.len(), 3, "{waiting:?}");
    assert!(waiting.iter().all(|m| m["target"] == "channel:77" && m["pipeline"] == "news"), "{waiting:?}");
    assert_eq!(waiting[0]["state"], "sending", "sealed before it was first sent: {waiting:?}");
    running.signal("KILL");
    running.finish().expect(128 + 9);

    let running = world.start();
    world.program.write("items", "[{\"n\": 4}]");
    world.run("news", 0);
    world.come_back().await;
    assert_eq!(world.told(77, 4).await, [1, 2, 3, 4]);
    until("nothing waits any more", || world.waiting().is_empty().then_some(()));
    stop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_run_tells_nothing_and_a_retried_run_tells_its_news_once() {
    let many = |count: u32| format!("      - {{class: expect.ExpectItems, kwargs: {{min: {count}}}}}\n");
    let failing = news("failing", "", TO_77, &many(9));
    // The first attempt finds too little.
    let command = "test $SCRAPER_ATTEMPT = 1 && cat few || cat items";
    let retry = "    retry: {max_attempts: 2, backoff: 100ms}\n";
    let world = World::new(&[failing, pipeline("retried", retry, command, TO_77, &many(2))]).await;
    world.program.write("few", "[{\"n\": 1}]");
    world.program.write("items", "[{\"n\": 5}, {\"n\": 6}]");
    let running = world.connected().await;
    world.run("failing", 1);
    let id = world.run("retried", 0);
    assert_eq!(json(&world.program, &["runs", "show", &id])["attempt"], 2);
    world.told(77, 2).await;
    until("nothing waits any more", || world.waiting().is_empty().then_some(()));
    assert_eq!(world.told(77, 2).await, [5, 6]);
    stop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_on_its_way_at_the_end_is_sent_again_with_its_nonce() {
    let world = World::new(&[news("news", "", TO_77, "")]).await;
    world.program.write("items", "[{\"n\": 1}]");
    world.mock.fault(Rule::on("POST", "/channels/**", Fault::Hang));
    let posts = |log: &[Captured]| -> Vec<Captured> {
        log.iter().filter(|request| request.is("POST", "/channels/*/messages")).cloned().collect()
    };
    let running = world.connected().await;
    world.run("news", 0);
    let one = |log: &[Captured]| posts(log).first().cloned();
    let first = world.mock.requests_until(LONG, one).await.expect("it is being sent");
    stop(running);
    world.mock.heal();
    let running = world.connected().await;
    assert_eq!(world.told(77, 1).await, [1]);
    let again = posts(&world.mock.requests()).pop().unwrap();
    assert_eq!(again.body["nonce"], first.body["nonce"]);
    stop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_need_no_token() {
    let url = "webhook_url: \"https://discord.com/api/webhooks/6/webhook-secret\"";
    let world = World::without_token(&[news("news", "", url, "")]).await;
    world.program.write("items", "[{\"n\": 1}]");
    world.mock.fault(Rule::on("POST", "/webhooks/**", Fault::Html(503)).times(1));
    let running = world.start();
    world.run("news", 0);
    let listed = until("it was tried", || {
        let waiting = world.waiting();
        waiting.iter().any(|message| message["error"].is_string()).then_some(waiting)
    });
    assert!(!serde_json::to_string(&listed).unwrap().contains("webhook-secret"), "{listed:?}");
    let sent = |messages: &[mock_discord::Message]| messages.first().cloned();
    let message = world.mock.messages_until(LONG, sent).await.expect("it is sent");
    assert_eq!(message.kind, mock_discord::MessageKind::Webhook(6));
    assert!(world.mock.connections().is_empty(), "there is no bot");
    stop(running);
}
