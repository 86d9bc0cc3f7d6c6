//! What is kept between runs, and asked for again only where it has changed.

use std::path::Path;
use std::sync::Arc;

use pipeline_core::{Chain, OnError, RunContext, RunOptions, RunOutcome};
use serde_json::{Value, json};
use test_support::http::{Answer, HttpServer};

use super::{CLASS, fetch_with, kwargs};
use crate::SqliteStateStore;
use crate::fetch::testing::{Done, build, options_in, parsed, run_chain, run_on};

fn options(folder: &Path) -> RunOptions {
    RunOptions { state: Arc::new(SqliteStateStore::new(folder)), ..options_in(folder) }
}

async fn fetch(folder: &Path, server: &HttpServer, path: &str, more: Value) -> Done {
    fetch_with(kwargs(server, path, more), OnError::Fail, options(folder)).await
}

fn unmodified(done: &Done) -> Vec<bool> {
    done.raw().map(|raw| raw.metadata.get("not_modified").unwrap().as_bool().unwrap()).collect()
}

#[tokio::test]
async fn an_unchanged_page_goes_on_as_it_was_kept() {
    let server = HttpServer::start().await;
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    server.on("/etag", [Answer::html("first").etag("\"1\"")]);
    server.on("/date", [Answer::text("dated").last_modified(date).gzip()]);
    server.on("/none", [Answer::text("always")]);
    server.on("/large", [Answer::text("0123456789".repeat(250_000)).etag("W/\"l\"")]);
    server.on("/from", [Answer::redirect(302, "/etag")]);
    for (path, is_kept) in
        [("/etag", true), ("/date", true), ("/none", false), ("/large", true), ("/from", true)]
    {
        let folder = tempfile::tempdir().unwrap();
        let first = fetch(folder.path(), &server, path, json!({})).await;
        let again = fetch(folder.path(), &server, path, json!({})).await;
        again.succeeded();
        assert_eq!((unmodified(&first), unmodified(&again)), (vec![false], vec![is_kept]), "{path}");
        let (a, b) = (first.raw().next().unwrap(), again.raw().next().unwrap());
        for name in ["url", "status", "content_type"] {
            assert_eq!(a.metadata.get(name), b.metadata.get(name), "{path} {name}");
        }
        assert_eq!(first.texts(), again.texts(), "{path}");
        assert_eq!(std::fs::read_dir(folder.path().join("spool")).map_or(0, Iterator::count), 0);
    }
}

#[tokio::test]
async fn a_changed_page_is_news() {
    let folder = tempfile::tempdir().unwrap();
    let server = HttpServer::start().await;
    for (version, text) in [("\"1\"", "a much longer first text"), ("\"2\"", "second"), ("\"2\"", "second")] {
        server.on("/x", [Answer::text(text).etag(version)]);
        let done = fetch(folder.path(), &server, "/x", json!({})).await;
        assert_eq!(done.texts(), [text]);
    }
    let sent: Vec<_> =
        server.requests().iter().map(|r| r.header("if-none-match").map(str::to_owned)).collect();
    assert_eq!(sent, [None, Some("\"1\"".to_owned()), Some("\"2\"".to_owned())]);
}

#[tokio::test]
async fn nothing_is_kept_of_a_run_that_failed_or_where_it_must_not_be() {
    let server = HttpServer::start().await;
    let etag = || Answer::text("x").etag("\"1\"");
    server.on("/ok", [etag()]);
    server.on("/secret", [etag().header("cache-control", "private, no-store")]);
    server.on("/posted", [etag()]);
    let folder = tempfile::tempdir().unwrap();
    let failing = json!({"url": null, "urls": [server.url("/ok"), server.url("/gone")]});
    assert_eq!(fetch(folder.path(), &server, "", failing).await.report.outcome, RunOutcome::Failed);
    let cases = [
        ("/ok", json!({})),
        ("/secret", json!({})),
        ("/secret", json!({})),
        ("/posted", json!({"method": "POST"})),
        ("/posted", json!({"method": "POST"})),
        ("/ok", json!({"conditional": false})),
        // Another question: the answer may be another one.
        ("/ok", json!({"headers": {"accept-language": "sv"}})),
    ];
    for (path, more) in cases {
        let done = fetch(folder.path(), &server, path, more.clone()).await;
        done.succeeded();
        assert_eq!(unmodified(&done), [false], "{path} {more}");
    }
    assert!(server.requests().iter().all(|request| request.header("if-none-match").is_none()));
}

