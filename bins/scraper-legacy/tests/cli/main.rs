//! `scraper-legacy` as a stranger sees it: a child process with arguments, variables, output and exit codes.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it was made")]

mod demo;
mod discord;
mod docs;
mod environment;
mod files;
mod guides;
mod notices;
mod runs;
mod signals;
mod summary;
mod web_recipes;

use test_support::process::Program;

/// The program with a file of these pipelines.
fn legacy(pipelines: &str) -> Program {
    program().file("pipelines.yml", pipelines)
}

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_scraper-legacy"))
}

/// A stage with two items.
const ITEMS: &str = "{class: items.ItemsFetcher, kwargs: {topic: t, items: [{n: 1}, {n: 2}]}}";

/// A stage that fails.
const FAILS: &str = "{class: exec.CommandFetcher, kwargs: {command: [sh, -c, 'echo no luck >&2; exit 3']}}";

/// A stage that goes on until it is ended, says so, and has a child of its own.
const ENDLESS: &str = "{class: exec.CommandFetcher, kwargs: {command: [sh, -c, 'echo $$ > pid; echo running >&2; sleep 600; true']}}";
