//! A mock, and a scheduler that is told of it.

use std::time::Duration;

use mock_discord::{Acknowledgement, Interaction, Message, MockConfig, MockDiscord, Ticket};
use serde_json::Value;
use test_support::process::{Finished, Program, Running};

use crate::world::{file, json};

/// Whatever is waited for takes no longer than this.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// What no log may hold.
pub(crate) const TOKEN: &str = "MTk4NjIyNDgzNDcxOTI1MjQ4.mock.token";
/// A shutdown may take this long because of Discord, and some more on a busy machine.
const GOODBYE: Duration = Duration::from_secs(5 + 3);

pub(crate) struct World {
    pub(crate) mock: MockDiscord,
    pub(crate) program: Program,
}

pub(crate) fn config() -> MockConfig {
    MockConfig { token: TOKEN.to_owned(), ..MockConfig::default() }
}

impl World {
    pub(crate) async fn new(pipelines: &[String]) -> Self {
        let world = Self::without_token(pipelines).await;
        Self { program: world.program.variable("DISCORD_TOKEN", TOKEN), ..world }
    }

    pub(crate) async fn without_token(pipelines: &[String]) -> Self {
        let mock = MockDiscord::start(config()).await.unwrap();
        let program = Program::new(env!("CARGO_BIN_EXE_scraper-scheduler"))
            .variable("SCHEDULER_TIMEZONE", "UTC")
            .variable("SCHEDULER_SHUTDOWN_GRACE", "1s")
            .variable("DISCORD_API_BASE", mock.api_base())
            .variable("DISCORD_GATEWAY_URL", mock.gateway_url())
            .file("pipelines.yml", file(pipelines));
        Self { mock, program }
    }

    /// The scheduler, once it is ready.
    pub(crate) fn start(&self) -> Running {
        let mut running = self.program.start(&[]);
        running.wait_for("is ready");
        running
    }

    /// The scheduler, once its bot is connected too.
    pub(crate) async fn connected(&self) -> Running {
        let running = self.start();
        assert!(self.mock.ready(LONG).await, "the bot did not connect");
        running
    }

    /// Nobody listens where Discord was.
    pub(crate) fn vanish(&self) {
        self.mock.stop();
    }

    /// Discord is back at the same address, and remembers nothing.
    pub(crate) async fn come_back(&mut self) {
        let port = |url: &str| url.rsplit_once(':').unwrap().1.parse().unwrap();
        let config = MockConfig {
            rest_port: port(&self.mock.api_base()),
            gateway_port: port(&self.mock.gateway_url()),
            ..config()
        };
        self.mock = MockDiscord::start(config).await.unwrap();
    }

    /// Runs a pipeline to its end, which must be this; gives the run's id.
    pub(crate) fn run(&self, pipeline: &str, code: i32) -> String {
        self.program.run(&["jobs", "run", pipeline, "--wait"]).expect(code).stdout.trim().to_owned()
    }

    /// What waits to be sent, or was given up on.
    pub(crate) fn waiting(&self) -> Vec<Value> {
        json(&self.program, &["outbox", "list"]).as_array().unwrap().clone()
    }

    /// Waits until so many items were told in a channel, and gives their numbers in the order of telling.
    pub(crate) async fn told(&self, channel: u64, count: usize) -> Vec<u64> {
        let enough = |messages: &[Message]| (numbers(messages, channel).len() >= count).then_some(());
        let found = self.mock.messages_until(LONG, enough).await;
        assert!(found.is_some(), "never {count} items, but: {:?}", self.mock.sent());
        numbers(&self.mock.sent(), channel)
    }

    pub(crate) async fn acknowledged(&self, interaction: Interaction) -> (Ticket, Acknowledgement) {
        let ticket = self.mock.interact(interaction);
        let ack = self.mock.acknowledged(&ticket, LONG).await.expect("it is acknowledged");
        (ticket, ack)
    }

    /// Waits for a text in the response.
    pub(crate) async fn shows(&self, ticket: &Ticket, text: &str) -> Message {
        match self.mock.response(ticket, LONG, |message| message.text().contains(text)).await {
            Some(message) => message,
            None => panic!("never shows {text:?}: {:?}", self.mock.original(ticket)),
        }
    }
}

/// Ends it in order and in time, and looks for secrets in what it said.
pub(crate) fn stop(running: Running) -> Finished {
    let start = pipeline_core::Stopwatch::start();
    running.signal("TERM");
    let ended = running.finish().expect(0);
    assert!(start.elapsed() < GOODBYE, "it took {:?}: {}", start.elapsed(), ended.stderr);
    for secret in [TOKEN, "webhook-secret"] {
        assert!(!ended.stderr.contains(secret) && !ended.stdout.contains(secret), "{}", ended.stderr);
    }
    ended
}

/// A pipeline that reads items from the file `items`, tells of them, and then whatever follows.
pub(crate) fn news(name: &str, settings: &str, sink: &str, more: &str) -> String {
    pipeline(name, settings, "cat items", sink, more)
}

/// A pipeline whose items a shell command prints.
pub(crate) fn pipeline(name: &str, settings: &str, command: &str, sink: &str, more: &str) -> String {
    format!(
        "  {name}:\n    schedule: {{manual: true}}\n{settings}    chain:\n      \
         - {{class: exec.CommandFetcher, kwargs: {{command: [sh, -c, '{command}']}}}}\n      \
         - {{class: json.JsonParser, kwargs: {{topic: shop.book, records: '.[]'}}}}\n      \
         - {{class: core.infra.discord_sink.DiscordSink, kwargs: {{{sink}}}}}\n{more}"
    )
}

/// The numbers of the items that were told in a channel, in order.
fn numbers(messages: &[Message], channel: u64) -> Vec<u64> {
    let of_channel = messages.iter().filter(|message| message.channel == channel && !message.deleted);
    let texts: Vec<&str> = of_channel.map(Message::content).collect();
    let found = texts.iter().flat_map(|text| text.split("\"n\": ").skip(1));
    found.map(|text| text.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()).collect()
}
