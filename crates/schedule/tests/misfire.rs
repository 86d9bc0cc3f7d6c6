//! Misfires: counts against lists, and the plan for every policy.

mod common;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::{Random, at, schedule, zone};
use schedule::{CatchUp, FirePlan, MisfirePolicy, Missed, Schedule, Zone, plan_fires};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn every(period: u64) -> Schedule {
    Schedule::interval(seconds(period), Zone::UTC)
        .expect("long enough")
        .with_anchor(at("2026-01-01T00:00:00Z"))
}

fn policy(catch_up: CatchUp, grace: Option<u64>, max: u32) -> MisfirePolicy {
    MisfirePolicy { catch_up, grace: grace.map(seconds), max }
}

/// All fires from `due` to `now`, as a list.
fn listed(schedule: &Schedule, due: DateTime<Utc>, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    if due > now {
        return Vec::new();
    }
    std::iter::once(due).chain(schedule.fires(due).take_while(|fire| *fire <= now)).collect()
}

fn any_schedule(random: &mut Random, zones: &[Zone]) -> Option<Schedule> {
    Some(match random.below(4) {
        0 => Schedule::interval(seconds(1 + random.below(100_000)), random.pick(zones))
            .ok()?
            .with_anchor(DateTime::from_timestamp(random.between(0, 4_000_000_000), 0)?),
        _ => Schedule::cron(schedule::Cron::parse(&random.expression()).ok()?, random.pick(zones)),
    })
}

#[test]
fn counts_and_newest_fires_agree_with_lists() {
    let zones: Vec<Zone> = Zone::all().step_by(12).collect();
    let mut random = Random(5);
    let mut fires = 0;
    for _ in 0..600 {
        let Some(schedule) = any_schedule(&mut random, &zones) else { continue };
        let begin = DateTime::from_timestamp(random.between(0, 4_000_000_000), 0).expect("in range");
        let Some(due) = schedule.next_after(begin) else { continue };
        // Up to a list of 400, and then a little beyond its last fire or not.
        let length = random.below(400) as usize;
        let Some(last) = schedule.fires(due).take(length).last() else { continue };
        let now = last + TimeDelta::seconds(random.between(0, 30));
        let list = listed(&schedule, due, now);
        let expected = Missed { count: list.len() as u64, first: due, newest: list[list.len() - 1] };
        let context = format!("{:?} from {due} to {now}", schedule.trigger());
        assert_eq!(schedule.missed(due, now), Some(expected), "{context}");
        for n in [0, 1, 2, 7, 100, list.len(), list.len() + 1] {
            let newest = &list[list.len().saturating_sub(n)..];
            assert_eq!(schedule.newest_n_missed(due, now, n), newest, "{n} newest of {context}");
        }
        fires += list.len();
    }
    assert!(fires > 30_000, "{fires}");
}

#[test]
fn nothing_is_missed_before_it_is_due() {
    let schedule = every(60);
    let due = at("2026-01-01T00:01:00Z");
    assert_eq!(schedule.missed(due, at("2026-01-01T00:00:59Z")), None);
    assert_eq!(schedule.missed(due, due), Some(Missed { count: 1, first: due, newest: due }));
    assert!(schedule.newest_n_missed(due, at("2026-01-01T00:00:59Z"), 5).is_empty());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "this test is about real time")]
fn years_of_downtime_take_no_time() {
    let started = std::time::Instant::now();
    let second = every(1);
    let (due, now) = (at("2026-01-01T00:00:01Z"), at("2027-01-01T00:00:00Z"));
    for _ in 0..100 {
        assert_eq!(second.missed(due, now).map(|missed| missed.count), Some(365 * 86_400));
        let plan = plan_fires(&policy(CatchUp::All, None, 100), &second, "job", due, now);
        assert_eq!((plan.run.len(), plan.missed.map(|row| row.count)), (102, Some(365 * 86_400 - 102)));
    }
    // Nearly eight thousand years of a job that fires every minute.
    let minutes = schedule("* * * * *", "Europe/Stockholm");
    let missed = minutes.missed(at("2026-01-01T00:00:00Z"), at("9999-12-31T22:59:00Z")).expect("due");
    assert_eq!(missed.newest, at("9999-12-31T22:59:00Z"));
    assert_eq!(
        missed.count,
        (at("9999-12-31T22:59:00Z") - at("2026-01-01T00:00:00Z")).num_minutes() as u64 + 1
    );
    assert!(started.elapsed() < seconds(10), "{:?}", started.elapsed());
}

