//! A command with all its children: started, watched, and never left behind.
//!
//! The command leads a process group. Its group is asked to end (SIGTERM) when the stage that started it
//! is dropped, when its time is over, and when the command itself has ended and left children behind
//! (these get a second to finish first); what is still there after five seconds is killed. A process that
//! leaves its group on purpose (`setsid`, a daemon) leaves our sight too.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use pipeline_core::{StageContext, StageError, duration};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::lines::{Lines, TooLong};
use super::watchdog::Watchdog;

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// How long children may go on when the command itself has ended.
const AFTERGLOW: Duration = Duration::from_secs(1);

/// How often the group is looked at while it ends; the kernel tells nobody but the parent.
const LOOK: Duration = Duration::from_millis(50);

/// Lines of stderr that are logged; the rest is only counted.
const LOGGED_LINES: u64 = 1000;

/// The longest line of stderr that is kept.
const LOGGED_LINE: usize = 4096;

/// The last lines of stderr, which go into the error.
const LAST_LINES: usize = 5;

/// Variables that every command gets on top of what it inherits: those of a `.env` file, which is never
/// written into the environment of the program itself. A service of the composing program.
#[derive(Clone, Default)]
pub struct CommandEnvironment(pub Vec<(String, String)>);

impl std::fmt::Debug for CommandEnvironment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CommandEnvironment({} variables)", self.0.len())
    }
}

/// A running command. When this is dropped, the command and its children are ended.
pub(super) struct Process {
    /// Its standard input, where asked for.
    pub(super) stdin: Option<ChildStdin>,
    /// Its standard output.
    pub(super) stdout: ChildStdout,
    /// How it ended, once it has.
    pub(super) ended: oneshot::Receiver<Ended>,
    /// The same for a second listener.
    pub(super) verdict: oneshot::Receiver<Ended>,
    stop: CancellationToken,
    /// Ends the command when it is dropped.
    pub(super) guard: DropGuard,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    how: How,
    program: String,
    last_lines: Vec<String>,
}

#[derive(Debug, Clone)]
enum How {
    Exited(ExitStatus),
    TimedOut(Duration),
    Stopped,
    Lost(String),
}

impl Ended {
    /// Success, or what is to be said.
    pub(super) fn result(&self) -> Result<(), StageError> {
        let message = match &self.how {
            How::Exited(status) if status.success() => return Ok(()),
            How::Exited(status) => describe(*status),
            How::TimedOut(after) => format!("timed out after {}", duration::format(*after)),
            How::Stopped => "was stopped".to_owned(),
            How::Lost(error) => format!("could not be waited for: {error}"),
        };
        let mut message = format!("the command {message}");
        if !self.last_lines.is_empty() {
            message.push_str("; its last words were: ");
            message.push_str(&self.last_lines.join(" | "));
        }
        Err(StageError::item(message).at(&self.program))
    }

    fn lost(program: &str) -> Self {
        let how = How::Lost("the runtime is shutting down".to_owned());
        Self { how, program: program.to_owned(), last_lines: Vec::new() }
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended for an unknown reason".to_owned(),
    }
}

impl Process {
    /// Starts a command.
    ///
    /// # Errors
    /// Where it cannot be started, or the run must not act any more.
    pub(super) async fn start(
        command: &[String],
        with_input: bool,
        timeout: Option<Duration>,
        ctx: &StageContext,
    ) -> Result<Self, StageError> {
        ctx.may_act().await?;
        let (program, arguments) = command.split_first().ok_or_else(|| StageError::fatal("no command"))?;
        let mut os_command = Command::new(program);
        if let Some(environment) = ctx.service::<CommandEnvironment>() {
            os_command.envs(environment.0.iter().cloned());
        }
        os_command.args(arguments).envs(ctx.identity().environment());
        os_command.stdin(if with_input { Stdio::piped() } else { Stdio::null() });
        os_command.stdout(Stdio::piped()).stderr(Stdio::piped());
        os_command.process_group(0).kill_on_drop(true);
        let mut child = os_command.spawn().map_err(|error| {
            let failed = StageError::item("the command cannot be started").at(program);
            match error.kind() {
                std::io::ErrorKind::NotFound => {
                    failed.hint("is it installed, and on the PATH?").caused_by(error)
                }
                _ => failed.caused_by(error),
            }
        })?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).map(Group::new);
        let (Some(stdout), Some(stderr), Some(group)) = (stdout, stderr, group) else {
            return Err(StageError::fatal("the command ended before it could be watched").at(program));
        };
        let watchdog = Watchdog::over(group.id, ctx);
        let stop = CancellationToken::new();
        let (tell_stage, ended) = oneshot::channel();
        let (tell_reader, verdict) = oneshot::channel();
        let supervisor = tokio::spawn({
            let (ctx, stop, program) = (ctx.clone(), stop.clone(), program.clone());
            async move {
                let last_lines = tokio::spawn(log_lines(stderr, ctx.clone()));
                let how = supervise(child, &group, timeout, &stop, &ctx).await;
                group.gone();
                if let Some(watchdog) = watchdog {
                    watchdog.dismiss().await;
                }
                let ended = Ended { how, program, last_lines: collect(last_lines, &ctx).await };
                // A listener that is gone does not want to know.
                tell_reader.send(ended.clone()).ok();
                tell_stage.send(ended).ok();
            }
        });
        // The run is not over before the command is.
        let ending = stop.clone();
        ctx.defer(async move {
            ending.cancel();
            supervisor.await.ok();
        });
        Ok(Self { stdin, stdout, ended, verdict, stop: stop.clone(), guard: stop.drop_guard() })
    }

    /// What ends the command early.
    pub(super) fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }
}

