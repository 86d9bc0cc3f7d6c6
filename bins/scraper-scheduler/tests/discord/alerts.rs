//! Channels are told of failures, once each with a counter, and of the end of it.

use mock_discord::Message;

use crate::support::{LONG, World, stop};
use crate::world::shell;

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_on_one_message_and_the_recovery_is_told_over_a_restart() {
    let alert = "    on_failure: {discord_channel_id: 88}\n";
    let world = World::new(&[
        shell("fragile", "manual: true", "test -e good && echo []", alert),
        shell("quiet", "manual: true", "exit 1", ""),
    ])
    .await;
    let running = world.connected().await;
    let id = world.run("fragile", 1);
    let shows = async |count: usize, text: &str| {
        let wanted = |messages: &[Message]| {
            (messages.len() == count && messages[count - 1].text().contains(text)).then(|| messages.to_vec())
        };
        match world.mock.messages_until(LONG, wanted).await {
            Some(messages) => messages,
            None => panic!("never {count} messages with {text:?}: {:?}", world.mock.messages()),
        }
    };
    let messages = shows(1, &id).await;
    assert_eq!(messages[0].channel, 88);
    assert!(messages[0].text().contains("fragile") && messages[0].text().contains("failed"), "{messages:?}");
    world.run("quiet", 1);
    world.run("fragile", 1);
    let id = world.run("fragile", 1);
    let messages = shows(1, "×3").await;
    assert!(messages[0].text().contains(&id), "{messages:?}");
    stop(running);

    let running = world.connected().await;
    world.program.write("good", "");
    world.run("fragile", 0);
    let messages = shows(2, "works again").await;
    assert!(messages[1].text().contains("3 times"), "{messages:?}");
    world.run("fragile", 0);
    stop(running);
    assert_eq!(world.mock.messages().len(), 2, "success is no news");
}

#[tokio::test(flavor = "multi_thread")]
async fn schedulers_on_one_store_count_together_and_tell_once() {
    let alert = "    on_failure: {discord_channel_id: 88}\n";
    let world = World::new(&[shell("fragile", "manual: true", "test -e good && echo []", alert)]).await;
    let (one, other) = (world.start(), world.start());
    for _ in 0..8 {
        world.run("fragile", 1);
    }
    let wanted =
        |messages: &[Message]| messages.first().filter(|first| first.text().contains("×8")).map(|_| ());
    assert!(world.mock.messages_until(LONG, wanted).await.is_some(), "{:?}", world.mock.messages());
    world.program.write("good", "");
    for _ in 0..4 {
        world.run("fragile", 0);
    }
    let wanted =
        |messages: &[Message]| messages.get(1).filter(|end| end.text().contains("8 times")).map(|_| ());
    assert!(world.mock.messages_until(LONG, wanted).await.is_some(), "{:?}", world.mock.messages());
    stop(one);
    stop(other);
    assert_eq!(world.mock.messages().len(), 2, "{:?}", world.mock.messages());
}