/// What a plan is expected to be, in minutes after 2026-01-01T00:00Z of a job that fires each
/// minute. A fire that is a catch-up has a `*`.
struct Case {
    policy: MisfirePolicy,
    /// Seconds after 2026-01-01T00:00Z. The job's fire of minute 1 is due.
    now: i64,
    /// Count, first, last.
    missed: Option<(u64, i64, i64)>,
    run: &'static [&'static str],
    next: i64,
}

fn case(
    policy: MisfirePolicy,
    now: i64,
    missed: Option<(u64, i64, i64)>,
    run: &'static [&'static str],
    next: i64,
) -> Case {
    Case { policy, now, missed, run, next }
}

fn check(number: usize, case: &Case) {
    let epoch = at("2026-01-01T00:00:00Z");
    let minute = |minutes: i64| epoch + TimeDelta::minutes(minutes);
    let job = every(60);
    let plan = plan_fires(&case.policy, &job, "job", minute(1), epoch + TimeDelta::seconds(case.now));
    let context = format!("case {number}: {:?} at {}", case.policy, case.now);
    let missed = plan.missed.map(|row| (row.count, row.first, row.last));
    assert_eq!(
        missed,
        case.missed.map(|(count, first, last)| (count, minute(first), minute(last))),
        "{context}"
    );
    let run: Vec<String> = plan
        .run
        .iter()
        .map(|fire| {
            format!("{}{}", (fire.nominal - epoch).num_minutes(), if fire.catch_up { "*" } else { "" })
        })
        .collect();
    assert_eq!(run, case.run, "{context}");
    assert_eq!(plan.next.map(|next| next.nominal), Some(minute(case.next)), "{context}");
    assert!(plan.run.iter().all(|fire| fire.due_at == fire.nominal), "{context}");
}

#[test]
fn the_plan_of_every_policy() {
    use CatchUp::{All, Latest, Skip};
    let cases = [
        // Not due yet, or the clock stepped back: nothing happens, the next fire stays.
        case(policy(Latest, None, 100), 59, None, &[], 1),
        case(policy(Latest, None, 100), -86_400, None, &[], 1),
        // On time, to the second, whatever the policy.
        case(policy(Latest, None, 100), 60, None, &["1"], 2),
        case(policy(Latest, None, 100), 61, None, &["1"], 2),
        case(policy(All, None, 100), 61, None, &["1"], 2),
        case(policy(Skip, None, 100), 61, None, &["1"], 2),
        // Late by more than a second: a misfire.
        case(policy(Latest, None, 100), 62, None, &["1*"], 2),
        case(policy(All, None, 100), 62, None, &["1*"], 2),
        case(policy(Skip, None, 100), 62, Some((1, 1, 1)), &[], 2),
        // Ten are due, the newest half a minute late.
        case(policy(Latest, None, 100), 630, Some((9, 1, 9)), &["10*"], 11),
        case(
            policy(All, None, 100),
            630,
            None,
            &["1*", "2*", "3*", "4*", "5*", "6*", "7*", "8*", "9*", "10*"],
            11,
        ),
        case(policy(All, None, 3), 630, Some((7, 1, 7)), &["8*", "9*", "10*"], 11),
        case(policy(All, None, 1), 630, Some((9, 1, 9)), &["10*"], 11),
        case(policy(Skip, None, 100), 630, Some((10, 1, 10)), &[], 11),
        // Ten are due, the newest on time: it runs beside the newest missed one.
        case(policy(Latest, None, 100), 600, Some((8, 1, 8)), &["9*", "10"], 11),
        case(policy(All, None, 3), 600, Some((6, 1, 6)), &["7*", "8*", "9*", "10"], 11),
        case(policy(Skip, None, 100), 600, Some((9, 1, 9)), &["10"], 11),
        // With a grace.
        case(policy(Latest, Some(30), 100), 630, Some((9, 1, 9)), &["10*"], 11),
        case(policy(Latest, Some(29), 100), 630, Some((10, 1, 10)), &[], 11),
        case(policy(Latest, Some(29), 100), 600, Some((9, 1, 9)), &["10"], 11),
        case(policy(All, Some(150), 100), 630, Some((7, 1, 7)), &["8*", "9*", "10*"], 11),
        case(policy(All, Some(150), 2), 630, Some((8, 1, 8)), &["9*", "10*"], 11),
        case(policy(All, Some(10), 100), 630, Some((10, 1, 10)), &[], 11),
        case(policy(Skip, Some(150), 100), 630, Some((7, 1, 7)), &["8", "9", "10"], 11),
        case(policy(Skip, Some(150), 2), 630, Some((8, 1, 8)), &["9", "10"], 11),
        case(
            policy(Skip, Some(3_600), 100),
            630,
            None,
            &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"],
            11,
        ),
    ];
    for (number, case) in cases.iter().enumerate() {
        check(number, case);
    }
}

