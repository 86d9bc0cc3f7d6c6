//! The sink's part in the end of a run: its messages leave with the run's commit, or, where it must, before it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pipeline_core::{CommitPhase, Participant, RunContext, StageError};

use super::service::DiscordService;
use super::target::Target;
use crate::lock::lock;
use crate::outbox::spool::{Place, Spool};
use crate::outbox::{Attempt, KIND, NewMessage, OutboxError};

/// Messages that are handed over at a time.
const HANDED_OVER: usize = 200;

/// How often a store that is away is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether somebody else has delivered.
const LOOK: Duration = Duration::from_secs(2);

/// Commits what the stages of a run have staged. The stages of one run share it.
pub(crate) struct Staged {
    pub(crate) service: DiscordService,
    pub(crate) attempt: Attempt,
}

#[async_trait]
impl Participant for Staged {
    fn name(&self) -> String {
        "messages to Discord".into()
    }

    fn phase(&self) -> CommitPhase {
        CommitPhase::Outbox
    }

    async fn commit(&mut self) -> Result<(), StageError> {
        self.service.outbox().commit(&self.attempt).await.map_err(|error| {
            StageError::fatal("the messages to Discord could not be handed over").caused_by(error)
        })?;
        self.service.wake();
        Ok(())
    }

    async fn rollback(&mut self) {
        if let Err(error) = self.service.outbox().discard(&self.attempt).await {
            tracing::warn!(run = self.attempt.run_id, %error, "messages of a failed run could not be dropped");
        }
    }
}

/// Waits for the delivery of a stage's messages, which the run must not succeed without.
pub(crate) struct Required {
    pub(crate) service: DiscordService,
    pub(crate) run: RunContext,
    pub(crate) stage: String,
    pub(crate) target: Target,
    pub(crate) held: Arc<Held>,
}

/// Messages that are held back until all stages are done. The texts may be many, so they lie on disk.
#[derive(Default)]
pub(crate) struct Held(Mutex<(Spool, VecDeque<Place>)>);

impl Held {
    pub(crate) fn push(&self, payload: &str) -> std::io::Result<()> {
        let (spool, places) = &mut *lock(&self.0);
        places.push_back(spool.push(payload)?);
        Ok(())
    }

    fn take(&self, count: usize) -> std::io::Result<Vec<String>> {
        let (spool, places) = &mut *lock(&self.0);
        let mut payloads = Vec::new();
        while payloads.len() < count
            && let Some(place) = places.pop_front()
        {
            payloads.push(spool.read(place)?);
        }
        Ok(payloads)
    }
}

impl Required {
    async fn let_go(&self) -> Result<(), StageError> {
        let cannot =
            |error: std::io::Error| StageError::fatal("held messages cannot be read back").caused_by(error);
        loop {
            let payloads = self.held.take(HANDED_OVER).map_err(cannot)?;
            if payloads.is_empty() {
                return Ok(());
            }
            self.run.may_act().await?;
            let of_stage = |payload| new_message(&self.run, &self.stage, &self.target, payload);
            let messages: Vec<NewMessage> = payloads.into_iter().map(of_stage).collect();
            insist(&self.run, || self.service.outbox().enqueue(messages.clone())).await?;
            self.service.wake();
        }
    }
}

/// A message of a stage.
pub(crate) fn new_message(run: &RunContext, stage: &str, target: &Target, payload: String) -> NewMessage {
    NewMessage {
        pipeline: run.pipeline().to_owned(),
        stage: stage.to_owned(),
        run_id: run.identity().run_id.clone(),
        target: target.to_string(),
        kind: KIND,
        payload,
    }
}

#[async_trait]
impl Participant for Required {
    fn name(&self) -> String {
        format!("delivery to {}", self.target)
    }

    fn phase(&self) -> CommitPhase {
        CommitPhase::Outbox
    }

    async fn prepare(&mut self) -> Result<(), StageError> {
        self.let_go().await?;
        let mut settled = self.service.settled();
        loop {
            settled.borrow_and_update();
            let left = self.service.outbox().left(&self.run.identity().run_id, &self.stage).await;
            match left {
                Ok(left) => {
                    if let Some(why) = left.dead {
                        let error = StageError::fatal(format!("a message was given up on: {why}"));
                        return Err(error.hint("the sink is `required`, so the run fails without it"));
                    }
                    if left.waiting == 0 {
                        return Ok(());
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the delivery of a run's messages cannot be watched now")
                }
            }
            // Another process may be the one that delivers.
            tokio::time::timeout(LOOK, settled.changed()).await.ok();
        }
    }

    async fn commit(&mut self) -> Result<(), StageError> {
        Ok(())
    }

    async fn rollback(&mut self) {
        // The next attempt makes them again.
        if let Err(error) = self.service.outbox().withdraw(&self.run.identity().run_id, &self.stage).await {
            tracing::warn!(%error, "messages of a failed run could not be taken back");
        }
    }
}

/// Asks a store until it answers: while it is away, the run could not be ended either.
pub(crate) async fn insist<F>(run: &RunContext, mut ask: impl FnMut() -> F) -> Result<(), StageError>
where
    F: Future<Output = Result<(), OutboxError>>,
{
    let mut told = false;
    loop {
        let Err(error) = ask().await else { return Ok(()) };
        if !told {
            told = true;
            run.log(pipeline_core::EventLevel::Warning, format!("{error}; it is asked again"));
        }
        run.may_act().await?;
        tokio::time::sleep(PAUSE).await;
    }
}
