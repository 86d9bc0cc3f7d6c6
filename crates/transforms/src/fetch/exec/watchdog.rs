//! Ends a command when this process dies without a chance to do so itself.
//!
//! The kernel's own means (`PR_SET_PDEATHSIG`) has to be set between fork and exec, which safe code
//! cannot do, and it reaches the command alone and none of its children. So a shell waits beside the
//! command on a pipe that only this process holds: when the pipe closes without a word, this process is
//! gone, and the shell kills the whole group.

use std::process::Stdio;

use pipeline_core::StageContext;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};

/// `read` fails at the end of the pipe and succeeds when it gets the line of a farewell.
const SCRIPT: &str = r#"read -r farewell || kill -s KILL -- "-$1""#;

/// Stands beside a process group until it is dismissed.
pub(super) struct Watchdog {
    shell: Child,
    pipe: ChildStdin,
}

impl Watchdog {
    /// Watches the group; `None` where there is no shell to do it.
    pub(super) fn over(group: rustix::process::Pid, ctx: &StageContext) -> Option<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "scraper-watchdog", &group.as_raw_nonzero().to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Of its own group, so that a signal to ours does not end it before the command.
        command.process_group(0);
        let spawned = command.spawn();
        match spawned.map(|mut shell| (shell.stdin.take(), shell)) {
            Ok((Some(pipe), shell)) => Some(Self { shell, pipe }),
            Ok((None, _)) => None,
            Err(error) => {
                ctx.debug(format!("the command would outlive a crash of this process: /bin/sh: {error}"));
                None
            }
        }
    }

    /// Sends it away: the group is gone.
    pub(super) async fn dismiss(self) {
        let Self { mut shell, mut pipe } = self;
        // Where the shell is gone already there is nobody to tell.
        pipe.write_all(b"done\n").await.ok();
        drop(pipe);
        shell.wait().await.ok();
    }
}
