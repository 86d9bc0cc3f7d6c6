//! Messages and alerts leave before the program ends.

use mock_discord::{MockConfig, MockDiscord};
use test_support::process::{Finished, Program};

use crate::{FAILS, legacy};

const FILE: &str = "pipelines:\n  good:\n    chain:\n      - {class: items.ItemsFetcher, kwargs: {topic: shop.book, items: [{title: Emma}]}}\n      - {class: discord.DiscordSink, kwargs: {channel_id: 77, embed: false}}\n";

async fn run(program: Program, arguments: &'static [&'static str]) -> Finished {
    tokio::task::spawn_blocking(move || program.run(arguments)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn items_and_failures_are_told() {
    let mock = MockDiscord::start(MockConfig::default()).await.unwrap();
    let file =
        format!("{FILE}  bad: {{on_failure: {{discord_channel_id: \"${{CHANNEL}}\"}}, chain: [{FAILS}]}}\n");
    let program = || {
        legacy(&file)
            .variable("DISCORD_TOKEN", MockConfig::default().token)
            .variable("DISCORD_API_BASE", mock.api_base())
            .variable("CHANNEL", "78")
    };
    drop(run(program(), &["--dry-run"]).await.expect(1));
    assert!(mock.messages().is_empty(), "a dry run tells nobody");
    let finished = run(program(), &[]).await.expect(1);
    let contents: Vec<String> = mock.messages().iter().map(|message| format!("{message:?}")).collect();
    assert_eq!(contents.len(), 2, "{contents:?}\n{}", finished.stderr);
    assert!(
        contents.iter().any(|message| message.contains("New item on shop.book") && message.contains("Emma"))
    );
    assert!(
        contents.iter().any(|message| message.contains("bad") && message.contains("no luck")),
        "{contents:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_the_run_succeeds_and_says_what_is_lost() {
    let finished = run(legacy(FILE), &[]).await.expect(0);
    assert!(finished.stderr.contains("DISCORD_TOKEN is not set"), "{}", finished.stderr);
    let finished = run(legacy(FILE).variable("DISCORD_API_BASE", "nowhere"), &[]).await.expect(2);
    assert!(finished.stderr.starts_with("error: DISCORD_API_BASE: "), "{}", finished.stderr);
}