/// How the command ended, from one of its listeners.
pub(super) async fn ended(listener: oneshot::Receiver<Ended>, program: &str) -> Ended {
    listener.await.unwrap_or_else(|_| Ended::lost(program))
}

/// The same on a thread that may block.
pub(super) fn ended_blocking(listener: oneshot::Receiver<Ended>, program: &str) -> Ended {
    listener.blocking_recv().unwrap_or_else(|_| Ended::lost(program))
}

/// A process group that is killed where nobody said that it is gone.
struct Group {
    id: Pid,
    gone: std::sync::atomic::AtomicBool,
}

impl Group {
    fn new(id: Pid) -> Self {
        Self { id, gone: false.into() }
    }

    /// Sends a signal; a group that is gone needs none.
    fn signal(&self, signal: Signal) {
        kill_process_group(self.id, signal).ok();
    }

    /// Whether a process of the group is left that does anything.
    fn is_alive(&self) -> bool {
        test_kill_process_group(self.id).is_ok() && !self.is_dead_by_proc()
    }

    /// Whether all that is left of the group are the dead whose parent does not look after them, as it is in
    /// containers without an init. Only Linux tells; elsewhere the answer is no.
    fn is_dead_by_proc(&self) -> bool {
        let Ok(processes) = std::fs::read_dir("/proc") else { return false };
        let mut seen = false;
        for process in processes.flatten() {
            let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
            // The name in parentheses may hold anything; after it come state, parent and group.
            let Some((_, rest)) = stat.rsplit_once(')') else { continue };
            let mut fields = rest.split_ascii_whitespace();
            let (state, group) = (fields.next(), fields.nth(1).and_then(|group| group.parse::<i32>().ok()));
            if group == Some(self.id.as_raw_nonzero().get()) {
                seen = true;
                if !matches!(state, Some("Z" | "X")) {
                    return false;
                }
            }
        }
        seen
    }

    fn gone(&self) {
        self.gone.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Only where the runtime is torn down under the supervisor.
        if !self.gone.load(std::sync::atomic::Ordering::Relaxed) {
            self.signal(Signal::KILL);
        }
    }
}

/// Waits for the command and sees to it that its group is gone afterwards.
async fn supervise(
    mut child: Child,
    group: &Group,
    timeout: Option<Duration>,
    stop: &CancellationToken,
    ctx: &StageContext,
) -> How {
    let how = tokio::select! {
        biased;
        status = child.wait() => match status {
            Ok(status) => How::Exited(status),
            Err(error) => How::Lost(error.to_string()),
        },
        () = stop.cancelled() => How::Stopped,
        () = expired(timeout, ctx) => How::TimedOut(timeout.unwrap_or_default()),
    };
    if matches!(how, How::Exited(_)) {
        if !group.is_alive() {
            return how;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = ctx.sleep(AFTERGLOW) => {}
            () = empty(group, ctx) => return how,
        }
    }
    group.signal(Signal::TERM);
    tokio::select! {
        // The command is reaped, or it would count as alive.
        () = async { child.wait().await.ok(); empty(group, ctx).await } => return how,
        () = ctx.sleep(GRACE) => {}
    }
    group.signal(Signal::KILL);
    child.wait().await.ok();
    how
}

async fn expired(timeout: Option<Duration>, ctx: &StageContext) {
    match timeout {
        Some(timeout) => ctx.sleep(timeout).await,
        None => std::future::pending().await,
    }
}

/// Waits until no process of the group is left.
async fn empty(group: &Group, ctx: &StageContext) {
    while group.is_alive() {
        ctx.sleep(LOOK).await;
    }
}

/// Writes the lines of stderr to the run's log; returns the last ones.
async fn log_lines(stderr: impl AsyncRead + Unpin, ctx: StageContext) -> Vec<String> {
    let mut lines = Lines::new(BufReader::new(stderr), LOGGED_LINE, TooLong::Cut);
    let mut last = VecDeque::with_capacity(LAST_LINES);
    let mut count = 0;
    // Where stderr cannot be read there is nothing to log.
    while let Ok(Some(text)) = lines.next().await {
        let line = String::from_utf8_lossy(text.line).trim_end().to_owned();
        if line.is_empty() {
            continue;
        }
        count += 1;
        if count <= LOGGED_LINES {
            ctx.info(format!("stderr: {line}"));
        }
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    if count > LOGGED_LINES {
        ctx.info(format!("stderr: {} further lines were not logged", count - LOGGED_LINES));
    }
    last.into()
}

/// The last lines, unless a process that left the group keeps stderr open.
async fn collect(mut lines: tokio::task::JoinHandle<Vec<String>>, ctx: &StageContext) -> Vec<String> {
    tokio::select! {
        last = &mut lines => last.unwrap_or_default(),
        () = ctx.sleep(AFTERGLOW) => {
            lines.abort();
            Vec::new()
        }
    }
}
