//! What `docs/scheduling.md` shows is what happens.

mod common;

use std::collections::BTreeMap;

use common::{at, schedule};
use schedule::{Cron, Reading};

fn document() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/scheduling.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of every table row, without their backticks.
fn rows(document: &str) -> Vec<Vec<String>> {
    document
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|row| row.split(" | ").map(|cell| cell.trim().replace('`', "")).collect())
        .collect()
}

#[test]
fn the_error_is_rendered_as_shown() {
    let error = Cron::parse("0 22-2 * * *").expect_err("it runs backwards");
    assert!(document().contains(&format!("```\n{}\n```", error.render())), "{}", error.render());
}

#[test]
fn fires_on_the_days_of_clock_changes_are_as_shown() {
    let document = document();
    let mut checked = 0;
    for row in rows(&document) {
        let [expression, spring, autumn] = &row[..] else { continue };
        // The rows of that table have times with offsets.
        if !autumn.contains("+02:00") {
            continue;
        }
        for (cell, begin, end, date) in [
            (spring, "2026-03-28T22:59:59Z", "2026-03-29T21:59:59Z", "2026-03-29"),
            (autumn, "2026-10-24T21:59:59Z", "2026-10-25T22:59:59Z", "2026-10-25"),
        ] {
            let job = schedule(expression, "Europe/Stockholm");
            let fires: Vec<String> = job
                .fires(at(begin))
                .take_while(|fire| *fire <= at(end))
                .map(|fire| schedule::instant::format(fire, job.zone()))
                .collect();
            let shown: Vec<String> = match cell.as_str() {
                "nothing" => Vec::new(),
                times => {
                    times.split(", ").map(|time| format!("{date}T{}:00{}", &time[..5], &time[5..])).collect()
                }
            };
            assert_eq!(fires, shown, "{expression} on {date}");
            checked += 1;
        }
    }
    assert_eq!(checked, 6);
}

#[test]
fn nicknames_stand_for_what_is_shown() {
    let document = document();
    let line = document.lines().find(|line| line.starts_with("| `@yearly`")).expect("the row of nicknames");
    for nickname in line.split('`').filter(|part| part.starts_with('@')) {
        Cron::parse(nickname).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn other_schedulers_read_days_as_shown() {
    let readings = |text: &str| -> BTreeMap<&'static str, String> {
        let cron = Cron::parse(text).unwrap_or_else(|error| panic!("{error}"));
        cron.other_readings().into_iter().map(|Reading { scheduler, meaning }| (scheduler, meaning)).collect()
    };
    assert_eq!(readings("0 9 * * 1-5")["APScheduler"], "at 09:00, Tuesday to Saturday");
    assert_eq!(readings("0 9 * * 0")["APScheduler"], "at 09:00, on Monday");
    assert_eq!(readings("0 9 * * 1-5")["Quartz"], "at 09:00, Sunday to Thursday");
    assert_eq!(readings("0 9 * * 6L")["Quartz"], "at 09:00, on the last Friday of the month");
}
