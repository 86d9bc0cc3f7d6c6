//! Heartbeats, and what happens while the store is away.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use jobstore::{Beat, BeatResult, ClaimedRun, RunId, StoreError, StoreKind};
use tokio::time::Instant;

use super::{Runner, Wake};
use crate::engine::Settings;
use crate::event::EventKind;
use crate::lease::margin;
use crate::settle::Stop;

/// The first pause before the store is asked again; it doubles.
const FIRST_PROBE: Duration = Duration::from_millis(100);
/// The longest such pause.
const LONGEST_PROBE: Duration = Duration::from_secs(2);
/// The longest pause where the store goes away again and again before it has taken a single turn.
const LONGEST_RELAPSE: Duration = Duration::from_secs(30);

/// What is known of heartbeats.
pub(super) struct Heart {
    interval: Duration,
    next: Instant,
    flying: bool,
    /// How late the loop has been since the last beat.
    late: Duration,
    /// When the first attempts must be stopped unless their leases are renewed.
    stop_at: Option<Instant>,
    margin: Duration,
}

/// How often leases of this length are renewed, and expired ones looked for.
pub(super) fn interval(settings: &Settings) -> Duration {
    (settings.lease / 3).min(settings.longest_silence)
}

/// The pause after so many tries.
fn pause(tries: u32, longest: Duration) -> Duration {
    (FIRST_PROBE * 2_u32.pow(tries.min(10))).min(longest)
}

/// A heartbeat that was sent.
pub(super) struct BeatSent {
    asked: Instant,
    wall: DateTime<Utc>,
    attempts: Vec<(RunId, i32)>,
}

/// The store is away.
pub(super) struct Outage {
    since: Instant,
    tries: u32,
    next: Instant,
    flying: bool,
}

impl Heart {
    pub(super) fn new(now: Instant, settings: &Settings) -> Self {
        let interval = interval(settings);
        Self {
            interval,
            next: now + interval,
            flying: false,
            late: Duration::ZERO,
            stop_at: None,
            margin: margin(settings.lease),
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        (!self.flying).then_some(self.next)
    }

    pub(super) fn stop_at(&self) -> Option<Instant> {
        self.stop_at
    }

    pub(super) fn was_late(&mut self, late: Duration) {
        self.late = self.late.max(late);
    }

    /// An attempt was claimed whose lease ends then.
    pub(super) fn claimed(&mut self, lease_end: Instant) {
        let stop = lease_end.checked_sub(self.margin).unwrap_or(lease_end);
        self.stop_at = Some(self.stop_at.map_or(stop, |at| at.min(stop)));
    }

    fn at_once(&mut self, now: Instant) {
        self.next = now;
    }
}

impl Outage {
    pub(super) fn next_probe(&self) -> Option<Instant> {
        (!self.flying).then_some(self.next)
    }
}

impl Runner {
    pub(super) fn start_beat(&mut self, now: Instant) {
        if self.beat.flying || self.beat.next > now {
            return;
        }
        self.beat.flying = true;
        self.beat.next = now + self.beat.interval;
        let wall = self.clock_now();
        let running = self.supervisor.iter().map(|running| (running.claim.id, running.claim.attempt));
        let ended = self.pending.iter().chain(self.turns.flying_ends());
        let ended = ended.map(|end| (end.run(), end.attempt()));
        let attempts: Vec<(RunId, i32)> = running.chain(ended).collect();
        let beat = Beat {
            owner: self.owner.clone(),
            now: wall,
            lease: self.settings.lease,
            attempts: attempts.clone(),
            loop_late: std::mem::take(&mut self.beat.late),
        };
        let sent = BeatSent { asked: now, wall, attempts };
        let store = self.store.clone();
        let op = async move {
            let result = store.heartbeat(beat).await;
            Wake::Beat { sent, result }
        };
        self.ops.push(op.boxed());
    }

