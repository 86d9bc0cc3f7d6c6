//! Who is active in which pipeline, and what that allows: the overlap rules and the limits of groups.

use std::collections::HashMap;

use crate::model::ids::RunId;
use crate::model::run::{Overlap, Reason, RunPolicy, RunState};

/// A run without outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Active {
    pub(crate) id: RunId,
    pub(crate) job_id: Option<String>,
    pub(crate) reason: Reason,
    pub(crate) state: RunState,
    /// 0 for one that has never started; a queued one with a number waits for its next attempt.
    pub(crate) attempt: i32,
    pub(crate) cancel_requested: bool,
}

impl Active {
    /// A run that waits for its retry counts as running.
    fn counts_as_running(&self) -> bool {
        self.state == RunState::Running || self.attempt > 0
    }
}

/// Whether a new run may be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Yes.
    Admit {
        /// Running ones to be cancelled by their holders.
        stop: Vec<RunId>,
        /// Waiting ones that are cancelled at once.
        drop: Vec<RunId>,
    },
    /// No: these are in the way.
    Refuse { by: Vec<RunId> },
}

/// The overlap rule for a run that is not recorded yet.
pub(crate) fn admit(overlap: Overlap, reason: Reason, active: &[Active]) -> Admission {
    let admitted = Admission::Admit { stop: Vec::new(), drop: Vec::new() };
    if reason == Reason::CatchUp {
        return admitted;
    }
    let room = match overlap {
        Overlap::Skip => 1,
        Overlap::Queue => 2,
        Overlap::Allow(max) => usize::try_from(max).unwrap_or(usize::MAX).max(1),
        Overlap::Replace => {
            let running = active.iter().filter(|run| run.state == RunState::Running && !run.cancel_requested);
            // Runs that catch up are promised a run each; the others wait for nothing once they are replaced.
            let waiting = active.iter().filter(|run| {
                run.state == RunState::Queued && (run.attempt > 0 || run.reason != Reason::CatchUp)
            });
            return Admission::Admit {
                stop: running.map(|run| run.id).collect(),
                drop: waiting.map(|run| run.id).collect(),
            };
        }
    };
    if active.len() < room {
        admitted
    } else {
        Admission::Refuse { by: active.iter().map(|run| run.id).collect() }
    }
}

/// Whether a waiting run may start beside the others of its pipeline.
pub(crate) fn may_start(candidate: &Active, overlap: Overlap, active: &[Active]) -> bool {
    let others = || active.iter().filter(|run| run.id != candidate.id);
    let follows = candidate.reason == Reason::CatchUp
        && others().any(|run| {
            run.reason == Reason::CatchUp && run.job_id == candidate.job_id && run.id < candidate.id
        });
    if follows {
        return false;
    }
    let ahead = others()
        .filter(|run| match run.state {
            RunState::Running => true,
            // Of two that wait for a retry the older one goes first; a fresh one waits for both.
            _ => run.counts_as_running() && (candidate.attempt == 0 || run.id < candidate.id),
        })
        .count();
    let room = match overlap {
        Overlap::Allow(max) => usize::try_from(max).unwrap_or(usize::MAX).max(1),
        Overlap::Skip | Overlap::Queue | Overlap::Replace => 1,
    };
    ahead < room
}

/// What is known of pipelines and groups within one transaction, kept up to date with its own decisions.
#[derive(Default)]
pub(crate) struct Board {
    pipelines: HashMap<String, Vec<Active>>,
    groups: HashMap<String, u32>,
}

impl Board {
    pub(crate) fn knows_pipeline(&self, pipeline: &str) -> bool {
        self.pipelines.contains_key(pipeline)
    }

