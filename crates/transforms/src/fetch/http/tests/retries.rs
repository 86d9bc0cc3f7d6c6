//! What is asked again, how often, and after how long.

use std::time::Duration;

use pipeline_core::Stopwatch;
use serde_json::json;
use test_support::http::{Answer, HttpServer};

use super::fetch;

#[tokio::test]
async fn what_may_pass_is_asked_again_and_nothing_else() {
    let server = HttpServer::start().await;
    // A status, and how often it is asked for with two repetitions.
    let cases = [
        (206, 1),
        (400, 1),
        (401, 1),
        (403, 1),
        (404, 1),
        (410, 1),
        (418, 1),
        (501, 1),
        (505, 1),
        (408, 3),
        (425, 3),
        (429, 3),
        (500, 3),
        (502, 3),
        (503, 3),
        (504, 3),
    ];
    for (status, hits) in cases {
        let path = format!("/{status}");
        server.on(&path, [Answer::status(status)]);
        let done = fetch(&server, &path, json!({})).await;
        assert!(done.error().contains(&format!("{}: HTTP {status} ", server.url(&path))), "{}", done.error());
        assert!(done.error().contains("stage 1 (http.HttpFetcher)"));
        assert_eq!(done.error().contains("(asked 3 times)"), hits == 3, "{}", done.error());
        assert_eq!(server.hits(&path), hits, "{status}");
    }
}

#[tokio::test]
async fn a_server_may_recover() {
    let server = HttpServer::start().await;
    let bad = [
        Answer::status(503),
        Answer::closed(),
        Answer::text("half a body").truncated(4),
        Answer::text("half a body").chunked_abort(4),
        Answer::text("short").with_length(100),
        Answer::text("compressed and cut off").gzip().truncated(20),
        Answer::verbatim("this is not HTTP at all\r\n\r\n"),
    ];
    for (number, bad) in bad.into_iter().enumerate() {
        let path = format!("/{number}");
        server.on(&path, [bad, Answer::text("well")]);
        let done = fetch(&server, &path, json!({})).await;
        done.succeeded();
        assert_eq!(done.texts(), ["well"], "{number}");
        assert_eq!(server.hits(&path), 2, "{number}");
    }
}

#[tokio::test]
async fn a_server_that_never_recovers_is_given_up() {
    let server = HttpServer::start().await;
    let cases = [
        (Answer::text("half a body").truncated(4), "the answer was cut off or damaged"),
        (Answer::text("half a body").chunked_abort(4), "the answer was cut off or damaged"),
        (Answer::text("compressed").gzip().truncated(12), "the answer was cut off or damaged"),
        (Answer::closed(), "the request failed"),
        (Answer::verbatim("nonsense\r\n\r\n"), "the request failed"),
        (Answer::silent(), "no whole answer within 150ms"),
        (Answer::text("x").stalled(), "no whole answer within 150ms"),
        (Answer::text("slow").drip(Duration::from_millis(20)), "no whole answer within 150ms"),
    ];
    for (number, (answer, expected)) in cases.into_iter().enumerate() {
        let path = format!("/{number}");
        server.on(&path, [answer]);
        let done = fetch(&server, &path, json!({"timeout": "150ms", "max_retries": 1})).await;
        assert!(done.error().contains(expected), "{number}: {}", done.error());
        assert!(done.error().contains(&server.url(&path)) && done.error().contains("asked 2 times"));
        assert_eq!(server.hits(&path), 2, "{number}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_an_error_that_says_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let server = HttpServer::start().await;
    let done = fetch(&server, "", json!({"url": format!("http://{address}/")})).await;
    let expected = format!("http://{address}/: the server cannot be reached: Connection refused");
    assert!(done.error().contains(&expected), "{}", done.error());
    let done = fetch(&server, "", json!({"url": "http://no-such-host.invalid/", "max_retries": 0})).await;
    assert!(done.error().contains("the server cannot be reached"), "{}", done.error());
}

#[tokio::test]
async fn a_server_without_tls_is_an_error_that_says_so() {
    let server = HttpServer::start().await;
    let url = server.url("/").replace("http:", "https:");
    let done = fetch(&server, "", json!({"url": url, "max_retries": 0})).await;
    assert!(done.error().contains("the server cannot be reached"), "{}", done.error());
}

#[tokio::test]
async fn retry_after_is_obeyed_in_both_forms() {
    let server = HttpServer::start().await;
    server.on("/seconds", [Answer::status(503).header("retry-after", "1"), Answer::text("well")]);
    let dated = Answer::status(429)
        .header("date", "Sun, 06 Nov 1994 08:49:36 GMT")
        .header("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
    server.on("/date", [dated, Answer::text("well")]);
    for path in ["/seconds", "/date"] {
        let done = fetch(&server, path, json!({"max_delay": "10s"})).await;
        done.succeeded();
        let requests = server.requests_of(path);
        let waited = requests[1].at - requests[0].at;
        assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(5), "{path}: {waited:?}");
    }
}

#[tokio::test]
async fn a_hostile_retry_after_is_capped() {
    let server = HttpServer::start().await;
    for (path, value) in [("/a", "86400"), ("/b", "Tue, 31 Dec 2999 23:59:59 GMT")] {
        server.on(path, [Answer::status(503).header("retry-after", value), Answer::text("well")]);
        let watch = Stopwatch::start();
        fetch(&server, path, json!({"max_delay": "20ms"})).await.succeeded();
        assert!(watch.elapsed() >= Duration::from_millis(200), "{:?}", watch.elapsed());
        assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
    }
}

#[tokio::test]
async fn an_api_says_itself_what_is_wrong() {
    let server = HttpServer::start().await;
    let long = "y".repeat(1000);
    server.on("/json", [Answer::new(400, "application/json", r#"{"error": "no such   field"}"#)]);
    server.on("/long", [Answer::new(422, "text/plain", long.as_str())]);
    server.on("/page", [Answer::new(404, "text/html", "<h1>Lost?</h1>")]);
    let done = fetch(&server, "/json", json!({})).await;
    assert!(
        done.error().ends_with(r#"HTTP 400 Bad Request: {"error": "no such field"}"#),
        "{}",
        done.error()
    );
    assert!(fetch(&server, "/long", json!({})).await.error().len() < 400);
    assert!(fetch(&server, "/page", json!({})).await.error().ends_with("HTTP 404 Not Found"));
}
