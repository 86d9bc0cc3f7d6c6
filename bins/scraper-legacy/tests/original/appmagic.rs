//! Companies, their publishers, and all their apps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use test_support::http::{Answer, Request};

use crate::{World, at};

const DB: &str = "db/mobile_analytics.db";
const ZYNGA: &str = "6690081412016968981";
const CRAZY: &str = "6443412597262225303";
const BYTRO: &str = "1287077622";
const NEW: &str = "7000000000000000001";
const ONE: [&str; 1] = ["appmagic_companies"];

/// What the site knows.
#[derive(Default)]
struct Site {
    /// By account, the accounts of its group.
    groups: BTreeMap<&'static str, Vec<Value>>,
    /// By account, the publishers behind it.
    publishers: BTreeMap<&'static str, Vec<Value>>,
    /// By publisher, its apps.
    apps: BTreeMap<u64, Vec<Value>>,
    /// The answer to a certain page of apps.
    broken: Option<(&'static str, Answer)>,
}

impl Site {
    fn answer(&self, request: &Request) -> Option<Answer> {
        match request.path().strip_prefix("/mirror/of/api/v2/")? {
            "publishers/groups" => {
                let groups =
                    self.groups.get(request.param("store_publisher_id")?).cloned().unwrap_or_default();
                Some(Answer::json(&json!({"publishers": groups})))
            }
            "united-publishers/search-by-ids" if request.method == "POST" => {
                let body: Value = serde_json::from_str(&request.text()).ok()?;
                let found = body["ids"].as_array()?.iter().flat_map(|id| {
                    self.publishers
                        .get(id["store_publisher_id"].as_str().unwrap())
                        .cloned()
                        .unwrap_or_default()
                });
                Some(Answer::json(&json!({"data": found.collect::<Vec<_>>()})))
            }
            "search/publisher-applications" if request.param("sort") == Some("downloads") => {
                if let Some((query, answer)) = &self.broken
                    && request.query().contains(query)
                {
                    return Some(answer.clone());
                }
                let apps = self.apps.get(&request.param("united_publisher_id")?.parse().ok()?)?;
                let from: usize = request.param("from")?.parse().ok()?;
                Some(Answer::json(&apps.iter().skip(from).take(100).cloned().collect::<Value>()))
            }
            _ => None,
        }
    }
}

fn publisher(id: u64, name: &str, accounts: &[(u64, &str)]) -> Value {
    let accounts: Vec<Value> =
        accounts.iter().map(|(store, id)| json!({"storeId": store, "publisherId": id})).collect();
    json!({
        "id": id, "name": name, "headquarter": "US", "linkedin_headcount": 193,
        "min_release_date": "2013-03-12T00:00:00Z", "first_app_ad": "2021-11-01", "accounts": accounts,
    })
}

fn app(id: u64, name: &str) -> Value {
    json!({
        "id": id, "name": name, "icon": format!("https://icons.example/{id}"), "releaseDate": "2016-08-17T00:00:00Z",
        "contains_ads": id.is_multiple_of(2), "has_in_app_purchases": true,
        "metrics_30d": [{"country": "US", "downloads": 1, "revenue": 1.5}, {"country": "WW", "downloads": id, "revenue": 2.5}],
        "metrics_lifetime": [{"country": "US", "downloads": 1}],
        "applications": [{
            "store": [1, 2], "store_application_id": format!("com.example.a{id}"), "name": format!("{name}!"),
            "url": format!("https://store.example/{id}"),
        }],
    })
}

/// What the parser must make of [`app`].
fn app_row(id: u64, publisher: u64, name: &str) -> String {
    format!(
        "{id}|{publisher}|{name}|https://icons.example/{id}|2016-08-17T00:00:00Z|{}|1",
        u8::from(id.is_multiple_of(2))
    )
}

fn apps_of(publisher: u64, count: u64) -> Vec<Value> {
    (0..count).map(|number| app(publisher * 1000 + number, &format!("App {number}"))).collect()
}

fn app_rows(publisher: u64, count: u64) -> impl Iterator<Item = String> {
    (0..count).map(move |number| app_row(publisher * 1000 + number, publisher, &format!("App {number}")))
}

/// A stable number for a name, computed here in another way.
fn group_id(name: &str, ticker: &str) -> u64 {
    format!("{name}_{ticker}")
        .to_lowercase()
        .chars()
        .fold(0, |hash, c| (hash * 31 + u64::from(c)) % (1 << 31))
}

impl World {
    fn groups(&self) -> Vec<String> {
        self.rows(DB, "SELECT group_id, group_name, discovered_in_ticker FROM PublisherGroups ORDER BY 3, 1")
    }

