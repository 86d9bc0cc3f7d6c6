//! All selected pipelines: side by side, each behind those that it waits for.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use pipeline_core::config::{Pipeline, PipelinesFile};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::attempts::Shared;
use super::summary::{Outcome, PipelineSummary, SummaryFormat, render};
use super::tellers::Tellers;
use crate::discord::Sending;
use crate::exit::Exit;
use crate::notify::Notifier;
use crate::setup::Setup;
use crate::signals::Signals;
use crate::terminal::Terminal;

/// A one-shot run of some pipelines of a file.
pub struct OneShot<'a> {
    /// The file.
    pub file: &'a PipelinesFile,
    /// Those that run, each behind those that it waits for; see [`super::select`].
    pub selected: Vec<&'a Pipeline>,
    /// What the program is set up with.
    pub setup: &'a Setup,
    /// Pipelines at a time.
    pub concurrency: NonZeroUsize,
    /// Where stages keep state between runs.
    pub state_dir: PathBuf,
    /// Sinks only print; nothing is kept.
    pub dry_run: bool,
    /// Whether progress lines may be shown.
    pub progress: bool,
}

impl OneShot<'_> {
    /// Runs to the end, or until signals: the first cancels all runs, which clean up; a second one cuts them off.
    pub async fn until_signal(self, mut signals: Signals, format: SummaryFormat) -> Exit {
        let terminal = self.setup.terminal.clone();
        let cancel = CancellationToken::new();
        let mut stopped = None;
        let summaries = {
            let run = self.run(cancel.clone());
            tokio::pin!(run);
            loop {
                tokio::select! {
                    summaries = &mut run => break summaries,
                    signal = signals.next() => {
                        if stopped.is_some() {
                            tracing::warn!("{} again: cutting off", signal.name());
                            return Exit::Stopped(signal);
                        }
                        tracing::warn!("{}: stopping (once more cuts off)", signal.name());
                        stopped = Some(signal);
                        cancel.cancel();
                    }
                }
            }
        };
        for line in render(&summaries, format, Terminal::stdout_has_colour()) {
            if let Err(error) = terminal.print(&line) {
                tracing::warn!("the summary cannot be written: {error}");
                break;
            }
        }
        let fine =
            |summary: &PipelineSummary| matches!(summary.outcome, Outcome::Succeeded | Outcome::Skipped);
        match stopped {
            Some(signal) => Exit::Stopped(signal),
            None if summaries.iter().all(fine) => Exit::Success,
            None => Exit::Failure,
        }
    }

    /// Runs to the end. What each pipeline did comes in the order of the file.
    pub async fn run(self, cancel: CancellationToken) -> Vec<PipelineSummary> {
        if self.progress {
            self.setup.terminal.show_progress();
        }
        let tellers = self.tellers();
        let mut setup = self.setup.clone();
        if let Some(discord) = &tellers.discord {
            setup.services.insert(discord.service().clone());
        }
        let groups = self.selected.iter().filter_map(|pipeline| pipeline.limit_group.as_ref());
        let permits = |count: u32| usize::try_from(count).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared {
            state: Arc::new(transforms::SqliteStateStore::new(&self.state_dir)),
            state_dir: self.state_dir.clone(),
            dry_run: self.dry_run,
            cancel,
            requested_at: self.setup.clock.now(),
            slots: Arc::new(Semaphore::new(self.concurrency.get().min(Semaphore::MAX_PERMITS))),
            groups: groups
                .map(|group| (group.name.clone(), Arc::new(Semaphore::new(permits(group.max.get())))))
                .collect(),
            tellers,
            setup,
        });
        let mut ends: HashMap<String, watch::Receiver<Option<Outcome>>> = HashMap::new();
        let mut runs = JoinSet::new();
        let mut names = HashMap::new();
        for pipeline in &self.selected {
            let waits: Vec<Wait> = pipeline.after.iter().map(|name| self.wait_for(name, &ends)).collect();
            let (tell, end) = watch::channel(None);
            ends.insert(pipeline.name.clone(), end);
            let (shared, pipeline) = (shared.clone(), (*pipeline).clone());
            let name = pipeline.name.clone();
            let task = runs.spawn(async move {
                let summary = match hindrance(&shared, waits).await {
                    Some(hindrance) => PipelineSummary::not_run(&pipeline.name, hindrance.0, hindrance.1),
                    None => shared.run(&pipeline).await,
                };
                tell.send_replace(Some(summary.outcome));
                summary
            });
            names.insert(task.id(), name);
        }
        let mut summaries = Vec::with_capacity(self.selected.len());
        while let Some(ended) = runs.join_next_with_id().await {
            match ended {
                Ok((_, summary)) => summaries.push(summary),
                Err(error) => {
                    let name = names.get(&error.id()).map_or("", String::as_str);
                    let mut summary =
                        PipelineSummary::not_run(name, Outcome::Failed, "the program has a fault");
                    summary.error = Some(error.to_string());
                    summaries.push(summary);
                }
            }
        }
        // All runs have ended, so that nobody else holds it.
        if let Some(shared) = Arc::into_inner(shared) {
            shared.tellers.drain().await;
        }
        let place = |name: &str| self.file.pipelines.iter().position(|pipeline| pipeline.name == name);
        summaries.sort_by_key(|summary| place(&summary.pipeline));
        summaries
    }

    /// Who wants to be told. A dry run tells nobody.
    fn tellers(&self) -> Tellers {
        if self.dry_run {
            return Tellers::default();
        }
        let failed = |what: &str, error: String| tracing::error!("{what} cannot be told: {error}");
        let names_one = |p: &&Pipeline| p.on_failure.webhook_url.is_some() || p.heartbeat_url.is_some();
        let notifier = self.selected.iter().copied().any(|pipeline| names_one(&pipeline)).then(|| {
            let tls = crate::tls_client().map_err(|error| error.to_string())?;
            Notifier::new(tls, self.setup.redactor.clone()).map_err(|error| error.to_string())
        });
        let notifier = notifier.transpose().unwrap_or_else(|error| {
            failed("webhooks and heartbeats", error);
            None
        });
        let discord = Sending::start(&self.selected, self.setup, &self.state_dir).unwrap_or_else(|error| {
            failed("Discord", error);
            None
        });
        Tellers { notifier, discord }
    }

    fn wait_for(&self, name: &str, ends: &HashMap<String, watch::Receiver<Option<Outcome>>>) -> Wait {
        match ends.get(name) {
            Some(end) => Wait::Running(name.to_owned(), end.clone()),
            None if self.file.get(name).is_some_and(|pipeline| !pipeline.enabled) => {
                Wait::Disabled(name.to_owned())
            }
            None => Wait::NotSelected,
        }
    }
}

