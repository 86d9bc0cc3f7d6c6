//! Bodies of all sizes and encodings, and what is sent along.

use pipeline_core::{Item, OnError, Payload};
use serde_json::json;
use test_support::http::{Answer, HttpServer};

use super::{fetch, fetch_with, kwargs};
use crate::fetch::testing::options_in;

#[tokio::test]
async fn an_item_says_what_it_is() {
    let server = HttpServer::start().await;
    server.on("/a", [Answer::redirect(302, "/b?x=1")]);
    server.on("/b", [Answer::new(203, "text/html; charset=latin1", b"\xe5".to_vec())]);
    let done = fetch(&server, "/a", json!({})).await;
    done.succeeded();
    let raw = done.raw().next().unwrap();
    assert_eq!(raw.source, server.url("/a"));
    let url = server.url("/b?x=1");
    let expected = json!({
        "url": url, "status": 203, "content_type": "text/html; charset=latin1", "not_modified": false,
    });
    assert_eq!(serde_json::Value::Object(raw.metadata.to_json_map()), expected);
}

#[tokio::test]
async fn compressed_bodies_are_decoded() {
    let server = HttpServer::start().await;
    let text = "a text that is worth compressing ".repeat(100);
    let plain = || Answer::text(text.as_str());
    server.on("/gzip", [plain().gzip()]);
    server.on("/deflate", [plain().deflate()]);
    server.on("/brotli", [plain().brotli()]);
    server.on("/chunked", [plain().gzip().chunked(7)]);
    server.on("/empty", [Answer::text("")]);
    for path in ["/gzip", "/deflate", "/brotli", "/chunked"] {
        let done = fetch(&server, path, json!({})).await;
        done.succeeded();
        assert_eq!(done.texts(), [text.as_str()], "{path}");
    }
    let requests = server.requests();
    let accepted = requests[0].header("accept-encoding").unwrap();
    assert!(["gzip", "br", "deflate"].iter().all(|encoding| accepted.contains(encoding)), "{accepted}");
    assert_eq!(fetch(&server, "/empty", json!({})).await.texts(), [""]);
    server.on("/odd", [Answer::text("x").header("content-encoding", "zstd")]);
    let done = fetch(&server, "/odd", json!({})).await;
    assert!(done.error().contains("encoded as `zstd`, which nobody asked for"), "{}", done.error());
}

#[tokio::test]
async fn a_bomb_does_not_go_off() {
    let server = HttpServer::start().await;
    server.on("/bomb", [Answer::gzip_bomb(100 << 20)]);
    server.on("/long", [Answer::text("x".repeat(2000))]);
    server.on("/endless", [Answer::text("x".repeat(2000)).chunked(10)]);
    for path in ["/bomb", "/long", "/endless"] {
        let done = fetch(&server, path, json!({"max_body": 1999})).await;
        let expected = "the answer is larger than 1999 bytes (`max_body` sets the limit)";
        assert!(done.error().contains(expected), "{}", done.error());
        assert_eq!(server.hits(path), 1, "a second time it would be no smaller");
    }
    fetch(&server, "/long", json!({"max_body": 2000})).await.succeeded();
}

#[tokio::test]
async fn a_large_body_waits_in_a_file_that_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = HttpServer::start().await;
    let large = "0123456789".repeat(300_000);
    server.on(
        "/large",
        [Answer::text(large.as_str()).truncated(2_000_000), Answer::text(large.as_str()).gzip()],
    );
    let done =
        fetch_with(kwargs(&server, "/large", json!({})), OnError::Fail, options_in(folder.path())).await;
    done.succeeded();
    let spool = folder.path().join("spool");
    let files = || std::fs::read_dir(&spool).unwrap().count();
    let Some(Item::Raw(raw)) = done.items.into_iter().next() else { panic!("no payload") };
    assert!(matches!(raw.payload, Payload::Spooled(_)));
    assert_eq!(files(), 1);
    assert_eq!(raw.payload.into_bytes(u64::MAX).unwrap(), large.as_bytes());
    assert_eq!(files(), 0);
}

