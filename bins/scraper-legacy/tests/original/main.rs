//! The pipelines of `examples/original` against servers that answer as the real ones do, over several days.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it was made")]

mod appmagic;
mod fi;
mod ods;
mod tcg;

use test_support::http::HttpServer;
use test_support::process::{Finished, Program};

/// The example's folder in a fresh working directory, and the server that stands for all three sites.
struct World {
    program: Program,
    server: HttpServer,
}

impl World {
    async fn new() -> Self {
        let server = HttpServer::start().await;
        let mut program = Program::new(env!("CARGO_BIN_EXE_scraper-legacy"));
        for name in ["pipelines.yml", "pokemon_sets.csv"] {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/original");
            let content = std::fs::read(format!("{folder}/{name}")).unwrap();
            program = program.file(&format!("examples/original/{name}"), content);
        }
        for site in ["FI", "TCG", "APPMAGIC"] {
            // A path in front of the sites' own.
            program = program.variable(&format!("{site}_BASE_URL"), server.url("/mirror/of"));
            program = program.variable(&format!("{site}_RATE_LIMIT"), "1000/s");
        }
        Self { program, server }
    }

    /// Runs pipelines and expects this exit code.
    fn run(&self, pipelines: &[&str], code: i32) -> Finished {
        let mut arguments = vec!["examples/original/pipelines.yml"];
        arguments.extend(pipelines);
        arguments.extend(["--summary", "json"]);
        self.program.run(&arguments).expect(code)
    }

    /// The rows of a query, each as its values with `|` between them.
    fn rows(&self, db: &str, query: &str) -> Vec<String> {
        rows(&self.program.folder().join(db), query)
    }
}

fn rows(db: &std::path::Path, query: &str) -> Vec<String> {
    use rusqlite::types::ValueRef;
    let connection = rusqlite::Connection::open(db).unwrap();
    let mut statement = connection.prepare(query).unwrap();
    let width = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let shown = (0..width).map(|at| match row.get_ref(at).unwrap() {
            ValueRef::Null => "null".to_owned(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            ValueRef::Blob(bytes) => format!("{bytes:?}"),
        });
        lines.push(shown.collect::<Vec<_>>().join("|"));
    }
    lines
}

/// A site's path behind the base that the world sets.
fn at(path: &str) -> String {
    format!("/mirror/of{path}")
}

#[tokio::test]
async fn the_file_is_right_and_keeps_the_original_schedules() {
    let world = World::new().await;
    let finished = world.program.run(&["--check", "examples/original/pipelines.yml"]).expect(0);
    assert_eq!(finished.stderr, "");
    let finished = world.program.run(&["--list", "examples/original/pipelines.yml"]).expect(0);
    let listed: Vec<Vec<&str>> = finished
        .stdout
        .lines()
        .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).collect())
        .collect();
    let listed: Vec<(&str, &str)> = listed.iter().map(|cells| (cells[0].trim(), cells[1].trim())).collect();
    let expected = [
        ("fi_shortinterest_agg", "interval: 10m (Europe/Stockholm)"),
        ("fi_shortinterest_pos", "interval: 10m (Europe/Stockholm)"),
        ("tcgplayer_pokemon_sets", "cron: 0 21 * * * (Europe/Stockholm)"),
        ("tcgplayer_price_history", "after: tcgplayer_pokemon_sets"),
        ("appmagic_companies", "cron: 0 22 * * * (Europe/Stockholm)"),
    ];
    assert_eq!(listed, expected);
}