    fn publishers(&self) -> Vec<String> {
        self.rows(
            DB,
            "SELECT united_publisher_id, name, headquarter_country_code, linkedin_headcount, min_release_date,
               first_app_ad_date, group_id FROM UnitedPublishers ORDER BY 1",
        )
    }

    fn accounts(&self) -> Vec<String> {
        self.rows(
            DB,
            "SELECT store_id, store_publisher_id, united_publisher_id, group_id, html_url
             FROM StoreSpecificPublisherAccounts ORDER BY 1, 2",
        )
    }

    fn apps(&self) -> Vec<String> {
        self.rows(
            DB,
            "SELECT united_application_id, united_publisher_id, name, icon_url, release_date, contains_ads,
               has_in_app_purchases FROM UnitedApplications ORDER BY 1",
        )
    }

    fn stores(&self) -> Vec<String> {
        self.rows(
            DB,
            "SELECT store_id, store_app_id_text, united_application_id, name_on_store, store_url
             FROM StoreSpecificApplications ORDER BY 3",
        )
    }

    fn metrics(&self) -> Vec<String> {
        self.rows(
            DB,
            "SELECT united_application_id, snapshot_30d_downloads, snapshot_30d_revenue, snapshot_lifetime_downloads,
               snapshot_lifetime_revenue FROM ApplicationSnapshotMetrics ORDER BY scrape_date, 1",
        )
    }

    fn all_of_appmagic(&self) -> Vec<Vec<String>> {
        vec![self.groups(), self.publishers(), self.accounts(), self.apps(), self.stores(), self.metrics()]
    }

