//! What messages look like. The mock refuses whatever Discord would refuse.

use mock_discord::{Message, MessageKind, MockConfig};
use serde_json::{Value, json};

use crate::support::{World, channel, item, numbered};

/// The one message that was sent.
async fn only(world: &World) -> Message {
    world.empty().await;
    let sent = world.mock.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    sent[0].clone()
}

/// The JSON of the blocks of a text.
fn blocks(text: &str) -> Vec<Value> {
    text.split("```json\n")
        .skip(1)
        .map(|b| serde_json::from_str(b.split("\n```").next().unwrap()).unwrap())
        .collect()
}

#[tokio::test]
async fn items_become_one_message_and_pass_on() {
    let world = World::new().await;
    let report = world.run(json!({"channel_id": "77"}), numbered(3, 10)).await;
    assert_eq!(report.stages[1].items_out, 3);
    let message = only(&world).await;
    assert_eq!((message.channel, message.kind), (77, MessageKind::Channel));
    let text = message.content();
    assert!(text.starts_with("📊 **New item on shop.book**\n```json\n{"), "{text}");
    let numbers: Vec<Value> = blocks(text).iter().map(|b| b["n"].clone()).collect();
    assert_eq!(numbers, ["0", "1", "2"]);
    assert_eq!(message.body["allowed_mentions"], json!({"parse": []}));
    assert_eq!(message.body["enforce_nonce"], true);
    world.stop().await;
}

#[tokio::test]
async fn hostile_content_stays_in_its_block() {
    let world = World::new().await;
    let nasty = "``` @everyone <@3> ```` ~~x~~ \u{202e}";
    world.run(channel(1), vec![item("t **@everyone** `x`", &[("a ``` b", nasty)])]).await;
    let message = only(&world).await;
    assert_eq!(message.content().matches("```").count(), 2, "{}", message.content());
    assert_eq!(blocks(message.content())[0]["a ``` b"], nasty);
    assert!(!message.content().contains("**@everyone"), "{}", message.content());
}

#[tokio::test]
async fn long_items_are_cut_and_their_blocks_closed() {
    for (text, max_length) in
        [("😀".repeat(13_000), 1900), ("漢字\n".repeat(5000), 300), ("x".repeat(50_000), 2000)]
    {
        let world = World::new().await;
        world
            .run(json!({"channel_id": 1, "max_length": max_length}), vec![item("t", &[("text", &text)])])
            .await;
        let message = only(&world).await;
        let content = message.content();
        assert!(content.encode_utf16().count() <= max_length && content.ends_with("\n```"), "{content}");
        let json = content.split("```json\n").nth(1).unwrap().strip_suffix("\n```").unwrap();
        assert!(json.chars().count() <= 800 && json.ends_with('…'));
    }
}

#[tokio::test]
async fn many_items_become_a_file() {
    for kwargs in [
        channel(1),
        json!({"channel_id": 1, "embed": true}),
        json!({"webhook_url": "https://discord.com/api/webhooks/8/t"}),
    ] {
        let world = World::new().await;
        world.run(kwargs.clone(), numbered(300, 100)).await;
        let message = only(&world).await;
        assert!(message.content().contains("300 new items"), "{}", message.content());
        assert_eq!(message.files[0].name, "items.jsonl");
        let lines: Vec<Value> = std::str::from_utf8(&message.files[0].bytes)
            .unwrap()
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(lines.len(), 300, "{kwargs}");
        for (i, line) in lines.iter().enumerate() {
            assert_eq!((&line["topic"], &line["content"]["n"]), (&json!("shop.book"), &json!(i.to_string())));
        }
    }
}

#[tokio::test]
async fn an_own_text() {
    let world = World::new().await;
    let template = "{{ topic }}: {{ content.n }} of {{ run.pipeline }}";
    world.run(json!({"channel_id": 1, "template": template}), numbered(2, 1)).await;
    assert_eq!(only(&world).await.content(), "shop.book: 0 of books\nshop.book: 1 of books");
    // An item that lacks what the template names is sent all the same.
    let world = World::new().await;
    let report = world.run(json!({"channel_id": 1, "template": "{{ content.price }}"}), numbered(2, 1)).await;
    assert_eq!(report.outcome, pipeline_core::RunOutcome::Succeeded);
    assert_eq!(blocks(only(&world).await.content()).len(), 2);
}

#[tokio::test]
async fn an_own_text_that_is_long_is_split_or_becomes_a_file() {
    let text = (0..400).map(|i| format!("line {i}\n")).collect::<String>();
    let kwargs = json!({"channel_id": 1, "template": "```\n{{ content.text }}```"});
    let world = World::new().await;
    world.run(kwargs.clone(), vec![item("t", &[("text", &text)])]).await;
    world.empty().await;
    let sent = world.mock.sent();
    assert_eq!(sent.len(), 2);
    let mut lines = Vec::new();
    for message in &sent {
        assert_eq!(message.content().matches("```").count(), 2, "{}", message.content());
        lines.extend(message.content().lines().filter(|l| !l.starts_with("```")).map(|l| format!("{l}\n")));
    }
    assert_eq!(lines.concat(), text);
    let world = World::new().await;
    let text = text.repeat(4);
    world.run(kwargs, vec![item("t", &[("text", &text)])]).await;
    let message = only(&world).await;
    assert_eq!(message.files[0].name, "messages.txt");
    assert_eq!(std::str::from_utf8(&message.files[0].bytes).unwrap(), format!("```\n{text}```\n"));
}

#[tokio::test]
async fn cards() {
    let world = World::new().await;
    let fields: Vec<(String, String)> = (0..26).map(|i| (format!("field {i}"), "v*".repeat(200))).collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let big = item("t", &fields);
    let small = item("t", &[("url", "https://example.com/x"), ("empty", "")]);
    world.run(json!({"channel_id": 1, "embed": true}), vec![small, big]).await;
    let message = only(&world).await;
    let embeds = message.body["embeds"].as_array().unwrap();
    assert_eq!((embeds.len(), &embeds[0]["url"]), (2, &json!("https://example.com/x")));
    assert_eq!(embeds[0]["title"], "📊 New item on t");
}

#[tokio::test]
async fn a_webhook_needs_no_token_and_is_never_named() {
    let webhooks = Some(vec![(8, "sesame-token".to_owned())]);
    let world = World::with(MockConfig { webhooks, ..MockConfig::default() }, None).await;
    let url = "https://discord.com/api/v10/webhooks/8/sesame-token";
    world.run(json!({"webhook_url": url}), numbered(1, 1)).await;
    let message = only(&world).await;
    assert_eq!(message.kind, MessageKind::Webhook(8));
    let request = &world.mock.requests()[0];
    assert_eq!((request.path.as_str(), request.authorization.as_deref()), ("/webhooks/8/sesame-token", None));
    assert!(request.body.get("nonce").is_none(), "webhooks know none");
    world
        .run(json!({"webhook_url": "https://discord.com/api/v10/webhooks/8/sesame-wrong"}), numbered(1, 1))
        .await;
    world
        .mock
        .requests_until(crate::support::LONG, |r| (r.len() == 2 && r[1].status.is_some()).then_some(()))
        .await
        .unwrap();
    world.stop().await;
    assert_eq!(crate::logs::lines_with("sesame"), Vec::<String>::new());
}
