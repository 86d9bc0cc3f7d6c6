//! A service of its own with a scheduler inside: pipelines made in Rust, a job added at run time, events watched.
//!
//! Run with `cargo run -p embedded-scheduler`; it ends after the third run of its job.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use anyhow::{Context, Result};
use engine::{Deps, Engine, EventKind, NewJob, Observed, Pipeline, Pipelines, Shutdown};
use jobstore::{OpenOptions, StoreUrl};
use pipeline_core::{
    Chain, Clock, Emitter, Fetcher, ParsedItem, Record, StageContext, StageError, SystemClock, fetcher,
};
use schedule::{Schedule, Zone};

/// A source of one's own. What it does is up to the service; here it tells the time of its fire.
struct Heartbeat;

impl Fetcher for Heartbeat {
    async fn fetch(&mut self, ctx: &StageContext, out: &mut Emitter) -> Result<(), StageError> {
        let fire = ctx.identity().scheduled_for.to_rfc3339();
        ctx.info(format!("beat for {fire}"));
        let content: Record = [("fire", fire)].into_iter().collect();
        out.emit(ParsedItem { topic: "beat".into(), content, discovered_at: ctx.now() }).await;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // The store: a SQLite file, a PostgreSQL server, or, as here, memory.
    let url = StoreUrl::parse("sqlite::memory:").context("the store's address")?;
    let store = jobstore::open(&url, OpenOptions::new("embedded", SystemClock.now())).await?;

    // A pipeline is a name and a function that makes its chain anew for each attempt.
    let beat = Pipeline::new("beat", || Ok(Chain::new().stage("example.Heartbeat", fetcher(Heartbeat))))
        .scheduled(Schedule::manual(Zone::UTC));
    let engine = Engine::new(Deps::new(store, Pipelines::new([beat])?));
    let handle = engine.handle();
    let mut events = handle.subscribe();

    // The service decides when it ends; the engine installs no signal handler.
    let shutdown = Shutdown::default();
    let running = tokio::spawn(engine.run(shutdown.clone()));

    let mut runs = 0;
    while let Some(observed) = events.next().await {
        let Observed::Event(event) = observed else { continue };
        match &event.kind {
            EventKind::Started { .. } => {
                let added = handle
                    .add_job(NewJob {
                        pipeline: "beat".into(),
                        id: Some("every-second".into()),
                        schedule: Schedule::interval(Duration::from_secs(1), Zone::UTC)?,
                        requested_by: Some("the example".into()),
                    })
                    .await?;
                println!("added {added:?}");
            }
            EventKind::Finished { .. } => {
                runs += 1;
                println!("{event}");
                if runs == 3 {
                    shutdown.drain.cancel();
                    break;
                }
            }
            _ => println!("{event}"),
        }
    }
    running.await??;
    println!("done");
    Ok(())
}
