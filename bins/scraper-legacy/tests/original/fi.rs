//! The lists of short positions.

use test_support::http::Answer;

use crate::ods::{Cell, ods};
use crate::{World, at};

const PAGE: &str = "/sv/vara-register/blankningsregistret/";
const AGGREGATE: &str = "/sv/vara-register/blankningsregistret/GetBlankningsregisterAggregat/";
const POSITIONS: &str = "/sv/vara-register/blankningsregistret/GetAktuellFile/";
const BOTH: [&str; 2] = ["fi_shortinterest_agg", "fi_shortinterest_pos"];
const DB: &str = "db/fi_shortinterest.db";

/// Issuer, LEI, percent, date.
type Issuer = (&'static str, &'static str, f64, &'static str);
/// Holder, issuer, ISIN, percent, date, comment.
type Position = (&'static str, &'static str, &'static str, f64, &'static str, &'static str);

fn page(updated: &str) -> Answer {
    Answer::html(format!(
        "<html><body><h1>Blankningsregistret</h1><p>Om registret: se nedan</p>\
         <p>Listan uppdaterades: {updated}</p><p>2 listor</p></body></html>"
    ))
}

fn aggregate(issuers: &[Issuer]) -> Answer {
    let rows: Vec<Vec<Cell<'_>>> = issuers
        .iter()
        .map(|(name, lei, percent, date)| {
            vec![Cell::Text(name), Cell::Text(lei), Cell::Number(*percent), Cell::Text(date)]
        })
        .collect();
    let header = ["Emittentens namn", "LEI", "Summa blankning i procent", "Senaste datum"];
    Answer::new(200, "application/vnd.oasis.opendocument.spreadsheet", ods(&header, &rows))
}

fn positions(positions: &[Position]) -> Answer {
    let cell = |text: &'static str| if text.is_empty() { Cell::Empty } else { Cell::Text(text) };
    let rows: Vec<Vec<Cell<'_>>> = positions
        .iter()
        .map(|(holder, issuer, isin, percent, date, comment)| {
            vec![cell(holder), cell(issuer), cell(isin), Cell::Number(*percent), cell(date), cell(comment)]
        })
        .collect();
    let header = ["Innehavare", "Emittent", "ISIN", "Position i procent", "Datum", "Kommentar"];
    Answer::new(200, "application/vnd.oasis.opendocument.spreadsheet", ods(&header, &rows))
}

const FIRST: [Issuer; 6] = [
    (" Alfa Stål AB ", "LEI-A", 1.5, "2026-11-20"),
    ("Beta Bio & Co", "LEI-B", 0.8, "2026-11-20"),
    ("Cirkus AB", "LEI-C", 2.25, "2026-11-19"),
    ("Delta Data", "LEI-D", 0.55, "2026-11-18"),
    ("Eko Energi", "LEI-E", 3.0, "2026-11-17"),
    ("Fjord Fastighet", "LEI-F", 0.5, "2026-11-16"),
];
const SECOND: [Issuer; 6] = [
    ("Alfa Stål AB", "LEI-A", 1.75, "2026-11-23"),
    ("Beta Bio & Co", "LEI-B", 0.8005, "2026-11-20"),
    ("Cirkus AB", "LEI-C", 2.25, "2026-11-23"),
    ("Delta Data", "LEI-D", 0.55, "2026-11-18"),
    ("Eko Energi", "LEI-E", 3.0, "2026-11-17"),
    ("Gamma Gruva", "LEI-G", 0.61, "2026-11-23"),
];
const FIRST_POSITIONS: [Position; 5] = [
    ("Kapital Ett", "Alfa Stål AB", "SE01", 0.9, "2026-11-20", ""),
    ("Kapital Ett", "Beta Bio & Co", "SE02", 0.8, "2026-11-20", "rättad"),
    ("Fond Två", "Alfa Stål AB", "SE01", 0.6, "2026-11-19", ""),
    ("Fond Två", "Cirkus AB", "SE03", 1.25, "2026-11-19", ""),
    ("Fond Tre", "Cirkus AB", "SE03", 1.0, "2026-11-18", ""),
];
const SECOND_POSITIONS: [Position; 5] = [
    ("Kapital Ett", "Alfa Stål AB", "SE01", 1.15, "2026-11-23", ""),
    ("Kapital Ett", "Beta Bio & Co", "SE02", 0.8, "2026-11-20", ""),
    ("Fond Två", "Alfa Stål AB", "SE01", 0.6, "2026-11-19", ""),
    ("Fond Två", "Cirkus AB", "SE03", 1.25, "2026-11-19", ""),
    ("Fond Fyra", "Gamma Gruva", "SE04", 0.61, "2026-11-23", ""),
];

impl World {
    fn issuers(&self) -> Vec<String> {
        let columns = "company_name, lei, position_percent, latest_position_date, timestamp IS NOT NULL";
        self.rows(DB, &format!("SELECT {columns} FROM short_positions ORDER BY lei"))
    }

    /// The history in the order of its writing.
    fn issuers_history(&self) -> Vec<String> {
        let columns = "lei, company_name, position_percent, latest_position_date, old_pct, new_pct";
        self.rows(DB, &format!("SELECT {columns} FROM short_positions_history ORDER BY event_timestamp, lei"))
    }

    fn holders(&self) -> Vec<String> {
        let columns = "entity_name, issuer_name, isin, position_percent, position_date, comment";
        self.rows(DB, &format!("SELECT {columns} FROM position_holders ORDER BY 1, 2"))
    }

    fn holders_history(&self) -> Vec<String> {
        let columns =
            "entity_name, issuer_name, isin, position_percent, position_date, comment, old_pct, new_pct";
        self.rows(
            DB,
            &format!("SELECT {columns} FROM position_holders_history ORDER BY event_timestamp, 1, 2"),
        )
    }

    fn all(&self) -> [Vec<String>; 4] {
        [self.issuers(), self.issuers_history(), self.holders(), self.holders_history()]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_over_several_days() {
    let world = World::new().await;
    let server = &world.server;
    let downloads = || server.hits(&at(AGGREGATE)) + server.hits(&at(POSITIONS));
    server.on(&at(PAGE), [page("2026-11-20 15:30")]);
    server.on(&at(AGGREGATE), [aggregate(&FIRST)]);
    server.on(&at(POSITIONS), [positions(&FIRST_POSITIONS)]);
    world.run(&BOTH, 0);
    assert_eq!(
        world.issuers(),
        [
            "Alfa Stål AB|LEI-A|1.5|2026-11-20|1",
            "Beta Bio & Co|LEI-B|0.8|2026-11-20|1",
            "Cirkus AB|LEI-C|2.25|2026-11-19|1",
            "Delta Data|LEI-D|0.55|2026-11-18|1",
            "Eko Energi|LEI-E|3|2026-11-17|1",
            "Fjord Fastighet|LEI-F|0.5|2026-11-16|1",
        ]
    );
    let first_history = [
        "LEI-A|Alfa Stål AB|1.5|2026-11-20|0|1.5",
        "LEI-B|Beta Bio & Co|0.8|2026-11-20|0|0.8",
        "LEI-C|Cirkus AB|2.25|2026-11-19|0|2.25",
        "LEI-D|Delta Data|0.55|2026-11-18|0|0.55",
        "LEI-E|Eko Energi|3|2026-11-17|0|3",
        "LEI-F|Fjord Fastighet|0.5|2026-11-16|0|0.5",
    ];
    assert_eq!(world.issuers_history(), first_history);
    assert_eq!(
        world.holders(),
        [
            "Fond Tre|Cirkus AB|SE03|1|2026-11-18|null",
            "Fond Två|Alfa Stål AB|SE01|0.6|2026-11-19|null",
            "Fond Två|Cirkus AB|SE03|1.25|2026-11-19|null",
            "Kapital Ett|Alfa Stål AB|SE01|0.9|2026-11-20|null",
            "Kapital Ett|Beta Bio & Co|SE02|0.8|2026-11-20|rättad",
        ]
    );
    assert_eq!(downloads(), 2, "each pipeline gets its own list and no other");
    let times = world.rows(DB, "SELECT DISTINCT event_timestamp FROM short_positions_history");
    for time in times {
        let parsed = chrono::NaiveDateTime::parse_from_str(&time, "%Y-%m-%dT%H:%M:%S%.6f");
        assert!(parsed.is_ok() && time.len() == 26, "the form that the original writes: {time}");
    }

    // The same lists, minutes later, and no list at all for a while.
    let before = world.all();
    for updated in ["2026-11-20 15:30", "0001-01-01 00:00"] {
        server.on(&at(PAGE), [page(updated)]);
        world.run(&BOTH, 0);
        assert_eq!(downloads(), 2, "{updated}: no second download");
        assert_eq!(world.all(), before, "{updated}");
    }

    // Changed, within the tolerance, removed, new; a server that is busy at first.
    server.on(&at(PAGE), [page("2026-11-23 15:30")]);
    server.on(&at(AGGREGATE), [Answer::status(503).header("retry-after", "0"), aggregate(&SECOND)]);
    server.on(&at(POSITIONS), [Answer::closed(), positions(&SECOND_POSITIONS)]);
    world.run(&BOTH, 0);
    assert_eq!(
        world.issuers(),
        [
            "Alfa Stål AB|LEI-A|1.75|2026-11-23|1",
            "Beta Bio & Co|LEI-B|0.8005|2026-11-20|1",
            "Cirkus AB|LEI-C|2.25|2026-11-23|1",
            "Delta Data|LEI-D|0.55|2026-11-18|1",
            "Eko Energi|LEI-E|3|2026-11-17|1",
            "Gamma Gruva|LEI-G|0.61|2026-11-23|1",
        ]
    );
    let history = world.issuers_history();
    assert_eq!(history[..6], first_history);
    let mut later = history[6..].to_vec();
    later.sort();
    let mut second_history = [
        "LEI-A|Alfa Stål AB|1.75|2026-11-23|1.5|1.75",
        "LEI-C|Cirkus AB|2.25|2026-11-23|2.25|2.25",
        "LEI-F|Fjord Fastighet|0|2026-11-16|0.5|0",
        "LEI-G|Gamma Gruva|0.61|2026-11-23|0|0.61",
    ];
    second_history.sort_unstable();
    assert_eq!(later, second_history);
    assert_eq!(
        world.holders(),
        [
            "Fond Fyra|Gamma Gruva|SE04|0.61|2026-11-23|null",
            "Fond Två|Alfa Stål AB|SE01|0.6|2026-11-19|null",
            "Fond Två|Cirkus AB|SE03|1.25|2026-11-19|null",
            "Kapital Ett|Alfa Stål AB|SE01|1.15|2026-11-23|null",
            "Kapital Ett|Beta Bio & Co|SE02|0.8|2026-11-20|null",
        ],
        "a comment that went is gone"
    );
    let mut later = world.holders_history()[5..].to_vec();
    later.sort();
    let expected = [
        "Fond Fyra|Gamma Gruva|SE04|0.61|2026-11-23|null|0|0.61",
        "Fond Tre|Cirkus AB|SE03|0|2026-11-18|null|1|0",
        "Kapital Ett|Alfa Stål AB|SE01|1.15|2026-11-23|null|0.9|1.15",
    ];
    assert_eq!(later, expected);

    // Lists that came truncated delete nothing, and are asked for again though their time is known.
    let before = world.all();
    server.on(&at(PAGE), [page("2026-11-24 15:30")]);
    server.on(&at(AGGREGATE), [aggregate(&SECOND[..2])]);
    server.on(&at(POSITIONS), [positions(&SECOND_POSITIONS[..1])]);
    let finished = world.run(&BOTH, 1);
    for summary in finished.json().as_array().unwrap() {
        assert_eq!(summary["outcome"], "failed", "{summary}");
        assert!(summary["error"].as_str().unwrap().contains("max_removed"), "{summary}");
    }
    assert_eq!(world.all(), before);
    server.on(&at(AGGREGATE), [aggregate(&SECOND[1..])]);
    server.on(&at(POSITIONS), [positions(&SECOND_POSITIONS)]);
    world.run(&BOTH, 0);
    assert_eq!(world.issuers(), before[0][1..]);
    assert_eq!(world.issuers_history().last().unwrap(), "LEI-A|Alfa Stål AB|0|2026-11-23|1.75|0");
    assert_eq!([world.holders(), world.holders_history()], before[2..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_source_is_no_success() {
    let world = World::new().await;
    let server = &world.server;
    server.on(&at(PAGE), [page("2026-11-20 15:30")]);
    server.on(&at(AGGREGATE), [aggregate(&FIRST)]);
    world.run(&BOTH[..1], 0);
    let before = world.issuers();
    let cases = [
        (Answer::html("<p>Sidan har flyttat</p>"), aggregate(&FIRST), "updated: "),
        (Answer::status(404), aggregate(&FIRST), "404"),
        (page("2026-11-21 15:30"), Answer::status(404), "404"),
        (page("2026-11-21 15:30"), Answer::html("<h1>Underhåll pågår</h1>"), "no spreadsheet"),
        (page("2026-11-21 15:30"), aggregate(&[FIRST[0], FIRST[1], FIRST[0]]), "came twice"),
        (page("2026-11-21 15:30"), aggregate(&[("Utan LEI", "", 0.5, "2026-11-21")]), "lei"),
    ];
    for (page, list, expected) in cases {
        server.on(&at(PAGE), [page]);
        server.on(&at(AGGREGATE), [list]);
        let finished = world.run(&BOTH[..1], 1);
        let error = finished.json()[0]["error"].as_str().unwrap().to_owned();
        assert!(error.contains(expected), "{expected}: {error}");
        assert_eq!(world.issuers(), before, "{expected}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_the_original_go_on() {
    let world = World::new().await;
    std::fs::create_dir(world.program.folder().join("db")).unwrap();
    let old = rusqlite::Connection::open(world.program.folder().join(DB)).unwrap();
    old.execute_batch(
        "CREATE TABLE short_positions (lei TEXT PRIMARY KEY, company_name TEXT NOT NULL,
           position_percent REAL NOT NULL, latest_position_date TEXT, timestamp TEXT NOT NULL);
         CREATE TABLE short_positions_history (lei TEXT NOT NULL, company_name TEXT NOT NULL,
           position_percent REAL NOT NULL, latest_position_date TEXT, event_timestamp TEXT NOT NULL,
           old_pct REAL, new_pct REAL, PRIMARY KEY (lei, event_timestamp));
         INSERT INTO short_positions VALUES
           ('LEI-A', 'Alfa Stål AB', 1.5, '2026-11-20', '2026-11-20T15:31:00.123456'),
           ('LEI-B', 'Beta Bio & Co', 0.7, '2026-11-20', '2026-11-20T15:31:00.123456'),
           ('LEI-C', 'Cirkus AB', 2.25, '2026-11-19', '2026-11-20T15:31:00.123456'),
           ('LEI-D', 'Delta Data', 0.55, '2026-11-18', '2026-11-20T15:31:00.123456'),
           ('LEI-E', 'Eko Energi', 3.0, '2026-11-17', '2026-11-20T15:31:00.123456'),
           ('LEI-X', 'Xenon', 0.52, '2026-11-10', '2026-11-20T15:31:00.123456');
         INSERT INTO short_positions_history VALUES
           ('LEI-B', 'Beta Bio & Co', 0.7, '2026-11-20', '2026-11-20T15:31:00.123456', 0.6, 0.7);",
    )
    .unwrap();
    drop(old);
    world.server.on(&at(PAGE), [page("2026-11-23 15:30")]);
    world.server.on(&at(AGGREGATE), [aggregate(&FIRST)]);
    world.run(&BOTH[..1], 0);
    assert_eq!(world.issuers().len(), 6);
    let history = world.issuers_history();
    assert_eq!(history[0], "LEI-B|Beta Bio & Co|0.7|2026-11-20|0.6|0.7");
    let mut later = history[1..].to_vec();
    later.sort();
    let expected = [
        "LEI-B|Beta Bio & Co|0.8|2026-11-20|0.7|0.8",
        "LEI-F|Fjord Fastighet|0.5|2026-11-16|0|0.5",
        "LEI-X|Xenon|0|2026-11-10|0.52|0",
    ];
    assert_eq!(later, expected);
}