/// A second, naive decision over a list of all fires.
fn naive_plan(
    policy: &MisfirePolicy,
    schedule: &Schedule,
    due: DateTime<Utc>,
    now: DateTime<Utc>,
) -> (Vec<DateTime<Utc>>, Vec<DateTime<Utc>>) {
    let late_by = |fire: &DateTime<Utc>| (now - schedule.due_at("job", *fire)).num_milliseconds();
    let started: Vec<_> = listed(schedule, due, now).into_iter().filter(|fire| late_by(fire) >= 0).collect();
    let (late, on_time): (Vec<_>, Vec<_>) = started.iter().copied().partition(|fire| late_by(fire) > 1_000);
    let max = policy.max as usize;
    let mut run: Vec<_> = match policy.catch_up {
        CatchUp::Latest => late.iter().rev().take(1).rev().chain(&on_time).copied().collect(),
        CatchUp::All => late[late.len().saturating_sub(max)..].iter().chain(&on_time).copied().collect(),
        CatchUp::Skip => started[started.len().saturating_sub(max)..].to_vec(),
    };
    let grace = match (policy.catch_up, policy.grace) {
        (CatchUp::Skip, None) => Some(seconds(1)),
        (_, grace) => grace,
    };
    run.retain(|fire| grace.is_none_or(|grace| late_by(fire) <= grace.as_millis() as i64));
    let missed = started.into_iter().filter(|fire| !run.contains(fire)).collect();
    (missed, run)
}

#[test]
fn plans_agree_with_a_naive_decision_and_lose_nothing() {
    let zones: Vec<Zone> = Zone::all().step_by(12).collect();
    let mut random = Random(17);
    let mut with_jitter = 0;
    for _ in 0..1_500 {
        let Some(mut schedule) = any_schedule(&mut random, &zones) else { continue };
        if random.below(2) == 0 {
            schedule = schedule.with_jitter(seconds(random.below(7_200)));
        }
        let policy = MisfirePolicy {
            catch_up: random.pick(&[CatchUp::Latest, CatchUp::All, CatchUp::Skip]),
            grace: random.pick(&[None, Some(1), Some(30), Some(3_600), Some(864_000)]).map(seconds),
            max: random.pick(&[1, 2, 10, 100]),
        };
        let begin = DateTime::from_timestamp(random.between(0, 4_000_000_000), 0).expect("in range");
        let Some(due) = schedule.next_after(begin) else { continue };
        let length = random.below(150) as usize;
        let last = schedule.fires(due).take(length).last().unwrap_or(due);
        let now = last
            + TimeDelta::milliseconds(
                random.between(-2_000, 4_000_000) * random.between(0, 1) + random.between(0, 2_500),
            );
        let (missed, run) = naive_plan(&policy, &schedule, due, now);
        let plan = plan_fires(&policy, &schedule, "job", due, now);
        let context =
            format!("{policy:?} {:?} jitter {:?} due {due} now {now}", schedule.trigger(), schedule.jitter());
        let found: Vec<_> = plan.run.iter().map(|fire| fire.nominal).collect();
        assert_eq!(found, run, "{context}");
        let row = plan.missed.map(|row| (row.count, row.first, row.last));
        let expected = missed.first().map(|first| (missed.len() as u64, *first, missed[missed.len() - 1]));
        assert_eq!(row, expected, "{context}");
        // The next fire follows at once on the last one that was decided, and is not due.
        let decided = run.last().or(missed.last());
        let next = decided.map_or(Some(due), |last| schedule.next_after(*last));
        assert_eq!(plan.next.map(|next| next.nominal), next, "{context}");
        assert!(plan.next.is_none_or(|next| next.due_at > now), "{context}");
        with_jitter += usize::from(plan.run.iter().any(|fire| fire.due_at > fire.nominal));
    }
    assert!(with_jitter > 100, "{with_jitter}");
}

