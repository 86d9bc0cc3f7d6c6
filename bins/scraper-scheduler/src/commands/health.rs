//! `health`

use std::time::Duration;

use engine::ALIVE;
use jobstore::ProcessRecord;
use pipeline_core::duration;

use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;
use crate::store;

/// A loop that is later than this is not on time.
const LATE: Duration = Duration::from_secs(5);

/// How to answer.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Health {
    healthy: bool,
    why: String,
    schedulers: Vec<Scheduler>,
}

#[derive(serde::Serialize)]
struct Scheduler {
    host: String,
    pid: u32,
    version: String,
    started_at: String,
    silent_for_seconds: f64,
    loop_late_seconds: f64,
}

pub(crate) async fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    let store = store::query(settings).await?;
    let processes = store.processes(settings.clock().now()).await?;
    let verdict = judge(&processes);
    let (healthy, why) = match &verdict {
        Ok(why) => (true, why),
        Err(why) => (false, why),
    };
    if args.json {
        let schedulers = processes.iter().map(scheduler).collect();
        output::json(&Health { healthy, why: why.clone(), schedulers })?;
    } else if healthy {
        output::line(why)?;
    }
    match verdict {
        Ok(_) => Ok(()),
        Err(_) if args.json => Err(Failure::Silent(1)),
        Err(why) => Err(Failure::failed(why)),
    }
}

/// Healthy is a store of which one scheduler at least was heard of late, with its loop on time.
fn judge(processes: &[ProcessRecord]) -> Result<String, String> {
    let shown = |time: Duration| duration::format(Duration::from_millis(time.as_millis() as u64));
    let alive: Vec<&ProcessRecord> = processes.iter().filter(|process| process.silent_for <= ALIVE).collect();
    if let Some(good) = alive.iter().find(|process| process.loop_late <= LATE) {
        return Ok(format!(
            "ok: process {} on {} was heard of {} ago",
            good.info.identity.pid,
            good.info.identity.host,
            shown(good.silent_for)
        ));
    }
    Err(match (alive.first(), processes.first()) {
        (Some(late), _) => format!(
            "the scheduler (process {} on {}) is {} late",
            late.info.identity.pid,
            late.info.identity.host,
            shown(late.loop_late)
        ),
        (None, Some(silent)) => format!(
            "no scheduler is running: the last one (process {} on {}) was heard of {} ago",
            silent.info.identity.pid,
            silent.info.identity.host,
            shown(silent.silent_for)
        ),
        (None, None) => "no scheduler is running on this store".to_owned(),
    })
}

fn scheduler(process: &ProcessRecord) -> Scheduler {
    Scheduler {
        host: process.info.identity.host.clone(),
        pid: process.info.identity.pid,
        version: process.info.version.clone(),
        started_at: output::utc(process.started_at),
        silent_for_seconds: process.silent_for.as_secs_f64(),
        loop_late_seconds: process.loop_late.as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use jobstore::{Owner, ProcessIdentity, ProcessInfo};

    use super::*;

    fn process(silent: u64, late: u64) -> ProcessRecord {
        let at = DateTime::<Utc>::UNIX_EPOCH;
        let identity = ProcessIdentity {
            host: "a".into(),
            boot_id: String::new(),
            pid_namespace: String::new(),
            pid: 7,
            start_time: String::new(),
        };
        let info =
            ProcessInfo { owner: Owner::generate(at), identity, version: "1".into(), pipelines: vec![] };
        ProcessRecord {
            namespace: "default".into(),
            info,
            started_at: at,
            last_seen: at,
            silent_for: Duration::from_secs(silent),
            loop_late: Duration::from_secs(late),
        }
    }

    #[test]
    fn one_scheduler_that_is_alive_and_on_time_is_enough() {
        assert!(judge(&[]).is_err());
        assert!(judge(&[process(31, 0)]).is_err());
        assert!(judge(&[process(3, 60)]).unwrap_err().contains("1m late"));
        assert!(judge(&[process(3, 0)]).is_ok());
        assert!(judge(&[process(31, 0), process(3, 60), process(4, 0)]).is_ok());
    }
}
