//! `run`: the service.

use std::sync::Arc;
use std::time::Duration;

use app::legacy::LegacyRequest;
use app::notify::Notifier;
use engine::{Deps, Engine, EventKind, Handle, Observed, Shutdown, Stopped};
use tokio::sync::Notify;

use crate::failure::Failure;
use crate::pipelines;
use crate::service::discord::Discord;
use crate::service::{deps, http, notices, reload, signals, welcome};
use crate::settings::Settings;
use crate::store;

/// How long the last webhooks may take.
const LAST_NOTICES: Duration = Duration::from_secs(5);

/// No options of its own.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {}

/// What `SCHEDULER_MODE` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Mode {
    /// The service.
    Scheduler,
    /// Everything once.
    Legacy,
}

pub(crate) async fn run(_: &Args, settings: &Settings) -> Result<(), Failure> {
    match mode(settings.variable("SCHEDULER_MODE"))? {
        Mode::Scheduler => serve(settings).await,
        Mode::Legacy => once(settings).await,
    }
}

fn mode(text: Option<&str>) -> Result<Mode, Failure> {
    match text.map(str::to_ascii_lowercase).as_deref() {
        None | Some("scheduler" | "enabled") => Ok(Mode::Scheduler),
        Some("legacy" | "disabled") => Ok(Mode::Legacy),
        Some(other) => Err(Failure::usage(format!(
            "SCHEDULER_MODE: `{other}` is no mode (write `scheduler`, or `legacy` to run everything once)"
        ))),
    }
}

/// Everything once, with the exit codes of `scraper-legacy`.
async fn once(settings: &Settings) -> Result<(), Failure> {
    let request = LegacyRequest {
        config: settings.config.clone(),
        state_dir: settings.state_dir.clone(),
        ..LegacyRequest::from_environment(&settings.setup)
    };
    match app::legacy::perform(&request, &settings.setup).await.code() {
        0 => Ok(()),
        code => Err(Failure::Silent(code)),
    }
}

/// The service, until a signal stops it.
async fn serve(settings: &Settings) -> Result<(), Failure> {
    let engine_settings = deps::engine_settings(settings)?;
    let http_addr = deps::http_addr(settings)?;
    let discord = Discord::new(settings)?;
    let settings = &discord.serve(settings);
    let notifier = Notifier::new(transforms::client_config(), settings.setup.redactor.clone())
        .map_err(Failure::failed)?;
    let loaded = pipelines::load(settings)?;
    loaded.file.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let shutdown = Shutdown::default();
    let reload = Arc::new(Notify::new());
    signals::listen(shutdown.clone(), reload.clone())?;
    let listener = match http_addr {
        Some(addr) => Some(http::bind(addr).await?),
        None => None,
    };
    let store = store::serve(settings).await?;
    tracing::info!("job store: {}", store.place());

    let engine = Engine::new(Deps {
        clock: settings.clock().clone(),
        settings: engine_settings,
        environment: deps::run_environment(settings, &store),
        ..Deps::new(store.clone(), loaded.pipelines)
    });
    let handle = engine.handle();
    let mut beside = vec![
        tokio::spawn(welcome(handle.clone())),
        tokio::spawn(reload::watch(settings.clone(), handle.clone(), reload)),
        tokio::spawn(notices::pass_on(handle.subscribe(), handle.clone(), notifier.clone())),
    ];
    beside.extend(listener.map(|listener| tokio::spawn(http::serve(listener, handle.clone()))));
    let discord = discord.start(&engine, store.clone(), settings);

    let cut_off = shutdown.cut_off.clone();
    let result = engine.run(shutdown).await;

    // What is told of the last runs is on its way already; the rest has nothing left to do.
    tokio::task::yield_now().await;
    beside.iter().for_each(tokio::task::JoinHandle::abort);
    tokio::join!(discord.stop(&cut_off), notifier.drain(LAST_NOTICES));
    store.close().await;
    match result? {
        Stopped::Drained => Ok(()),
        Stopped::CutOff => Err(Failure::Silent(1)),
    }
}

/// Prints the table of jobs as soon as they are registered.
async fn welcome(handle: Handle) {
    let mut events = handle.subscribe();
    while let Some(observed) = events.next().await {
        let Observed::Event(event) = observed else { continue };
        if matches!(event.kind, EventKind::Started { .. }) {
            if let Err(failure) = welcome::print(&handle).await {
                tracing::warn!("the jobs cannot be listed: {}", failure.message().unwrap_or_default());
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_two_and_anything_else_is_an_error() {
        for text in [None, Some("scheduler"), Some("enabled"), Some("Scheduler")] {
            assert_eq!(mode(text).unwrap(), Mode::Scheduler, "{text:?}");
        }
        for text in ["legacy", "disabled", "LEGACY"] {
            assert_eq!(mode(Some(text)).unwrap(), Mode::Legacy, "{text}");
        }
        assert_eq!(mode(Some("schedular")).unwrap_err().code(), 2);
    }
}