    fn first_seen(&self, table: &str, key: &str) -> Vec<String> {
        self.rows(DB, &format!("SELECT {key}, first_seen_at FROM {table} ORDER BY 1"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn companies_over_several_days() {
    let world = World::new().await;
    let server = &world.server;
    let site = Arc::new(Mutex::new(Site {
        groups: [
            (
                ZYNGA,
                vec![
                    json!({"store": 1, "store_publisher_id": ZYNGA}),
                    json!({"store": 2, "store_publisher_id": "295913422"}),
                ],
            ),
            (
                CRAZY,
                vec![json!({"id": 4711, "name": "Crazy Group", "store": 1, "store_publisher_id": CRAZY})],
            ),
        ]
        .into(),
        publishers: [
            (ZYNGA, vec![publisher(901, "Zynga", &[(1, ZYNGA), (2, "295913422")])]),
            ("295913422", vec![publisher(902, "NaturalMotion", &[(1, "77")])]),
            (CRAZY, vec![publisher(903, "CrazyLabs", &[(1, CRAZY)])]),
            // The same publisher once more: its apps are fetched once.
            (BYTRO, vec![publisher(903, "CrazyLabs", &[(1, CRAZY)])]),
        ]
        .into(),
        apps: [(901, apps_of(901, 230)), (902, apps_of(902, 100)), (903, apps_of(903, 3))].into(),
        broken: None,
    }));
    let shared = site.clone();
    server.handle(move |request| shared.lock().unwrap().answer(request));
    world.run(&ONE, 0);

    let pages: Vec<String> = server
        .requests_of(&at("/api/v2/search/publisher-applications"))
        .iter()
        .map(|request| {
            format!("{}+{}", request.param("united_publisher_id").unwrap(), request.param("from").unwrap())
        })
        .collect();
    let mut sorted = pages.clone();
    sorted.sort();
    assert_eq!(sorted, ["901+0", "901+100", "901+200", "902+0", "902+100", "903+0"]);
    let bodies: Vec<Value> = server
        .requests_of(&at("/api/v2/united-publishers/search-by-ids"))
        .iter()
        .map(|request| serde_json::from_str(&request.text()).unwrap())
        .collect();
    assert_eq!(bodies.len(), 8);
    let both = json!({"ids": [{"store": 1, "store_publisher_id": ZYNGA}, {"store": 2, "store_publisher_id": "295913422"}]});
    assert!(bodies.contains(&both), "{bodies:?}");
    assert!(bodies.contains(&json!({"ids": [{"store": 2, "store_publisher_id": BYTRO}]})), "{bodies:?}");

    let group = |name: &str, ticker: &str| format!("{}|{name}|{ticker}", group_id(name, ticker));
    let groups = [
        group("Electronic Arts", "EA"),
        group("Big Blue Bubble", "EG7"),
        "4711|Crazy Group|EMBRAC".to_owned(),
        group("G5 Entertainment", "G5"),
        group("Mag Interactive", "MAGI"),
        group("Plarium Global", "MTG"),
        group("Bytro Labs", "SF"),
        group("Zynga", "TTWO"),
    ];
    assert_eq!(world.groups(), groups);
    let (zynga, bytro) = (group_id("Zynga", "TTWO"), group_id("Bytro Labs", "SF"));
    let fixed = "US|193|2013-03-12T00:00:00Z|2021-11-01";
    assert_eq!(
        world.publishers(),
        [
            format!("901|Zynga|{fixed}|{zynga}"),
            format!("902|NaturalMotion|{fixed}|{zynga}"),
            format!("903|CrazyLabs|{fixed}|{bytro}"),
        ]
    );
    assert_eq!(
        world.accounts(),
        [
            format!("1|{CRAZY}|903|{bytro}|null"),
            format!("1|{ZYNGA}|901|{zynga}|null"),
            format!("1|77|902|{zynga}|null"),
            format!("2|295913422|901|{zynga}|null"),
        ]
    );
    let rows: Vec<String> = app_rows(901, 230).chain(app_rows(902, 100)).chain(app_rows(903, 3)).collect();
    assert_eq!(world.apps(), rows);
    let ids = || (901_000..901_230).chain(902_000..902_100).chain(903_000..903_003);
    let stores: Vec<String> = ids()
        .map(|id: u64| format!("1|com.example.a{id}|{id}|App {}!|https://store.example/{id}", id % 1000))
        .collect();
    assert_eq!(world.stores(), stores);
    let metrics: Vec<String> = ids().map(|id| format!("{id}|{id}|2.5|null|null")).collect();
    assert_eq!(world.metrics(), metrics);

    // The next day: nothing moves without cause.
    let before = world.all_of_appmagic();
    let seen = |world: &World| {
        [
            world.first_seen("PublisherGroups", "group_id"),
            world.first_seen("UnitedPublishers", "united_publisher_id"),
            world.first_seen("UnitedApplications", "united_application_id"),
        ]
    };
    let first_seen = seen(&world);
    world.run(&ONE, 0);
    assert_eq!(world.all_of_appmagic(), before, "the same keys in every run");
    assert_eq!(seen(&world), first_seen);

    // A page in the middle fails: not a shorter list, but a failed run that keeps nothing.
    {
        let mut site = site.lock().unwrap();
        site.apps.get_mut(&901).unwrap()[0]["name"] = "Renamed".into();
        site.broken = Some(("united_publisher_id=901&from=100", Answer::status(404)));
    }
    for answer in
        [Answer::status(404), Answer::json(&json!({"error": "try later"})), Answer::html("<p>blocked")]
    {
        site.lock().unwrap().broken = Some(("united_publisher_id=901&from=100", answer));
        let finished = world.run(&ONE, 1);
        let error = finished.json()[0]["error"].as_str().unwrap().to_owned();
        assert!(error.contains("from=100"), "{error}");
        assert_eq!(world.all_of_appmagic(), before);
    }

    // It works again; a company is new.
    {
        let mut site = site.lock().unwrap();
        site.broken = None;
        site.publishers.insert(NEW, vec![publisher(904, "Neu", &[])]);
        site.apps.insert(904, apps_of(904, 1));
    }
    let file = "examples/original/pipelines.yml";
    let company = format!(
        "            - {{name: Neu, ticker: NEU, store: 1, store_publisher_id: \"{NEW}\"}}\n            - {{name: Zynga"
    );
    let text = world.program.read(file).replacen("            - {name: Zynga", &company, 1);
    world.program.write(file, text);
    world.run(&ONE, 0);
    let mut rows: Vec<String> = rows.into_iter().chain(app_rows(904, 1)).collect();
    rows[0] = app_row(901_000, 901, "Renamed");
    assert_eq!(world.apps(), rows);
    assert_eq!(world.groups().len(), 9);
    assert!(world.groups().contains(&group("Neu", "NEU")));
    let later = seen(&world);
    assert_eq!(later[2][..333], first_seen[2], "when an app was first seen stays");
    assert!(first_seen[0].iter().all(|row| later[0].contains(row)));
}
