//! The commands as Discord is told of them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::context::Bot;
use super::rest::RestError;

/// Only administrators see a command at first; who may use it is checked in code.
const ADMINISTRATORS: &str = "8";

fn option(name: &str, description: &str, required: bool, autocomplete: bool, max_length: u32) -> Value {
    json!({"type": 3, "name": name, "description": description, "required": required,
        "autocomplete": autocomplete, "max_length": max_length})
}

fn command(name: &str, description: &str, everyone: bool, options: &[Value]) -> Value {
    json!({"type": 1, "name": name, "description": description, "options": options, "contexts": [0],
        "default_member_permissions": if everyone { Value::Null } else { ADMINISTRATORS.into() }})
}

/// All commands.
pub(crate) fn definitions() -> Value {
    let pipeline = |required| option("pipeline_name", "Name of the pipeline", required, true, 100);
    let job = || option("job_id", "Id of the job", true, true, 200);
    json!([
        command("run", "Run a pipeline now", false, &[pipeline(true)]),
        command(
            "schedule",
            "Run a pipeline by a cron expression",
            false,
            &[
                pipeline(true),
                option("cron", "minute hour day month weekday, such as 0 */6 * * *", true, false, 200)
            ]
        ),
        command("jobs", "List all jobs", false, &[]),
        command("remove", "Remove a job", false, &[job()]),
        command("pipelines", "List all pipelines", true, &[]),
        command("cancel", "Cancel a run", false, &[option("run_id", "Id of the run", true, true, 100)]),
        command("pause", "Pause a job", false, &[job()]),
        command("resume", "Resume a paused job", false, &[job()]),
        command("history", "List the newest runs", false, &[pipeline(false)]),
        command("next", "Show the next fires of a pipeline", false, &[pipeline(true)]),
    ])
}

/// Tells Discord of the commands, once for each application, and as often as that takes.
pub(crate) async fn register(bot: Arc<Bot>, application: u64) {
    // Whoever holds this is registering; a second READY has nothing to add.
    let Ok(mut registered) = bot.registered.try_lock() else { return };
    if *registered == Some(application) {
        return;
    }
    let mut pause = Duration::from_secs(2);
    loop {
        let error = match put_all(&bot, application).await {
            Ok(()) => {
                tracing::info!(guild = bot.config.admin_guild_id, "the commands are registered with Discord");
                *registered = Some(application);
                return;
            }
            Err(error) => error,
        };
        let wait = if matches!(error, RestError::Unavailable(_)) { pause } else { bot.config.timing.parked };
        pause = (pause * 2).min(Duration::from_secs(300));
        tracing::error!(%error, again_in = ?wait, "the commands could not be registered; the bot must be invited with the \
            scope applications.commands, and be in ADMIN_GUILD_ID where that is set");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = bot.stopping.cancelled() => return,
        }
    }
}

async fn put_all(bot: &Bot, application: u64) -> Result<(), RestError> {
    let guild = bot.config.admin_guild_id;
    bot.rest.put_commands(application, guild, &definitions()).await?;
    if guild.is_some() {
        // Whatever was registered globally before would show twice.
        bot.rest.put_commands(application, None, &json!([])).await?;
    }
    Ok(())
}
