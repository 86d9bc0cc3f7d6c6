//! `outbox list|retry|purge`

use jobstore::{JobStore, MessageFilter, MessageId, MessageRecord, MessageSelection, MessageState};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{self, Table, utc};
use crate::settings::Settings;
use crate::store;

/// What to do with messages that wait to be sent.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Lists the messages that wait, or were given up on, and why
    List(ListArgs),
    /// Sends messages again as soon as possible
    Retry(SelectArgs),
    /// Deletes messages unsent
    Purge(SelectArgs),
}

/// Which messages to list.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// In this state: waiting, sending, dead
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Of this pipeline
    #[arg(long, value_name = "PIPELINE")]
    pipeline: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which messages.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SelectArgs {
    /// These
    #[arg(value_name = "MESSAGE")]
    ids: Vec<i64>,
    /// All that were given up on
    #[arg(long)]
    dead: bool,
    /// All
    #[arg(long)]
    all: bool,
}

/// A message, as `--json` prints it. Its content is not shown here: it may be long.
#[derive(Debug, Serialize)]
pub(crate) struct MessageJson {
    id: i64,
    pipeline: String,
    stage: String,
    run_id: Option<String>,
    target: String,
    kind: String,
    state: String,
    attempts: i32,
    next_at: String,
    error: Option<String>,
    created_at: String,
}

impl MessageJson {
    pub(crate) fn new(message: &MessageRecord) -> Self {
        Self {
            id: message.id.0,
            pipeline: message.pipeline.clone(),
            stage: message.stage.clone(),
            run_id: message.run.map(|run| run.to_string()),
            target: message.target.clone(),
            kind: message.kind.clone(),
            state: message.state.to_string(),
            attempts: message.attempts,
            next_at: utc(message.next_at),
            error: message.error.clone(),
            created_at: utc(message.created_at),
        }
    }
}

pub(crate) async fn run(command: &Command, settings: &Settings) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(args, settings).await,
        Command::Retry(args) => {
            let store = store::edit(settings).await?;
            let count = store.retry_messages(args.selection(), settings.clock().now()).await?;
            counted(store.as_ref(), args, count, "will be sent again")
        }
        Command::Purge(args) => {
            let store = store::edit(settings).await?;
            let count = store.purge_messages(args.selection()).await?;
            counted(store.as_ref(), args, count, "deleted")
        }
    }
}

async fn list(args: &ListArgs, settings: &Settings) -> Result<(), Failure> {
    let state = args.state.as_deref().map(str::parse::<MessageState>).transpose().map_err(Failure::usage)?;
    let store = store::query(settings).await?;
    let filter = MessageFilter { state, pipeline: args.pipeline.clone(), ..MessageFilter::default() };
    let messages = store.messages(filter).await?;
    if args.json {
        let messages: Vec<MessageJson> = messages.iter().map(MessageJson::new).collect();
        return output::json(&messages);
    }
    let mut table =
        Table::new(&["MESSAGE", "PIPELINE", "STAGE", "TARGET", "STATE", "TRIES", "NEXT TRY", "WHY"]);
    for message in &messages {
        let next = if message.state == MessageState::Dead { "-".to_owned() } else { utc(message.next_at) };
        table.row([
            message.id.to_string(),
            message.pipeline.clone(),
            message.stage.clone(),
            message.target.clone(),
            message.state.to_string(),
            message.attempts.to_string(),
            next,
            message.error.clone().unwrap_or_default(),
        ]);
    }
    if table.is_empty() {
        output::say("No messages are waiting.");
        return Ok(());
    }
    output::line(table.render())
}

impl SelectArgs {
    fn selection(&self) -> MessageSelection {
        if self.all {
            MessageSelection::All
        } else if self.dead {
            MessageSelection::State(MessageState::Dead)
        } else {
            MessageSelection::Ids(self.ids.iter().copied().map(MessageId).collect())
        }
    }
}

fn counted(store: &dyn JobStore, args: &SelectArgs, count: usize, what: &str) -> Result<(), Failure> {
    let noun = if count == 1 { "message" } else { "messages" };
    output::line(format!("{count} {noun} {what}"))?;
    if count < args.ids.len() {
        let place = store.place();
        return Err(Failure::failed(format!("not all of these messages are in the outbox of {place}")));
    }
    Ok(())
}