/// What a pipeline waits for.
enum Wait {
    /// A pipeline of this run.
    Running(String, watch::Receiver<Option<Outcome>>),
    /// A pipeline that never runs.
    Disabled(String),
    /// A pipeline that was not asked for: who names a pipeline wants it now.
    NotSelected,
}

/// Waits; returns why the pipeline must not run, where that is so.
async fn hindrance(shared: &Shared, waits: Vec<Wait>) -> Option<(Outcome, String)> {
    let mut hindrance = None;
    for wait in waits {
        match wait {
            Wait::NotSelected => {}
            Wait::Disabled(name) => hindrance = Some((Outcome::Skipped, format!("`{name}` is disabled"))),
            Wait::Running(name, mut end) => {
                let outcome = tokio::select! {
                    biased;
                    outcome = end.wait_for(Option::is_some) => outcome.ok().and_then(|outcome| *outcome),
                    () = shared.cancel.cancelled() => {
                        return Some((Outcome::Cancelled, "it had not started".to_owned()));
                    }
                };
                let outcome = outcome.unwrap_or(Outcome::Failed);
                if outcome != Outcome::Succeeded {
                    hindrance =
                        Some((Outcome::Skipped, format!("`{name}` was not a success: {}", outcome.as_str())));
                }
            }
        }
    }
    hindrance
}
