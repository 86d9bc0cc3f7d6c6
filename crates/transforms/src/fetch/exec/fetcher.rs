//! `exec.CommandFetcher`: what a command prints.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use pipeline_core::{
    BuildContext, BuildErrors, Definition, Emitter, Fetcher, HumanDuration, Item, Payload, RawItem, Record,
    StageContext, StageError, Transform, Value, fetcher,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, BufReader};
use tokio_util::sync::CancellationToken;

use super::lines::{Lines, Text, TooLong};
use super::process::{Ended, Process, ended, ended_blocking};
use super::protocol::{self, Line};

/// Output up to this size is held back until the command has succeeded; more is handed on as it comes.
const HELD_BACK: usize = 1 << 20;

/// What `exec.CommandFetcher` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandFetcherKwargs {
    /// The program and its arguments. No shell is involved: `[sh, -c, "a | b"]` asks for one. The command
    /// finds `SCRAPER_RUN_ID`, `SCRAPER_PIPELINE`, `SCRAPER_JOB_ID`, `SCRAPER_SCHEDULED_FOR` (RFC 3339, UTC)
    /// and `SCRAPER_ATTEMPT` in its environment. What it prints to stderr goes to the run's log.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// The command is ended after this time, and the run's item fails (default: no limit but the run's).
    timeout: Option<HumanDuration>,
    /// What its output is.
    #[serde(default)]
    format: Format,
}

/// What the output of a command is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("default" = "raw"))]
enum Format {
    /// The whole output is one payload.
    #[default]
    Raw,
    /// Each line is an item: `{"topic", "content"}`, or `{"source", "text"}` for a payload; a line of any
    /// other JSON is a payload itself.
    Jsonl,
}

/// Runs a command and emits what it prints.
pub(crate) struct CommandFetcher(CommandFetcherKwargs);

impl Definition for CommandFetcher {
    const CLASS: &'static str = "exec.CommandFetcher";
    const SUMMARY: &'static str = "Runs a command; what it prints is a payload, or a line an item.";
    const EXAMPLE: &'static str = "\
class: exec.CommandFetcher
kwargs: {command: [git, log, --format=%h %s], timeout: 30s}
";

    type Kwargs = CommandFetcherKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        check_command(&kwargs.command)?;
        Ok(fetcher(Self(kwargs)))
    }
}

/// A command needs a program.
pub(super) fn check_command(command: &[String]) -> Result<(), BuildErrors> {
    match command.first() {
        None => Err(BuildErrors::at("command", "a command needs a program: `[prog, args…]`")),
        Some(program) if program.is_empty() => {
            Err(BuildErrors::at("command[0]", "the name of the program must not be empty"))
        }
        Some(_) => match command.iter().position(|part| part.contains('\0')) {
            Some(at) => Err(BuildErrors::at(format!("command[{at}]"), "an argument cannot hold a NUL")),
            None => Ok(()),
        },
    }
}

impl Fetcher for CommandFetcher {
    async fn fetch(&mut self, ctx: &StageContext, out: &mut Emitter) -> Result<(), StageError> {
        let timeout = self.0.timeout.map(Into::into);
        let item = self.item(Payload::from(""), ctx);
        let process = match Process::start(&self.0.command, false, timeout, ctx).await {
            Ok(process) => process,
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => return Err(error.with_item(item)),
        };
        let done = match self.0.format {
            Format::Raw => self.raw(process, ctx, out).await,
            Format::Jsonl => self.lines(process, ctx, out).await,
        };
        done.map_err(|error| if error.has_item() { error } else { error.with_item(item) })
    }
}

impl CommandFetcher {
    fn program(&self) -> &str {
        self.0.command.first().map_or("", String::as_str)
    }

    fn item(&self, payload: Payload, ctx: &StageContext) -> RawItem {
        let metadata: Record = [("program", Value::from(self.program()))].into_iter().collect();
        RawItem { source: self.program().to_owned(), payload, fetched_at: ctx.now(), metadata }
    }

    async fn raw(
        &self,
        mut process: Process,
        ctx: &StageContext,
        out: &mut Emitter,
    ) -> Result<(), StageError> {
        let unreadable = |error: io::Error| {
            StageError::item("the command's output cannot be read").at(self.program()).caused_by(error)
        };
        let mut held = Vec::new();
        let mut start = (&mut process.stdout).take(HELD_BACK as u64);
        start.read_to_end(&mut held).await.map_err(unreadable)?;
        if held.len() < HELD_BACK {
            // This was all: whether it counts is known when the command has ended.
            ended(process.ended, self.program()).await.result()?;
            out.emit(self.item(held.into(), ctx)).await;
            return Ok(());
        }
        let stopper = process.stopper();
        let left_early = Arc::new(AtomicBool::new(false));
        let Process { stdout, ended: at_end, verdict, guard: _guard, .. } = process;
        let reader = OutputReader {
            start: Cursor::new(held.into()),
            rest: File::from(stdout.into_owned_fd().map_err(unreadable)?),
            program: self.program().to_owned(),
            verdict: Some(verdict),
            left_early: left_early.clone(),
            stopper,
        };
        out.emit(self.item(Payload::Reader(Box::new(reader)), ctx)).await;
        let result = ended(at_end, self.program()).await.result();
        if left_early.load(Ordering::Acquire) {
            ctx.debug("the output was not read to its end");
            return Ok(());
        }
        result
    }

    async fn lines(
        &self,
        mut process: Process,
        ctx: &StageContext,
        out: &mut Emitter,
    ) -> Result<(), StageError> {
        let mut lines = Lines::new(BufReader::new(&mut process.stdout), protocol::MAX_LINE, TooLong::Fail);
        let mut number = 0_u64;
        let mut torn = None;
        loop {
            number += 1;
            let place = || format!("{}: line {number}", self.program());
            let text = lines.next().await.map_err(|error| {
                StageError::item("the command's output cannot be read").at(place()).caused_by(error)
            })?;
            let Some(Text { line, finished }) = text else { break };
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match protocol::decode(line, ctx.now()) {
                Ok(Line::Item(item)) => out.emit(*item).await,
                Ok(Line::Other) => out.emit(self.item(Bytes::copy_from_slice(line).into(), ctx)).await,
                Err(error) => {
                    let item: Item = self.item(Bytes::copy_from_slice(line).into(), ctx).into();
                    let error = error.at(place()).with_item(item);
                    if finished {
                        out.error(error).await;
                    } else {
                        torn = Some(error);
                    }
                }
            }
        }
        // A command that was cut off tears its last line: then that it failed is the better message.
        ended(process.ended, self.program()).await.result()?;
        torn.map_or(Ok(()), Err)
    }
}

/// The output of a command that is still running. Its end is an error where the command fails.
struct OutputReader {
    start: Cursor<Bytes>,
    rest: File,
    program: String,
    verdict: Option<tokio::sync::oneshot::Receiver<Ended>>,
    left_early: Arc<AtomicBool>,
    stopper: CancellationToken,
}

impl Read for OutputReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = Read::read(&mut self.start, buffer)?;
        if read == 0 {
            read = Read::read(&mut self.rest, buffer)?;
        }
        if read == 0
            && !buffer.is_empty()
            && let Some(verdict) = self.verdict.take()
        {
            ended_blocking(verdict, &self.program).result().map_err(io::Error::other)?;
        }
        Ok(read)
    }
}

impl Drop for OutputReader {
    fn drop(&mut self) {
        if self.verdict.is_some() {
            self.left_early.store(true, Ordering::Release);
            self.stopper.cancel();
        }
    }
}