#[tokio::test]
async fn what_the_file_says_is_sent() {
    let server = HttpServer::start().await;
    for path in ["/x", "/y", "/z"] {
        server.on(path, [Answer::text("ok")]);
    }
    let more = json!({
        "url": server.url("/x?a=1"), "method": "post", "headers": {"X-Page": 7, "accept": "text/csv"},
        "params": {"b": ["2", 3], "c": null, "d": "x&y"}, "json": {"q": [1, "ö"]}, "user_agent": "Robot/2",
    });
    fetch(&server, "/x", more).await.succeeded();
    fetch(&server, "/y", json!({"method": "PUT", "body": "a=b", "headers": {"content-type": "text/x"}}))
        .await
        .succeeded();
    fetch(&server, "/z", json!({"json": {"jq": "{run: $run.pipeline}"}, "method": "POST"})).await.succeeded();
    let requests = server.requests();
    assert_eq!(
        (requests[0].method.as_str(), requests[0].target.as_str()),
        ("POST", "/x?a=1&b=2&b=3&d=x%26y")
    );
    assert_eq!(requests[0].text(), r#"{"q":[1,"ö"]}"#);
    for (name, value) in [
        ("x-page", "7"),
        ("accept", "text/csv"),
        ("content-type", "application/json"),
        ("user-agent", "Robot/2"),
    ] {
        assert_eq!(requests[0].header(name), Some(value));
    }
    assert_eq!((requests[1].method.as_str(), requests[1].text().as_str()), ("PUT", "a=b"));
    assert_eq!(requests[1].header("content-type"), Some("text/x"));
    assert!(requests[1].header("user-agent").unwrap().starts_with("scraper-scheduler/"));
    assert_eq!(requests[2].text(), r#"{"run":"test"}"#);
}

#[tokio::test]
async fn who_asks_is_told_to_the_server_and_to_nobody_else() {
    let server = HttpServer::start().await;
    let cases = [
        (
            json!({"auth": {"basic": {"username": "me", "password": "p@ss-word"}}}),
            Some("Basic bWU6cEBzcy13b3Jk"),
        ),
        (json!({"auth": {"bearer": "tok-en-1"}}), Some("Bearer tok-en-1")),
        (json!({"auth": {"bearer": ""}}), None),
        (json!({"headers": {"Authorization": "Token abc-def"}}), Some("Token abc-def")),
        (
            json!({"url": server.url("/404").replace("http://", "http://me:p%40ss-word@")}),
            Some("Basic bWU6cEBzcy13b3Jk"),
        ),
    ];
    for (more, expected) in cases {
        server.forget();
        let done = fetch(&server, "/404", more).await;
        assert_eq!(server.requests()[0].header("authorization"), expected);
        for secret in ["p@ss-word", "p%40ss-word", "tok-en-1", "abc-def"] {
            assert!(!done.error().contains(secret), "{}", done.error());
        }
    }
}

#[tokio::test]
async fn a_proxy_is_asked_for_whole_urls() {
    let proxy = HttpServer::start().await;
    proxy.on("/page", [Answer::text("by proxy")]);
    let server = HttpServer::start().await;
    let address = format!("http://me:secret-pw@{}", proxy.address());
    let more = json!({"url": "http://shop.invalid/page", "proxy": address});
    let done = fetch(&server, "", more).await;
    done.succeeded();
    assert_eq!(done.texts(), ["by proxy"]);
    let request = &proxy.requests()[0];
    assert_eq!(request.target, "http://shop.invalid/page");
    assert_eq!(request.header("proxy-authorization"), Some("Basic bWU6c2VjcmV0LXB3"));
    server.on("/direct", [Answer::text("direct")]);
    fetch(&server, "/direct", json!({"proxy": ""})).await.succeeded();
}
