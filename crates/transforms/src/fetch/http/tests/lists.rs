//! Lists of pages and what they link to.

use pipeline_core::{Chain, OnError, RunContext, StageContext};
use serde_json::{Value, json};
use test_support::http::{Answer, HttpServer};

use super::{CLASS, fetch, fetch_with, kwargs};
use crate::fetch::testing::{build, options, run_chain};

/// What a list gave, and what the run says about its completeness.
async fn walk(server: &HttpServer, path: &str, more: Value) -> (Vec<String>, Option<String>) {
    let ctx = RunContext::new(options());
    let chain = Chain::new().stage(CLASS, build(CLASS, kwargs(server, path, more)));
    let done = run_chain(chain, ctx.clone()).await;
    done.succeeded();
    (done.texts(), StageContext::new(ctx, 9, "later").upstream_incomplete())
}

fn page(number: u32, next: Option<&str>) -> Answer {
    let link =
        next.map(|next| format!(r#"<li class="next"><a href="{next}">next</a></li>"#)).unwrap_or_default();
    Answer::html(format!("{number}{link}"))
}

/// `next_page`, made of the three forms' servers.
#[tokio::test]
async fn a_next_page_is_found_in_three_forms() {
    let server = HttpServer::start().await;
    server.on("/css/1", [page(1, Some("2?x=1"))]);
    server.on("/css/2", [page(2, Some("/css/3"))]);
    server.on("/css/3", [page(3, None)]);
    server.on("/json?p=1", [Answer::json(&json!({"n": 1, "links": {"next": "?p=2"}}))]);
    server.on("/json?p=2", [Answer::json(&json!({"n": 2, "links": {"next": null}}))]);
    server.on("/header?p=1", [Answer::text("1").header("link", r#"<?p=2>; rel="next", <?p=9>; rel=last"#)]);
    server.on("/header?p=2", [Answer::text("2").header("link", r#"<?p=1>; rel="prev""#)]);
    let cases = [
        ("/css/1", "li.next a @href", 3),
        ("/css/1", "li.next a", 3),
        ("/json?p=1", "/links/next", 2),
        ("/header?p=1", "header: link", 2),
    ];
    for (path, next_page, count) in cases {
        let (texts, incomplete) = walk(&server, path, json!({"next_page": next_page})).await;
        assert_eq!((texts.len(), incomplete), (count, None), "{next_page}: {texts:?}");
    }
    let done = fetch(&server, "/css/1", json!({"next_page": ".next a"})).await;
    let pages: Vec<_> =
        done.raw().map(|raw| raw.metadata.get("page").and_then(|page| page.as_i64())).collect();
    assert_eq!(pages, [Some(1), Some(2), Some(3)]);
    assert_eq!(done.raw().nth(1).unwrap().source, server.url("/css/2?x=1"));
}

#[tokio::test]
async fn circles_and_limits_end_a_list_that_is_then_known_to_be_incomplete() {
    let server = HttpServer::start().await;
    server.on("/1", [page(1, Some("/2"))]);
    server.on("/2", [page(2, Some("/1#again"))]);
    server.on("/self", [page(9, Some("/self"))]);
    server.handle(|request| {
        let number: u32 = request.path().strip_prefix("/endless/")?.parse().ok()?;
        Some(page(number, Some(&format!("/endless/{}", number + 1))))
    });
    let cases = [
        ("/1", json!({}), 2, "which was seen before"),
        ("/self", json!({}), 1, "which was seen before"),
        ("/endless/1", json!({"max_pages": 5}), 5, "`max_pages` (5) reached, and there is a further page"),
        ("/endless/1", json!({}), 100, "`max_pages` (100) reached"),
    ];
    for (path, mut more, count, why) in cases {
        more["next_page"] = ".next a".into();
        let (texts, incomplete) = walk(&server, path, more).await;
        assert_eq!(texts.len(), count, "{path}");
        assert!(incomplete.as_ref().is_some_and(|text| text.contains(why)), "{path}: {incomplete:?}");
    }
    server.on("/last", [page(1, None)]);
    let (_, incomplete) = walk(&server, "/last", json!({"next_page": ".next a", "max_pages": 1})).await;
    assert_eq!(incomplete, None, "the last page is no limit");
}

#[tokio::test]
async fn a_failing_page_fails_its_list() {
    let server = HttpServer::start().await;
    server.on("/a1", [page(1, Some("/a2"))]);
    server.on("/b1", [page(3, None)]);
    let more = json!({"url": null, "urls": [server.url("/a1"), server.url("/b1")], "next_page": ".next a"});
    let done = fetch(&server, "", more.clone()).await;
    assert!(done.error().contains(&format!("{}: HTTP 404", server.url("/a2"))), "{}", done.error());
    let done = fetch_with(kwargs(&server, "", more), OnError::Skip, options()).await;
    done.succeeded();
    assert_eq!(done.report.note.as_deref(), Some("1 item skipped"));
    assert_eq!(done.raw().count(), 2, "the other list goes on");
}

#[tokio::test]
async fn a_next_page_that_is_none_is_an_error() {
    let server = HttpServer::start().await;
    server.on("/text", [Answer::text("no JSON")]);
    server.on("/number", [Answer::json(&json!({"next": 5}))]);
    server.on("/ftp", [Answer::json(&json!({"next": "ftp://x"}))]);
    for (path, expected) in
        [("/text", "the page is not JSON"), ("/number", "leads to integer"), ("/ftp", "leads to `ftp://x`")]
    {
        let done = fetch(&server, path, json!({"next_page": "/next"})).await;
        assert!(done.error().contains(expected) && done.error().contains(path), "{}", done.error());
    }
}

#[tokio::test]
async fn a_pause_between_pages_is_kept() {
    let server = HttpServer::start().await;
    server.on("/1", [page(1, Some("/2"))]);
    server.on("/2", [page(2, None)]);
    fetch(&server, "/1", json!({"next_page": ".next a", "page_delay": "150ms"})).await.succeeded();
    let requests = server.requests();
    assert!(requests[1].at - requests[0].at >= std::time::Duration::from_millis(150));
}

#[tokio::test]
async fn links_are_followed_in_order_and_once() {
    let server = HttpServer::start().await;
    let list = |links: &[&str], next: &str| {
        let links: String = links.iter().map(|link| format!(r#"<h3><a href="{link}">x</a></h3>"#)).collect();
        Answer::html(format!(r#"{links}<p class="next"><a href="{next}">"#))
    };
    server.on("/list", [list(&["/d/1", "/d/2", "/d/1#top", "mailto:x@y"], "/list2")]);
    server.on("/list2", [list(&["/d/3", "/d/2"], "/list3")]);
    server.on("/list3", [list(&[], "")]);
    server.handle(|request| Some(Answer::text(request.path().strip_prefix("/d/")?.to_owned())));
    let more = json!({"follow": "h3 a", "next_page": ".next a", "concurrency": 2});
    let (texts, incomplete) = walk(&server, "/list", more).await;
    assert_eq!((texts.join(","), server.hits("/d/2")), ("1,2,3".to_owned(), 1));
    assert_eq!(incomplete, None, "an empty link is none");

    server.on("/list", [list(&["/d/1", "/gone", "/d/3"], "/list3")]);
    let kwargs = kwargs(&server, "/list", json!({"follow": "h3 a"}));
    let done = fetch_with(kwargs, OnError::Skip, options()).await;
    done.succeeded();
    assert_eq!(done.report.stages[0].errors, 1);
    assert_eq!(done.texts(), ["1", "3"], "one that fails does not stop the others");
}

#[tokio::test]
async fn details_elsewhere_get_no_secrets() {
    let (server, other) = (HttpServer::start().await, HttpServer::start().await);
    server.on("/list", [Answer::html(format!(r#"<a href="{}"><a href="/own">"#, other.url("/d")))]);
    server.on("/own", [Answer::text("own")]);
    other.on("/d", [Answer::text("d")]);
    fetch(&server, "/list", json!({"follow": "a", "auth": {"bearer": "token"}})).await.succeeded();
    assert_eq!(server.requests_of("/own")[0].header("authorization"), Some("Bearer token"));
    assert_eq!(other.requests()[0].header("authorization"), None);
}

/// A list of 5 records by offset, page or cursor.
fn records(server: &HttpServer) {
    server.handle(|request| {
        let number = |name: &str| request.param(name).and_then(|value| value.parse::<usize>().ok());
        let start = match request.path() {
            "/offset" => number("from")?,
            "/page" => (number("p")? - 1) * 2,
            "/cursor" => number("after").unwrap_or(0),
            _ => return None,
        };
        let items: Vec<usize> = (start..5).take(2).collect();
        let next = (start + 2 < 5).then_some(start + 2);
        Some(Answer::json(&json!({"items": items, "next": next})))
    });
}

#[tokio::test]
async fn lists_without_links_are_paged() {
    let server = HttpServer::start().await;
    records(&server);
    let full = [r#"{"items":[0,1],"next":2}"#, r#"{"items":[2,3],"next":4}"#, r#"{"items":[4],"next":null}"#];
    let cases = [
        ("/offset", json!({"offset_param": "from", "page_size": 2, "records": ".items"}), 3),
        ("/offset", json!({"offset_param": "from", "records": ".items"}), 4),
        ("/page", json!({"page_param": "p", "records": ".items", "stop": "empty_page"}), 4),
        ("/page", json!({"page_param": "p", "stop": {"jq": ".next == null"}}), 3),
        ("/cursor", json!({"cursor_param": "after", "cursor": ".next"}), 3),
    ];
    for (path, paginate, requests) in cases {
        server.forget();
        let (texts, incomplete) = walk(&server, path, json!({"paginate": paginate})).await;
        assert_eq!((texts, incomplete), (full.map(str::to_owned).to_vec(), None), "{paginate}");
        assert_eq!(server.requests().len(), requests, "{paginate}");
    }
    let (texts, incomplete) =
        walk(&server, "/page", json!({"paginate": {"page_param": "p", "records": ".items"}, "max_pages": 2}))
            .await;
    assert_eq!(texts.len(), 2);
    assert!(incomplete.unwrap().contains("`max_pages` (2) reached"));
}

#[tokio::test]
async fn a_server_that_ignores_the_page_is_noticed() {
    let server = HttpServer::start().await;
    server.on("/same", [Answer::json(&json!([1, 2]))]);
    server.on("/stuck", [Answer::json(&json!({"next": "c"}))]);
    server.on("/empty", [Answer::json(&json!([]))]);
    let (texts, incomplete) = walk(&server, "/same", json!({"paginate": {"page_param": "p"}})).await;
    assert_eq!((texts.len(), server.hits("/same")), (1, 2));
    assert!(incomplete.unwrap().contains("the same as an earlier one"));
    let (texts, incomplete) =
        walk(&server, "/stuck", json!({"paginate": {"cursor_param": "c", "cursor": ".next"}})).await;
    assert_eq!(texts.len(), 1);
    assert!(incomplete.is_some());
    let (texts, incomplete) = walk(&server, "/empty", json!({"paginate": {"page_param": "p"}})).await;
    assert_eq!((texts, incomplete), (vec!["[]".to_owned()], None), "an empty list is a list");
}

#[tokio::test]
async fn pages_of_links_end_where_there_are_none() {
    let server = HttpServer::start().await;
    server.handle(|request| match request.path() {
        "/list" => {
            let page: usize = request.param("page")?.parse().ok()?;
            let links = (0..4).skip((page - 1) * 2).take(2).map(|n| format!(r#"<a href="/d/{n}">"#));
            Some(Answer::html(links.collect::<String>()))
        }
        path => Some(Answer::text(path.strip_prefix("/d/")?.to_owned())),
    });
    let more = json!({"paginate": {"page_param": "page"}, "follow": "a"});
    let (texts, incomplete) = walk(&server, "/list", more).await;
    assert_eq!((texts.join(""), incomplete), ("0123".to_owned(), None));
}