    pub(crate) fn knows_group(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    /// Notes what was read of a pipeline; an empty list is knowledge too.
    pub(crate) fn learn_pipeline(&mut self, pipeline: &str, active: Vec<Active>) {
        self.pipelines.insert(pipeline.to_owned(), active);
    }

    pub(crate) fn learn_group(&mut self, group: &str, running: u32) {
        self.groups.insert(group.to_owned(), running);
    }

    pub(crate) fn active(&self, pipeline: &str) -> &[Active] {
        self.pipelines.get(pipeline).map_or(&[], Vec::as_slice)
    }

    /// A run has been recorded.
    pub(crate) fn add(&mut self, pipeline: &str, run: Active) {
        match self.pipelines.get_mut(pipeline) {
            Some(active) => active.push(run),
            None => drop(self.pipelines.insert(pipeline.to_owned(), vec![run])),
        }
    }

    /// These runs have their outcome now.
    pub(crate) fn remove(&mut self, pipeline: &str, ids: &[RunId]) {
        if let Some(active) = self.pipelines.get_mut(pipeline) {
            active.retain(|run| !ids.contains(&run.id));
        }
    }

    /// These runs have been asked to stop.
    pub(crate) fn mark_cancelled(&mut self, pipeline: &str, ids: &[RunId]) {
        for run in self.pipelines.get_mut(pipeline).into_iter().flatten() {
            if ids.contains(&run.id) {
                run.cancel_requested = true;
            }
        }
    }

    /// Starts the run if its pipeline and its group have room, and notes that it runs.
    pub(crate) fn try_start(&mut self, pipeline: &str, id: RunId, policy: &RunPolicy) -> bool {
        let Some(active) = self.pipelines.get_mut(pipeline) else {
            return false;
        };
        // Somebody else may have claimed or finished it since it was read.
        let Some(index) = active.iter().position(|run| run.id == id && run.state == RunState::Queued) else {
            return false;
        };
        if !may_start(&active[index], policy.overlap, active) {
            return false;
        }
        if let Some(group) = &policy.limit_group {
            let running = self.groups.entry(group.name.to_string()).or_default();
            if *running >= group.max.max(1) {
                return false;
            }
            *running += 1;
        }
        active[index].state = RunState::Running;
        active[index].attempt += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::run::LimitGroup;

    fn id(n: u64) -> RunId {
        format!("01890a5d-ac96-774b-bcce-{n:012}").parse().unwrap()
    }

    /// `r1` runs, `q2` waits for its first start, `w3` waits for a retry, `c4` is a waiting catch-up run of job j,
    /// `x5` runs and has been asked to stop.
    fn runs(text: &str) -> Vec<Active> {
        text.split_whitespace()
            .map(|word| {
                let (kind, number) = word.split_at(1);
                Active {
                    id: id(number.parse().unwrap()),
                    job_id: Some("j".to_owned()),
                    reason: if kind == "c" { Reason::CatchUp } else { Reason::Schedule },
                    state: if "rx".contains(kind) { RunState::Running } else { RunState::Queued },
                    attempt: i32::from("rwx".contains(kind)),
                    cancel_requested: kind == "x",
                }
            })
            .collect()
    }

    #[test]
    fn admission() {
        use Overlap::*;
        let cases: &[(Overlap, Reason, &str, &str)] = &[
            (Skip, Reason::Schedule, "", "admit"),
            (Skip, Reason::Schedule, "r1", "refuse 1"),
            (Skip, Reason::Schedule, "q1", "refuse 1"),
            (Skip, Reason::Schedule, "w1", "refuse 1"),
            (Skip, Reason::Manual, "r1", "refuse 1"),
            (Skip, Reason::CatchUp, "r1 c2", "admit"),
            (Queue, Reason::Schedule, "", "admit"),
            (Queue, Reason::Schedule, "r1", "admit"),
            (Queue, Reason::Schedule, "w1", "admit"),
            (Queue, Reason::Schedule, "r1 q2", "refuse 1 2"),
            (Queue, Reason::Manual, "r1 q2", "refuse 1 2"),
            (Replace, Reason::Schedule, "", "admit"),
            (Replace, Reason::Schedule, "r1", "admit stop 1"),
            (Replace, Reason::Schedule, "x1", "admit"),
            (Replace, Reason::Schedule, "x1 q2", "admit drop 2"),
            (Replace, Reason::Schedule, "w1", "admit drop 1"),
            (Replace, Reason::Schedule, "r1 c2", "admit stop 1"),
            (Allow(2), Reason::Schedule, "r1", "admit"),
            (Allow(2), Reason::Schedule, "r1 q2", "refuse 1 2"),
            (Allow(0), Reason::Schedule, "", "admit"),
            (Allow(0), Reason::Schedule, "r1", "refuse 1"),
        ];
        let numbers = |ids: &[RunId]| {
            ids.iter()
                .map(|id| format!(" {}", id.to_string()[24..].trim_start_matches('0')))
                .collect::<String>()
        };
        for (overlap, reason, active, expected) in cases {
            let found = match admit(*overlap, *reason, &runs(active)) {
                Admission::Refuse { by } => format!("refuse{}", numbers(&by)),
                Admission::Admit { stop, drop } => {
                    let part = |word: &str, ids: &[RunId]| {
                        if ids.is_empty() { String::new() } else { format!(" {word}{}", numbers(ids)) }
                    };
                    format!("admit{}{}", part("stop", &stop), part("drop", &drop))
                }
            };
            assert_eq!(&found, expected, "{overlap:?} {reason:?} [{active}]");
        }
    }

    #[test]
    fn starting() {
        use Overlap::*;
        let cases: &[(Overlap, &str, u64, bool)] = &[
            (Skip, "q1", 1, true),
            (Skip, "r1 q2", 2, false),
            (Queue, "r1 q2", 2, false),
            (Queue, "w1 q2", 2, false),
            (Queue, "w1 q2", 1, true),
            (Queue, "w1 w2", 1, true),
            (Queue, "w1 w2", 2, false),
            (Queue, "q1 w2", 2, true),
            (Replace, "x1 q2", 2, false),
            (Allow(2), "r1 q2", 2, true),
            (Allow(2), "r1 r2 q3", 3, false),
            (Allow(3), "c1 c2", 1, true),
            (Allow(3), "c1 c2", 2, false),
            (Skip, "c1 c2", 2, false),
            (Skip, "c1 q2", 2, true),
        ];
        for (overlap, active, candidate, expected) in cases {
            let active = runs(active);
            let one = active.iter().find(|run| run.id == id(*candidate)).unwrap();
            assert_eq!(may_start(one, *overlap, &active), *expected, "{overlap:?} {candidate} in {active:?}");
        }
    }

    #[test]
    fn groups_are_counted_over_pipelines() {
        let mut board = Board::default();
        board.learn_pipeline("a", runs("q1"));
        board.learn_pipeline("b", runs("q2"));
        board.learn_group("site", 1);
        let policy = RunPolicy {
            limit_group: Some(LimitGroup { name: "site".into(), max: 2 }),
            ..RunPolicy::default()
        };
        assert!(board.try_start("a", id(1), &policy));
        assert!(!board.try_start("b", id(2), &policy), "the group is full");
        assert!(!board.try_start("a", id(1), &policy), "it runs already");
        assert!(!board.try_start("c", id(3), &policy), "nobody knows it");
    }
}
