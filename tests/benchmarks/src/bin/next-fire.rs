//! `next-fire`: the table of all peers. `next-fire compare`: where their fires differ from ours. `next-fire count PEER [EXPRESSION]` and `next-fire parse
//! PEER`: one pass without clocks, for callgrind to count its instructions (see
//! `count-instructions.sh`).

use std::process::ExitCode;
use std::time::Instant;

use benchmarks::{
    CronCrate, Croner, EXPRESSIONS, FIRES, Ours, Search, ZONES, fires_of_cell, list, parse_all, start,
};

/// Times of a cell: the median of so many.
const REPETITIONS: usize = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => table(),
        ["count", peer] => return count(peer, &EXPRESSIONS),
        ["count", peer, expression] => return count(peer, &[expression]),
        ["parse", peer] => return parse(peer),
        ["compare"] => {
            compare::<CronCrate>();
            compare::<Croner>();
        }
        ["expressions"] => EXPRESSIONS.iter().for_each(|expression| println!("{expression}")),
        _ => {
            eprintln!(
                "usage: next-fire [compare | expressions | count PEER [EXPRESSION] | parse PEER], PEER: schedule, cron, croner"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn count(peer: &str, expressions: &[&str]) -> ExitCode {
    let fires = match peer {
        Ours::NAME => one_pass::<Ours>(expressions),
        CronCrate::NAME => one_pass::<CronCrate>(expressions),
        Croner::NAME => one_pass::<Croner>(expressions),
        _ => {
            eprintln!("unknown peer {peer}");
            return ExitCode::from(2);
        }
    };
    println!("{fires}");
    ExitCode::SUCCESS
}

fn parse(peer: &str) -> ExitCode {
    match peer {
        Ours::NAME => parse_all::<Ours>(),
        CronCrate::NAME => parse_all::<CronCrate>(),
        Croner::NAME => parse_all::<Croner>(),
        _ => {
            eprintln!("unknown peer {peer}");
            return ExitCode::from(2);
        }
    }
    println!("{}", EXPRESSIONS.len());
    ExitCode::SUCCESS
}

fn one_pass<S: Search>(expressions: &[&str]) -> usize {
    let mut fires = 0;
    for expression in expressions {
        for zone in ZONES {
            let Some(search) = S::new(expression, zone) else { continue };
            let begin = search.instant(start());
            // The first fire finds the zone's changes once; that is not what is counted.
            search.next(&begin);
            fires += fires_of_cell(&search, &begin);
        }
    }
    fires
}

/// One expression in one zone.
struct Cell {
    expression: &'static str,
    nanoseconds: f64,
    fires: usize,
    allocations: f64,
}

fn measure<S: Search>() -> (Vec<Cell>, f64) {
    let mut cells = Vec::new();
    for expression in EXPRESSIONS {
        for zone in ZONES {
            let Some(search) = S::new(expression, zone) else { continue };
            let begin = search.instant(start());
            search.next(&begin);
            let mut fires = 0;
            let mut times: Vec<f64> = (0..REPETITIONS)
                .map(|_| {
                    let started = Instant::now();
                    fires = fires_of_cell(&search, &begin);
                    started.elapsed().as_nanos() as f64
                })
                .collect();
            times.sort_by(f64::total_cmp);
            let allocated = allocation_counter::measure(|| {
                fires_of_cell(&search, &begin);
            });
            let asked = fires.max(1) as f64;
            cells.push(Cell {
                expression,
                nanoseconds: times[REPETITIONS / 2] / asked,
                fires,
                allocations: allocated.count_total as f64 / asked,
            });
        }
    }
    (cells, parse_time::<S>())
}

/// Mean time to compile an expression.
fn parse_time<S: Search>() -> f64 {
    const ROUNDS: usize = 50;
    let started = Instant::now();
    for _ in 0..ROUNDS {
        parse_all::<S>();
    }
    started.elapsed().as_nanos() as f64 / (ROUNDS * EXPRESSIONS.len()) as f64
}

fn table() {
    println!(
        "{} expressions x {} zones x {FIRES} fires from {}, median of {REPETITIONS} a cell",
        EXPRESSIONS.len(),
        ZONES.len(),
        start().to_rfc3339()
    );
    println!();
    println!(
        "| peer | ns/fire, mean | median cell | p99 cell | slowest cell | allocations/fire | parse ns | fires | cells cut short |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let ours = row::<Ours>();
    let cron = row::<CronCrate>();
    let croner = row::<Croner>();
    println!();
    println!(
        "{} is {:.1} times as fast as {} and {:.1} times as fast as {}.",
        Ours::NAME,
        mean(&cron) / mean(&ours),
        CronCrate::NAME,
        mean(&croner) / mean(&ours),
        Croner::NAME
    );
    println!();
    println!("Slowest expressions, ns/fire, mean over the zones:");
    slowest(Ours::NAME, &ours);
    slowest(CronCrate::NAME, &cron);
    slowest(Croner::NAME, &croner);
}

fn row<S: Search>() -> Vec<Cell> {
    let (cells, parse) = measure::<S>();
    let mut sorted: Vec<f64> = cells.iter().map(|cell| cell.nanoseconds).collect();
    sorted.sort_by(f64::total_cmp);
    let quantile = |q: f64| sorted[((sorted.len() - 1) as f64 * q).round() as usize];
    let fires: usize = cells.iter().map(|cell| cell.fires).sum();
    let allocations: f64 = cells.iter().map(|cell| cell.allocations).sum::<f64>() / cells.len() as f64;
    println!(
        "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {allocations:.2} | {parse:.0} | {fires} | {} |",
        S::NAME,
        mean(&cells),
        quantile(0.5),
        quantile(0.99),
        quantile(1.0),
        cells.iter().filter(|cell| cell.fires < FIRES).count(),
    );
    cells
}

fn mean(cells: &[Cell]) -> f64 {
    let total: f64 = cells.iter().map(|cell| cell.nanoseconds * cell.fires as f64).sum();
    total / cells.iter().map(|cell| cell.fires).sum::<usize>().max(1) as f64
}

fn slowest(name: &str, cells: &[Cell]) {
    let mut by_expression: Vec<(&str, f64)> = EXPRESSIONS
        .iter()
        .map(|expression| {
            let own: Vec<f64> = cells
                .iter()
                .filter(|cell| cell.expression == *expression)
                .map(|cell| cell.nanoseconds)
                .collect();
            (*expression, own.iter().sum::<f64>() / own.len().max(1) as f64)
        })
        .collect();
    by_expression.sort_by(|a, b| b.1.total_cmp(&a.1));
    let list: Vec<String> =
        by_expression.iter().take(5).map(|(text, ns)| format!("`{text}` {ns:.0}")).collect();
    println!("- {name}: {}", list.join("; "));
}

/// The cells in which a peer has other fires, with the first difference.
fn compare<S: Search>() {
    let (mut cells, mut different) = (0, 0);
    for expression in EXPRESSIONS {
        for zone in ZONES {
            let (ours, theirs) = (list::<Ours>(expression, zone), list::<S>(expression, zone));
            cells += 1;
            if ours == theirs {
                continue;
            }
            different += 1;
            let index = ours.iter().zip(&theirs).take_while(|(ours, theirs)| ours == theirs).count();
            let show = |fires: &[chrono::DateTime<chrono::Utc>]| match fires.get(index) {
                Some(fire) => fire.with_timezone(&zone).to_rfc3339(),
                None => "none".to_owned(),
            };
            println!(
                "{}: `{expression}` {zone}, fire {}: ours {}, theirs {}",
                S::NAME,
                index + 1,
                show(&ours),
                show(&theirs)
            );
        }
    }
    println!("{}: {} of {cells} cells equal", S::NAME, cells - different);
}