#[test]
fn the_last_fire_of_a_schedule_has_no_next() {
    let once = Schedule::at(at("2026-12-24T18:00:00Z"), zone("Europe/Stockholm"));
    let plan = plan_fires(
        &MisfirePolicy::default(),
        &once,
        "job",
        at("2026-12-24T18:00:00Z"),
        at("2026-12-25T00:00:00Z"),
    );
    assert_eq!(plan.run.len(), 1);
    assert!(plan.run[0].catch_up);
    assert_eq!((plan.missed, plan.next), (None, None));
    let ended = every(60).with_bounds(None, Some(at("2026-01-01T00:02:00Z")));
    let plan = plan_fires(
        &MisfirePolicy::default(),
        &ended,
        "job",
        at("2026-01-01T00:01:00Z"),
        at("2026-02-01T00:00:00Z"),
    );
    assert_eq!(plan.missed.map(|row| row.count), Some(1));
    assert_eq!((plan.run.len(), plan.next), (1, None));
}

/// The store's next fire is a fire, even when the zone's rules or the expression changed since.
#[test]
fn a_due_instant_that_the_schedule_no_longer_has_still_counts() {
    let hourly = schedule("0 * * * *", "UTC");
    let plan = plan_fires(
        &policy(CatchUp::All, None, 100),
        &hourly,
        "job",
        at("2026-01-01T00:30:00Z"),
        at("2026-01-01T02:10:00Z"),
    );
    let run: Vec<_> = plan.run.iter().map(|fire| fire.nominal).collect();
    assert_eq!(run, [at("2026-01-01T00:30:00Z"), at("2026-01-01T01:00:00Z"), at("2026-01-01T02:00:00Z")]);
    let none = Schedule::manual(Zone::UTC);
    let plan = plan_fires(
        &MisfirePolicy::default(),
        &none,
        "job",
        at("2026-01-01T00:30:00Z"),
        at("2026-01-01T00:30:00Z"),
    );
    assert_eq!((plan.run.len(), plan.next), (1, None));
}

#[test]
fn lateness_counts_from_the_jittered_start() {
    let job = every(3_600).with_jitter(seconds(600));
    let nominal = at("2026-01-01T01:00:00Z");
    let due_at = job.due_at("job", nominal);
    assert!(due_at > nominal + TimeDelta::seconds(2), "the test needs a delay: {due_at}");
    let plan = |now| plan_fires(&policy(CatchUp::Skip, None, 100), &job, "job", nominal, now);
    // Before its start it waits; the fire keeps its nominal instant.
    let before: FirePlan = plan(due_at - TimeDelta::milliseconds(1));
    assert_eq!((before.run.len(), before.missed), (0, None));
    assert_eq!(before.next.map(|next| (next.nominal, next.due_at)), Some((nominal, due_at)));
    let after = plan(due_at + TimeDelta::seconds(1));
    assert_eq!(
        after.run.iter().map(|fire| (fire.nominal, fire.catch_up)).collect::<Vec<_>>(),
        [(nominal, false)]
    );
    let late = plan(due_at + TimeDelta::milliseconds(1_001));
    assert_eq!((late.run.len(), late.missed.map(|row| row.first)), (0, Some(nominal)));
}

#[test]
fn grace_is_asked_again_when_a_fire_starts() {
    let due_at = at("2026-01-01T00:00:00Z");
    let later = |milliseconds| due_at + TimeDelta::milliseconds(milliseconds);
    for (policy, now, too_late) in [
        (policy(CatchUp::Latest, None, 1), later(1_000_000_000), false),
        (policy(CatchUp::Latest, Some(60), 1), later(60_000), false),
        (policy(CatchUp::Latest, Some(60), 1), later(60_001), true),
        (policy(CatchUp::Skip, None, 1), later(1_000), false),
        (policy(CatchUp::Skip, None, 1), later(1_001), true),
        (policy(CatchUp::Skip, Some(60), 1), later(60_000), false),
        (policy(CatchUp::All, Some(60), 1), later(-5), false),
    ] {
        assert_eq!(policy.too_late(due_at, now), too_late, "{policy:?} {now}");
    }
}