#[tokio::test]
async fn lists_are_walked_through_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = HttpServer::start().await;
    server.on("/1", [Answer::html(r#"<a class="d" href="/d"></a><a class="n" href="/2">"#).etag("\"1\"")]);
    server.on("/2", [Answer::html("<p>").etag("\"2\"").header("link", "</3>; rel=next")]);
    server.on("/3", [Answer::html("<p>").etag("\"3\"")]);
    server.on("/d", [Answer::html("detail").etag("\"d\"")]);
    for run in 0..2 {
        let more = json!({"follow": "a.d", "next_page": "a.n"});
        let done = fetch(folder.path(), &server, "/1", more).await;
        assert_eq!(unmodified(&done), [run > 0]);
        assert_eq!(done.texts(), ["detail"]);
    }
    for run in 0..2 {
        let done = fetch(folder.path(), &server, "/2", json!({"next_page": "header: link"})).await;
        assert_eq!(unmodified(&done), [run > 0, run > 0]);
    }
}

#[tokio::test]
async fn a_run_without_news_may_end_early() {
    let folder = tempfile::tempdir().unwrap();
    let server = HttpServer::start().await;
    let page = |text: &str, version: &str| Answer::text(text).etag(version);
    server.on("/a", [page("a", "\"1\"")]);
    server.on("/b", [page("b", "\"1\"")]);
    let run = |server: &HttpServer| {
        let more = json!({"url": null, "urls": [server.url("/a"), server.url("/b")], "skip_unchanged": true});
        let chain = Chain::new().stage(CLASS, build(CLASS, kwargs(server, "", more)));
        run_chain(chain, RunContext::new(options(folder.path())))
    };
    run(&server).await.succeeded();
    let second = run(&server).await;
    second.succeeded();
    assert_eq!(second.report.note.as_deref(), Some("unchanged"));
    assert!(second.items.is_empty(), "nothing passes");
    server.on("/b", [page("changed", "\"2\"")]);
    let third = run(&server).await;
    assert_eq!(third.report.note, None);
    assert_eq!(third.texts(), ["a", "changed"]);
}

#[tokio::test]
async fn no_expectation_applies_to_a_run_without_news() {
    let folder = tempfile::tempdir().unwrap();
    let server = HttpServer::start().await;
    server.on("/a", [Answer::json(&json!({"x": 1})).etag("\"1\"")]);
    let run = || {
        let chain = Chain::new()
            .stage(CLASS, build(CLASS, kwargs(&server, "/a", json!({"skip_unchanged": true}))))
            .stage("json.JsonParser", build("json.JsonParser", json!({"topic": "t"})))
            .stage("expect.ExpectItems", build("expect.ExpectItems", json!({"min": 1})));
        run_chain(chain, RunContext::new(options(folder.path())))
    };
    run().await.succeeded();
    let again = run().await;
    again.succeeded();
    assert_eq!(again.report.note.as_deref(), Some("unchanged"));
}

#[tokio::test]
async fn a_server_that_says_unchanged_without_being_asked_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let server = HttpServer::start().await;
    server.on("/x", [Answer::status(304)]);
    let done = fetch(folder.path(), &server, "/x", json!({})).await;
    assert!(done.error().contains("HTTP 304 Not Modified, though nothing was kept"), "{}", done.error());
}

#[tokio::test]
async fn what_no_run_asks_for_any_more_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let server = HttpServer::start().await;
    server.handle(|request| Some(Answer::text(request.path()).etag("\"1\"")));
    let rows = || {
        let file = rusqlite::Connection::open(folder.path().join("test.db")).unwrap();
        file.query_row("SELECT count(*) FROM scraper_state", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let run = |ids: Vec<i64>, more: Value| {
        let items = ids.into_iter().map(|id| parsed("t", json!({"id": id}))).collect();
        let mut fields = json!({"url": server.url("/{{ content.id }}"), "for_each": true});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        run_on(items, CLASS, kwargs(&server, "", fields), OnError::Fail, options(folder.path()))
    };
    run((0..30).collect(), json!({})).await.succeeded();
    assert_eq!(rows(), 60, "validators and a body each");
    run(vec![3, 4], json!({})).await.succeeded();
    assert_eq!(rows(), 4);
    // Another stage in its place: what the old one kept is nobody's.
    run(vec![5], json!({"url": server.url("/other/{{ content.id }}")})).await.succeeded();
    assert_eq!(rows(), 2);
}

#[tokio::test]
async fn damage_is_repaired_by_asking_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = HttpServer::start().await;
    server.on("/x", [Answer::text("whole").etag("\"1\"")]);
    fetch(folder.path(), &server, "/x", json!({})).await.succeeded();
    let file = rusqlite::Connection::open(folder.path().join("test.db")).unwrap();
    file.execute("DELETE FROM scraper_state WHERE length(value) = 5", []).unwrap();
    drop(file);
    let done = fetch(folder.path(), &server, "/x", json!({})).await;
    done.succeeded();
    assert_eq!(done.texts(), ["whole"]);
    assert_eq!(server.hits("/x"), 3);
}

#[tokio::test]
async fn stages_that_ask_the_same_url_otherwise_keep_their_own() {
    let server = HttpServer::start().await;
    server.handle(|request| {
        let said = |name: &str| request.header(name).unwrap_or("-").to_owned();
        // An echo of a secret would be kept with the body.
        let who = said("authorization").len();
        let text = format!("{} {} {who} {}", request.path_and_query(), said("accept"), said("user-agent"));
        Some(Answer::text(text.clone()).etag(&format!("\"{text}\"")))
    });
    let cases = [
        (json!({"headers": {"accept": "text/csv"}}), json!({"headers": {"accept": "text/html"}})),
        (json!({"auth": {"bearer": "ann"}}), json!({"auth": {"bearer": "bo"}})),
        (json!({"auth": {"basic": {"username": "a", "password": "secret-1"}}}), json!({})),
        (json!({"user_agent": "one"}), json!({"user_agent": "two"})),
        (json!({"params": {"a": 1}}), json!({"params": {"a": 2}})),
        // Twins, of which each may follow other links.
        (json!({}), json!({})),
    ];
    for (one, other) in cases {
        let folder = tempfile::tempdir().unwrap();
        let mut texts = Vec::new();
        for round in 0..3 {
            let chain = Chain::new()
                .stage(CLASS, build(CLASS, kwargs(&server, "/x", one.clone())))
                .stage(CLASS, build(CLASS, kwargs(&server, "/x", other.clone())));
            let done = run_chain(chain, RunContext::new(options(folder.path()))).await;
            done.succeeded();
            assert_eq!(unmodified(&done), [round > 0, round > 0], "{one} and {other}, round {round}");
            texts.push(done.texts());
        }
        assert_eq!(texts[0], texts[1]);
        assert_eq!(texts[0], texts[2]);
        let stored = std::fs::read(folder.path().join("test.db")).unwrap();
        assert!(memchr::memmem::find(&stored, b"secret-1").is_none());
        assert!(memchr::memmem::find(&stored, b"Bearer").is_none());
    }
}