    pub(super) fn beat_done(&mut self, sent: &BeatSent, result: Result<BeatResult, StoreError>) {
        self.beat.flying = false;
        let result = match result {
            Ok(result) => result,
            Err(error) => return self.lose_store(&error),
        };
        for lost in &result.lost {
            let same = self.supervisor.get(lost.run).is_some_and(|running| running.key == *lost);
            if same && let Some(running) = self.supervisor.stop(lost.run, Stop::Lost) {
                let event = EventKind::LeaseLost { run: running.run.clone(), attempt: running.claim.attempt };
                self.shared.emit(event);
            }
        }
        for (run, attempt) in &sent.attempts {
            if let Some(running) = self.supervisor.get(*run)
                && running.claim.attempt == *attempt
            {
                running.lease.renew(sent.asked, sent.wall, self.settings.lease);
            }
        }
        self.cancel_all(result.cancels);
        self.look_at_leases();
        self.shared.metrics.lease_renewed();
    }

    /// Finds out anew when the first attempt must be stopped.
    fn look_at_leases(&mut self) {
        self.beat.stop_at = None;
        if let Some(end) = self.supervisor.earliest_lease_end() {
            self.beat.claimed(end);
        }
    }

    /// Stops the attempts whose lease ends soon, where another machine may take their runs over then.
    pub(super) fn stop_unrenewed(&mut self, now: Instant) {
        if self.beat.stop_at.is_none_or(|at| at > now) {
            return;
        }
        if self.store.kind() == StoreKind::Postgres {
            let ending: Vec<RunId> = self
                .supervisor
                .iter()
                .filter(|running| running.stop.is_none() && running.lease.until() <= now + self.beat.margin)
                .map(|running| running.claim.id)
                .collect();
            for run in ending {
                if self.supervisor.stop(run, Stop::Unrenewed).is_some() {
                    tracing::warn!("stopping run {run}: its lease ends and cannot be renewed");
                }
            }
            self.look_at_leases();
        } else {
            // Nobody else can write to what this process cannot write to.
            self.beat.stop_at = None;
        }
    }

    /// The store does not answer: nothing new starts until it does.
    pub(super) fn lose_store(&mut self, error: &StoreError) {
        if matches!(error, StoreError::Closed | StoreError::Corrupt(_)) {
            return self.fail(error.clone());
        }
        let now = Instant::now();
        match &mut self.outage {
            Some(outage) => {
                outage.flying = false;
                outage.tries = outage.tries.saturating_add(1);
                outage.next = now + pause(outage.tries, LONGEST_PROBE);
            }
            None => {
                let next = now + pause(self.relapses, LONGEST_RELAPSE);
                self.relapses = self.relapses.saturating_add(1);
                self.outage = Some(Outage { since: now, tries: 0, next, flying: false });
                let running = self.supervisor.len();
                self.emit(EventKind::StoreLost { error: error.to_string(), running });
            }
        }
    }

    pub(super) fn start_probe(&mut self, now: Instant) {
        let Some(outage) = &mut self.outage else { return };
        if outage.flying || outage.next > now {
            return;
        }
        outage.flying = true;
        let (store, owner, wall) = (self.store.clone(), self.owner.clone(), self.clock_now());
        // What can be read may still not be written: the disk is full. Leases are renewed later, when it is known what
        // is held.
        let beat = Beat {
            owner: owner.clone(),
            now: wall,
            lease: self.settings.lease,
            attempts: Vec::new(),
            loop_late: Duration::ZERO,
        };
        let probe = async move {
            store.heartbeat(beat).await?;
            store.held_runs(&owner, wall).await
        };
        self.ops.push(probe.map(Wake::Probe).boxed());
    }

    /// The store may be back: what it says this process holds includes claims whose answer was lost.
    pub(super) fn probe_done(&mut self, result: Result<Vec<ClaimedRun>, StoreError>) {
        let held = match result {
            Ok(held) => held,
            Err(error) => return self.lose_store(&error),
        };
        let Some(outage) = self.outage.take() else { return };
        self.emit(EventKind::StoreBack { after: outage.since.elapsed() });
        let now = Instant::now();
        // Others could not renew their leases either.
        self.turns.hold_sweeps(now + self.settings.lease);
        self.turns.want();
        self.beat.at_once(now);
        let wall = self.clock_now();
        for claim in held {
            self.start_claim(claim, now, wall);
        }
    }
}
