//! `exec.CommandTransform`: a stage in any language.

use pipeline_core::{
    Batch, BuildContext, BuildErrors, Definition, Emitter, HumanDuration, Item, ItemStream, StageContext,
    StageError, Transform,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncWriteExt, BufReader, BufWriter};
use tokio::process::{ChildStdin, ChildStdout};

use super::fetcher::check_command;
use super::lines::{Lines, Text, TooLong};
use super::process::{Process, ended};
use super::protocol::{self, Line};

/// What `exec.CommandTransform` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandTransformKwargs {
    /// The program and its arguments. It reads items as JSON lines from stdin, until that is closed, and
    /// writes the items that follow to stdout: `{"topic", "content"}`, or `{"source", "text"}` (or
    /// `"payload_base64"`) for a payload. Messages belong to stderr; they go to the run's log. It should flush
    /// after each line where items are to go on before its end.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// The command is ended after this time, and the run fails (default: no limit but the run's).
    timeout: Option<HumanDuration>,
}

/// Hands the items to a command; what it prints goes on.
pub(crate) struct CommandTransform(CommandTransformKwargs);

impl Definition for CommandTransform {
    const CLASS: &'static str = "exec.CommandTransform";
    const SUMMARY: &'static str =
        "A stage in any language: a command that reads items as JSON lines and prints the items that follow.";
    const EXAMPLE: &'static str = "\
class: exec.CommandTransform
kwargs: {command: [python3, enrich.py], timeout: 10m}
";

    type Kwargs = CommandTransformKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        check_command(&kwargs.command)?;
        Ok(Box::new(Self(kwargs)))
    }
}

impl Transform for CommandTransform {
    fn connect(self: Box<Self>, mut input: ItemStream, ctx: StageContext) -> ItemStream {
        ItemStream::generate(move |mut out| async move {
            // It starts with its first input; without any it still may have something to say at the end.
            let first = input.next_batch().await.transpose()?;
            let CommandTransformKwargs { command, timeout } = self.0;
            let program = command.first().cloned().unwrap_or_default();
            let started = Process::start(&command, true, timeout.map(Into::into), &ctx).await;
            let mut process = started.map_err(StageError::into_fatal)?;
            let stdin = process.stdin.take();
            let torn = {
                let ended = ended(process.ended, &program);
                let work = async {
                    let feed = feed(first, input, stdin, &program, &ctx);
                    let read = read(&mut process.stdout, &program, &ctx, &mut out);
                    tokio::try_join!(feed, read)
                };
                tokio::pin!(ended, work);
                tokio::select! {
                    biased;
                    done = &mut work => {
                        let ((), torn) = done?;
                        ended.await.result().map_err(StageError::into_fatal)?;
                        torn
                    }
                    // A command that has failed must not wait for the end of a long input to be heard.
                    end = &mut ended => {
                        end.result().map_err(StageError::into_fatal)?;
                        work.await?.1
                    }
                }
            };
            if let Some(error) = torn {
                out.error(error).await;
            }
            Ok(())
        })
    }
}

/// Writes the items to the command, and closes its stdin at their end.
async fn feed(
    mut batch: Option<Batch>,
    mut input: ItemStream,
    stdin: Option<ChildStdin>,
    program: &str,
    ctx: &StageContext,
) -> Result<(), StageError> {
    let mut stdin = stdin.map(|stdin| BufWriter::with_capacity(64 << 10, stdin));
    while let Some(items) = batch {
        for item in items.items {
            let Some(pipe) = &mut stdin else { break };
            let line = encode(item).await?;
            if let Err(error) = pipe.write_all(&line).await {
                stdin = closed(error, program, ctx)?;
            }
        }
        if let Some(pipe) = &mut stdin
            && let Err(error) = pipe.flush().await
        {
            stdin = closed(error, program, ctx)?;
        }
        // The input is taken to its end even when the command does not want it: stages before this one
        // may do their work on all of it.
        batch = input.next_batch().await.transpose()?;
    }
    Ok(())
}

/// A command may stop reading; that is its choice, and said.
fn closed(
    error: std::io::Error,
    program: &str,
    ctx: &StageContext,
) -> Result<Option<BufWriter<ChildStdin>>, StageError> {
    if error.kind() != std::io::ErrorKind::BrokenPipe {
        let failed = StageError::fatal("the command cannot be written to").at(program);
        return Err(failed.caused_by(error));
    }
    ctx.warn(format!("{program}: the command stopped reading before the end of its input"));
    ctx.mark_incomplete(format!("the command of stage {} did not read its whole input", ctx.number()));
    Ok(None)
}

async fn encode(item: Item) -> Result<Vec<u8>, StageError> {
    let blocks = matches!(&item, Item::Raw(raw) if !matches!(raw.payload, pipeline_core::Payload::Bytes(_)));
    if !blocks {
        return protocol::encode(item);
    }
    match tokio::task::spawn_blocking(move || protocol::encode(item)).await {
        Ok(line) => line,
        Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
        Err(_) => Err(StageError::fatal("the runtime is shutting down")),
    }
}

/// Emits what the command prints. Returns the error of a last line that was not finished: where the
/// command failed, that is the reason for it, and the better message.
async fn read(
    stdout: &mut ChildStdout,
    program: &str,
    ctx: &StageContext,
    out: &mut Emitter,
) -> Result<Option<StageError>, StageError> {
    // The seed goes on, so that a fetcher behind this stage runs as it would without it.
    out.emit_batch(vec![Item::Trigger].into()).await;
    let mut lines = Lines::new(BufReader::new(stdout), protocol::MAX_LINE, TooLong::Fail);
    let mut number = 0_u64;
    loop {
        let line = lines.next().await.map_err(|error| {
            StageError::fatal("the command's output cannot be read").at(program).caused_by(error)
        })?;
        let Some(Text { line, finished }) = line else { return Ok(None) };
        number += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let error = match protocol::decode(line, ctx.now()) {
            Ok(Line::Item(item)) => {
                out.emit(*item).await;
                continue;
            }
            Ok(Line::Other) => StageError::item(format!("no item: `{}`", protocol::excerpt(line)))
                .hint(r#"a line is {"topic", "content"} or {"source", "text"}; messages belong to stderr"#),
            Err(error) => error.hint("messages belong to stderr"),
        };
        let error = error.at(format!("{program}: line {number}"));
        if !finished {
            return Ok(Some(error));
        }
        out.error(error).await;
    }
}
