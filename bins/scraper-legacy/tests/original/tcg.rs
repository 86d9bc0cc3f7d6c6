//! Card sets, and the prices of their products.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use test_support::http::Answer;

use crate::{World, at};

const DB: &str = "db/tcg.db";
/// The products of the bundled sets.
const PRODUCTS: [u64; 8] = [654_001, 765_110, 877_301, 877_302, 901_001, 901_002, 901_011, 901_012];

fn path(product: u64) -> String {
    at(&format!("/price/history/{product}/detailed"))
}

/// A year of a product: the week of day 1 and the one before it, and from day 2 on a further one.
fn answer(product: u64, day: u64) -> Value {
    let bucket = |start: &str, price: Value, sold: &str| {
        json!({
            "marketPrice": price, "quantitySold": sold, "lowSalePrice": "0", "lowSalePriceWithShipping": "0",
            "highSalePrice": "7.5", "transactionCount": sold, "bucketStartDate": start,
        })
    };
    let mut buckets = vec![
        bucket("2026-11-16", json!(format!("{}.25", product % 100 + day)), "5"),
        bucket("2026-11-09", Value::Null, "0"),
    ];
    if day > 1 {
        buckets.insert(0, bucket("2026-11-23", json!("9"), "1"));
    }
    json!({
        "count": 1,
        "result": [{
            "skuId": format!("5{product}"), "variant": "Normal", "language": "English", "condition": "Unopened",
            "averageDailyQuantitySold": "0", "buckets": buckets,
        }],
    })
}

impl World {
    fn prices(&self) -> Vec<String> {
        self.rows(
            DB,
            "SELECT product_id, sku_id, variant, language, condition, market_price, quantity_sold, low_sale_price,
               high_sale_price, bucket_start_date FROM price_history ORDER BY product_id, bucket_start_date",
        )
    }

    fn times(&self, column: &str, before: &str) -> Vec<String> {
        let query = format!(
            "SELECT sku_id, bucket_start_date, {column} FROM price_history
             WHERE bucket_start_date < '{before}' ORDER BY 1, 2"
        );
        self.rows(DB, &query)
    }
}

