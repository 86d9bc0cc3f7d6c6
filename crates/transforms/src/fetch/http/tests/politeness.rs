//! Rates, concurrency, robots, private addresses, cookies.

use std::time::Duration;

use pipeline_core::OnError;
use serde_json::json;
use test_support::http::{Answer, HttpServer};

use super::{fetch, fetch_with, kwargs};
use crate::fetch::testing::options;

fn urls(server: &HttpServer, count: usize) -> Vec<String> {
    (0..count).map(|number| server.url(&format!("/{number}"))).collect()
}

#[tokio::test]
async fn no_more_are_in_flight_than_allowed_and_all_come_in_order() {
    let server = HttpServer::start().await;
    server.handle(|request| {
        let number: u64 = request.path()[1..].parse().ok()?;
        // The earlier, the slower.
        Some(Answer::text(number.to_string()).drip(Duration::from_micros(200 * (20 - number))))
    });
    for concurrency in [1, 3] {
        let server_urls = urls(&server, 20);
        let more = json!({"url": null, "urls": server_urls, "concurrency": concurrency});
        let done = fetch(&server, "", more).await;
        done.succeeded();
        assert_eq!(done.texts(), (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(server.most_in_flight(), concurrency);
    }
}

#[tokio::test]
async fn a_rate_is_kept() {
    let server = HttpServer::start().await;
    server.handle(|_| Some(Answer::text("x")));
    let more = json!({"url": null, "urls": urls(&server, 4), "rate_limit": "10/s"});
    fetch(&server, "", more).await.succeeded();
    let requests = server.requests();
    for pair in requests.windows(2) {
        let gap = pair[1].at - pair[0].at;
        assert!(gap >= Duration::from_millis(80), "{gap:?}");
    }
}

#[tokio::test]
async fn a_busy_host_is_left_alone_by_all_requests() {
    let server = HttpServer::start().await;
    server.on("/0", [Answer::status(429).header("retry-after", "1"), Answer::text("0")]);
    server.handle(|_| Some(Answer::text("x")));
    let more = json!({"url": null, "urls": urls(&server, 6), "concurrency": 1, "max_delay": "5s"});
    fetch(&server, "", more).await.succeeded();
    let requests = server.requests();
    let gap = requests[1].at - requests[0].at;
    assert!(gap >= Duration::from_millis(990), "the next request came after {gap:?}");
}

#[tokio::test]
async fn robots_are_obeyed() {
    let server = HttpServer::start().await;
    server.on(
        "/robots.txt",
        [Answer::text("User-agent: *\nDisallow: /private\nUser-agent: Nice\nDisallow: /all")],
    );
    server.handle(|_| Some(Answer::text("x")));
    let urls: Vec<_> = ["/a", "/private/b", "/c", "/private?d"].iter().map(|path| server.url(path)).collect();
    let more = json!({"url": null, "urls": urls, "robots": null});
    let done = fetch_with(kwargs(&server, "", more.clone()), OnError::Skip, options()).await;
    done.succeeded();
    assert_eq!(done.raw().count(), 2);
    assert_eq!(done.report.stages[0].errors, 2);
    assert_eq!(
        (server.hits("/robots.txt"), server.hits("/private/b")),
        (1, 0),
        "once a run, and before the page"
    );
    let done = fetch(&server, "/private/b", json!({"robots": true})).await;
    let expected = format!("{}/robots.txt forbids it to `scraper-scheduler`", server.url(""));
    assert!(done.error().contains(&expected) && done.error().contains("`robots: false`"), "{}", done.error());
    let nice = json!({"robots": true, "user_agent": "Mozilla/5.0 (compatible; Nice/1)"});
    fetch(&server, "/private/b", nice).await.succeeded();
    fetch(&server, "/private/b", json!({})).await.succeeded();
    server.on("/to-private", [Answer::redirect(302, "/private")]);
    let done = fetch(&server, "/to-private", json!({"robots": true})).await;
    assert!(done.error().contains("forbids it"), "{}", done.error());
}

#[tokio::test]
async fn a_robots_file_that_is_missing_allows_and_one_that_fails_forbids() {
    let cases: [(Answer, bool, usize); 7] = [
        (Answer::status(404), true, 1),
        (Answer::status(403), true, 1),
        (Answer::status(429), true, 2),
        (Answer::redirect(302, "/robots.txt"), true, 1),
        (Answer::status(500), false, 2),
        (Answer::status(503), false, 2),
        (Answer::closed(), false, 2),
    ];
    for (answer, allowed, hits) in cases {
        let server = HttpServer::start().await;
        let shown = format!("{answer:?}");
        server.on("/robots.txt", [answer]);
        server.on("/x", [Answer::text("x")]);
        let done = fetch(&server, "/x", json!({"robots": true, "max_retries": 1})).await;
        assert_eq!(done.report.error.is_none(), allowed, "{shown}: {:?}", done.report.error);
        assert_eq!(server.hits("/robots.txt"), hits, "{shown}");
        assert_eq!(server.hits("/x"), usize::from(allowed));
        if !allowed {
            assert!(done.error().contains("robots.txt cannot be read, so nothing may be fetched there"));
        }
    }
}

#[tokio::test]
async fn a_huge_robots_file_is_read_in_part() {
    let server = HttpServer::start().await;
    let huge = format!("User-agent: *\nDisallow: /x\n{}", "# and so on\n".repeat(400_000));
    server.on("/robots.txt", [Answer::text(huge).gzip()]);
    server.on("/y", [Answer::text("y")]);
    fetch(&server, "/y", json!({"robots": true, "max_body": 10_000})).await.succeeded();
    assert!(fetch(&server, "/x", json!({"robots": true})).await.error().contains("forbids it"));
}

#[tokio::test]
async fn private_addresses_are_refused_where_asked() {
    let server = HttpServer::start().await;
    server.on("/x", [Answer::text("x")]);
    let port = server.address().port();
    for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "169.254.169.254", "2130706433"] {
        let more = json!({"url": format!("http://{host}:{port}/x"), "allow_private": false, "robots": true});
        let done = fetch(&server, "", more).await;
        assert!(done.error().contains("is a private address"), "{host}: {}", done.error());
        assert!(!done.error().contains("asked"), "{host}: it stays private");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn cookies_last_as_long_as_the_run() {
    let server = HttpServer::start().await;
    server.on("/0", [Answer::text("hello").header("set-cookie", "id=7; Path=/").header("set-cookie", "b=x")]);
    server.on("/1", [Answer::text("again")]);
    let more = json!({"url": null, "urls": urls(&server, 2), "concurrency": 1});
    fetch(&server, "", more.clone()).await.succeeded();
    let mut cookies: Vec<_> =
        server.requests_of("/1")[0].header("cookie").unwrap().split("; ").map(str::to_owned).collect();
    cookies.sort();
    assert_eq!(cookies, ["b=x", "id=7"]);
    server.forget();
    fetch(&server, "/1", json!({})).await.succeeded();
    assert_eq!(server.requests()[0].header("cookie"), None);
    server.forget();
    let mut without = more;
    without["cookies"] = false.into();
    fetch(&server, "", without).await.succeeded();
    assert_eq!(server.requests_of("/1")[0].header("cookie"), None);
}
