//! An attempt whose run was taken over while its process stood still: what it found is neither told nor remembered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use engine::{Pipeline, StageStates};
use jobstore::{AttemptOutcome, Outcome, RunFilter};
use pipeline_core::{Chain, Emitter, Fetcher, Participant, StageContext, StageError, StateWrite, fetcher};

use crate::flaky::{Flaky, Mood};
use crate::world::{World, cron};

/// What the sinks made visible: the attempt, and the attempt of the run before by what was remembered of it.
type Told = Arc<Mutex<Vec<(u32, Option<String>)>>>;

/// Remembers its attempt, takes ten minutes, and tells what it remembers of the run before.
#[derive(Clone)]
struct Remembering {
    told: Told,
    /// Stands still as soon as the first attempt has told its news, before anything is written of that.
    falls_asleep: Option<Arc<Flaky>>,
}

struct Telling {
    news: (u32, Option<String>),
    stage: Remembering,
}

impl Fetcher for Remembering {
    async fn fetch(&mut self, ctx: &StageContext, _: &mut Emitter) -> Result<(), StageError> {
        let attempt = ctx.identity().attempt;
        let mut state = ctx.state("remembering").await?;
        let before = state.get_many(&["attempt".into()]).await?.remove(0);
        let before = before.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        state.write(vec![StateWrite::Put("attempt".into(), attempt.to_string().into())]).await?;
        ctx.enlist(Telling { news: (attempt, before), stage: self.clone() });
        ctx.sleep(Duration::from_secs(600)).await;
        Ok(())
    }
}

#[async_trait]
impl Participant for Telling {
    fn name(&self) -> String {
        "the news".to_owned()
    }

    async fn commit(&mut self) -> Result<(), StageError> {
        self.stage.told.lock().unwrap().push(self.news.clone());
        if let (1, Some(flaky)) = (self.news.0, self.stage.falls_asleep.take()) {
            flaky.is(Mood::Frozen);
        }
        Ok(())
    }

    async fn rollback(&mut self) {}
}

/// Two engines, of which only the first is in the store that can be frozen, and a pipeline at nine and at ten.
async fn world() -> (World, Arc<Flaky>) {
    let mut world = World::new("2026-01-01 08:59").await;
    world.settings.lease = Duration::from_secs(30);
    world.environment.state = StageStates::JobStore;
    let flaky = Flaky::new(world.store.clone());
    (world, flaky)
}

fn remembering(stage: &Remembering) -> Pipeline {
    let stage = stage.clone();
    let chain = move || Ok(Chain::new().stage("test.Remembering", fetcher(stage.clone())));
    Pipeline::new("books", chain).scheduled(cron("0 9,10 * * *", "UTC"))
}

/// Both runs succeeded, the first with its second attempt, and there is no third attempt.
async fn check(world: &World) {
    let runs = world.store.runs(RunFilter::default()).await.unwrap();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert!(runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded)), "{runs:?}");
    let first = &runs[1];
    assert_eq!((first.attempt, runs[0].attempt), (2, 1));
    let attempts = world.store.attempts(&[first.id]).await.unwrap();
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Crashed));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_wakes_after_its_lease_tells_and_remembers_nothing() {
    let (mut world, flaky) = world().await;
    let stage = Remembering { told: Told::default(), falls_asleep: None };
    let others = std::mem::replace(&mut world.store, flaky.clone());
    let frozen = world.start([remembering(&stage)]).await;
    world.until("2026-01-01 09:01").await;
    flaky.is(Mood::Frozen);
    world.store = others;
    let other = world.start([remembering(&stage)]).await;
    // The first attempt has come to its end meanwhile, and so has the second.
    world.until("2026-01-01 09:15").await;
    assert_eq!(*stage.told.lock().unwrap(), [(2, None)]);
    flaky.is(Mood::Well);
    world.until("2026-01-01 10:20").await;
    assert_eq!(*stage.told.lock().unwrap(), [(2, None), (1, Some("2".to_owned()))]);
    check(&world).await;
    frozen.stop().await;
    other.stop().await;
}

/// The worst instant: everything is told, and nothing is written of it. The news is told again, and remembered once.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_falls_asleep_between_its_sinks_and_its_outcome_remembers_nothing() {
    let (mut world, flaky) = world().await;
    let stage = Remembering { told: Told::default(), falls_asleep: Some(flaky.clone()) };
    let others = std::mem::replace(&mut world.store, flaky.clone());
    let frozen = world.start([remembering(&stage)]).await;
    world.until("2026-01-01 09:11").await;
    assert_eq!(*stage.told.lock().unwrap(), [(1, None)]);
    world.store = others;
    let stage = Remembering { falls_asleep: None, ..stage };
    let other = world.start([remembering(&stage)]).await;
    world.until("2026-01-01 09:30").await;
    assert_eq!(*stage.told.lock().unwrap(), [(1, None), (2, None)]);
    flaky.is(Mood::Well);
    world.until("2026-01-01 09:40").await;
    frozen.kill().await;
    world.until("2026-01-01 10:20").await;
    let told = [(1, None), (2, None), (1, Some("2".to_owned()))];
    assert_eq!(*stage.told.lock().unwrap(), told);
    check(&world).await;
    other.stop().await;
}