/// The rows that the answers of a day make.
fn expected(day: u64) -> Vec<String> {
    let rows = |product: u64| {
        let fixed = format!("{product}|5{product}|Normal|English|Unopened");
        let mut rows = vec![
            format!("{fixed}|null|0|0|7.5|2026-11-09"),
            format!("{fixed}|{}.25|5|0|7.5|2026-11-16", product % 100 + day),
        ];
        if day > 1 {
            rows.push(format!("{fixed}|9|1|0|7.5|2026-11-23"));
        }
        rows
    };
    PRODUCTS.into_iter().flat_map(rows).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sets_and_prices_over_several_days() {
    let world = World::new().await;
    let server = &world.server;
    let day = Arc::new(AtomicU64::new(1));
    let today = day.clone();
    server.handle(move |request| {
        let product = request.path().strip_prefix("/mirror/of/price/history/")?.strip_suffix("/detailed")?;
        let product = product.parse().ok()?;
        (request.query() == "range=annual")
            .then(|| Answer::json(&answer(product, today.load(Ordering::Relaxed))))
    });
    // The prices wait for the sets, also where all begins with nothing.
    let both = ["tcgplayer_price_history", "tcgplayer_pokemon_sets"];
    world.run(&both, 0);
    let sets = "SELECT set_name, release_date, booster_product_id, booster_box_product_id, group_id
                FROM pokemon_sets ORDER BY set_name";
    assert_eq!(
        world.rows(DB, sets),
        [
            "SM: Glass Meadow|August 3, 2018|null|765110|21544",
            "SV: Amber Tides|November 14, 2025|901001|901002|30101",
            "SV: Hollow Lanterns|January 30, 2026|901011|901012|30102",
            "SWSH: Quiet Thunder|March 27, 2021|877301|877302|28890",
            "XY: Winter Kites|null|654001|null|19870",
        ]
    );
    assert_eq!(world.prices(), expected(1));
    let request = &server.requests_of(&path(901_001))[0];
    assert_eq!(request.header("origin"), Some("https://www.tcgplayer.com"));
    let (created, updated) =
        (world.times("created_at", "2026-11-20"), world.times("updated_at", "2026-11-20"));

    // Another price, a further week, a server that stumbles; a set loses a number.
    day.store(2, Ordering::Relaxed);
    server.on(
        &path(877_301),
        [
            Answer::status(503).header("retry-after", "0"),
            Answer::json(&answer(877_301, 2)).truncated(40),
            Answer::json(&answer(877_301, 2)),
        ],
    );
    let csv = world.program.read("examples/original/pokemon_sets.csv");
    world.program.write("examples/original/pokemon_sets.csv", csv.replace("28890", "") + ";;;;;;\r\n");
    world.run(&both, 0);
    assert_eq!(world.prices(), expected(2));
    assert_eq!(world.rows(DB, "SELECT group_id FROM pokemon_sets WHERE set_name LIKE 'SWSH%'"), ["null"]);
    assert_eq!(world.rows(DB, "SELECT count(*) FROM pokemon_sets"), ["5"]);
    assert_eq!(world.times("created_at", "2026-11-20"), created, "when a row was first seen stays");
    let later = world.times("updated_at", "2026-11-20");
    assert!(updated.iter().zip(&later).all(|(before, after)| before < after), "{updated:?} {later:?}");

    // A product without an answer: not a success, and nothing of this run is kept.
    day.store(3, Ordering::Relaxed);
    for wrong in
        [Answer::status(404), Answer::html("<p>Just a moment…"), Answer::json(&json!({"errors": []}))]
    {
        server.on(&path(877_301), [wrong]);
        let finished = world.run(&both, 1);
        let summaries = finished.json();
        let prices = summaries.as_array().unwrap().iter().find(|one| one["pipeline"] == both[0]).unwrap();
        assert_eq!(prices["outcome"], "failed");
        let error = prices["error"].as_str().unwrap();
        assert!(error.contains("877301"), "{error}");
        assert_eq!(world.prices(), expected(2));
    }
    server.on(&path(877_301), [Answer::json(&answer(877_301, 3))]);
    world.run(&both, 0);
    assert_eq!(world.prices(), expected(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_the_original_go_on() {
    let world = World::new().await;
    std::fs::create_dir(world.program.folder().join("db")).unwrap();
    let old = rusqlite::Connection::open(world.program.folder().join(DB)).unwrap();
    old.execute_batch(
        "CREATE TABLE pokemon_sets (id INTEGER PRIMARY KEY AUTOINCREMENT, set_name TEXT NOT NULL UNIQUE,
           release_date TEXT, booster_product_id INTEGER, booster_box_product_id INTEGER, group_id INTEGER,
           created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
         CREATE TABLE price_history (id INTEGER PRIMARY KEY AUTOINCREMENT, product_id INTEGER NOT NULL,
           sku_id TEXT NOT NULL, variant TEXT, language TEXT, condition TEXT, market_price DECIMAL(10,2),
           quantity_sold INTEGER, low_sale_price DECIMAL(10,2), high_sale_price DECIMAL(10,2),
           bucket_start_date DATE NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
           updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, UNIQUE(sku_id, bucket_start_date));
         INSERT INTO pokemon_sets (set_name, group_id, created_at) VALUES ('SV: Amber Tides', 1, '2025-06-02 17:57:40');
         INSERT INTO price_history (product_id, sku_id, market_price, bucket_start_date, created_at)
           VALUES (901001, '5901001', 1.5, '2026-11-16', '2025-06-02 17:58:05');",
    )
    .unwrap();
    drop(old);
    for product in PRODUCTS {
        world.server.on(&path(product), [Answer::json(&answer(product, 1))]);
    }
    world.run(&["tcgplayer_pokemon_sets", "tcgplayer_price_history"], 0);
    let query = "SELECT id, group_id, created_at FROM pokemon_sets WHERE set_name = 'SV: Amber Tides'";
    assert_eq!(world.rows(DB, query), ["1|30101|2025-06-02 17:57:40"]);
    assert_eq!(world.prices(), expected(1));
    let query = "SELECT id, created_at FROM price_history WHERE sku_id = '5901001' AND bucket_start_date = '2026-11-16'";
    assert_eq!(world.rows(DB, query), ["1|2025-06-02 17:58:05"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prices_without_sets_are_an_error() {
    let world = World::new().await;
    let finished = world.run(&["tcgplayer_price_history"], 1);
    assert!(finished.json()[0]["error"].as_str().unwrap().contains("db/tcg.db"), "{}", finished.stdout);
}
