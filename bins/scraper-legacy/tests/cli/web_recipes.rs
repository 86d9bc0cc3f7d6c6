//! The recipes of docs/cookbook.md for the web, with a server on loopback in place of the sites.

use serde_json::{Value, json};
use test_support::http::{Answer, HttpServer};
use test_support::process::{Finished, Program};

use crate::guides::document;
use crate::legacy;

/// The program with the file of a recipe, whose sites are this server.
fn recipe(title: &str, server: &HttpServer) -> Program {
    let blocks = document("cookbook.md");
    let block = blocks.iter().find(|block| block.section == title && block.language == "yaml");
    let mut file = block.unwrap_or_else(|| panic!("there is no recipe `{title}`")).text.clone();
    for site in ["https://shop.example", "https://api.shop.example", "https://authority.example"] {
        file = file.replace(site, server.url("").trim_end_matches('/'));
    }
    legacy(&file)
}

/// Runs it to its end, which must be a success.
fn run(program: &Program) -> Finished {
    tokio::task::block_in_place(|| program.run(&["--summary", "none"]).expect(0))
}

/// The items that were shown.
fn items(finished: &Finished) -> Vec<Value> {
    finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_link_to_the_next() {
    let server = HttpServer::start().await;
    let book =
        |name: &str| format!("<article><h3><a href='/b/{name}'>{name}</a></h3><p class=price>9.50</article>");
    server
        .on("/books", [Answer::html(book("a") + &book("b") + "<li class=next><a href='/books/2'>next</a>")]);
    server.on("/books/2", [Answer::html(book("c"))]);
    let found = items(&run(&recipe("Pages that link to the next", &server)));
    let expected = ["a", "b", "c"]
        .map(|name| json!({"title": name, "link": server.url(&format!("/b/{name}")), "price": 9.5}));
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_by_offset() {
    let server = HttpServer::start().await;
    server.handle(|request| {
        let offset: usize = request.param("offset")?.parse().ok()?;
        assert_eq!((request.param("sort"), request.param("limit")), (Some("id"), Some("100")));
        let records: Vec<Value> = (offset..(offset + 100).min(150)).map(|id| json!({"id": id})).collect();
        Some(Answer::json(&json!({"data": records})))
    });
    let found = items(&run(&recipe("Pages by offset", &server)));
    assert_eq!(found, (0..150).map(|id| json!({"id": id})).collect::<Vec<_>>());
    assert_eq!(server.hits("/apps"), 2, "the page that is not full is the last");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_by_cursor() {
    let server = HttpServer::start().await;
    server.handle(|request| {
        let (id, next) = match request.param("after") {
            None => (1, json!("c2")),
            Some("c2") => (2, Value::Null),
            Some(_) => return None,
        };
        let page = json!({"orders": [{"id": id}], "paging": {"next_cursor": next}});
        (request.path() == "/orders").then(|| Answer::json(&page))
    });
    let found = items(&run(&recipe("Pages by cursor", &server)));
    assert_eq!(found, [json!({"id": 1}), json!({"id": 2})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_details_behind_links() {
    let server = HttpServer::start().await;
    server.on(
        "/books",
        [Answer::html("<h3><a href='/b/1'>A</a></h3><h3><a href='/b/2'>B</a></h3><h3><a href='/b/1'>A</a>")],
    );
    for (path, title) in [("/b/1", "A"), ("/b/2", "B")] {
        server.on(path, [Answer::html(format!("<h1>{title}</h1><p class=isbn>978-{title}"))]);
    }
    let found = items(&run(&recipe("The details behind links", &server)));
    let expected = [("A", "/b/1"), ("B", "/b/2")].map(
        |(title, path)| json!({"title": title, "isbn": format!("978-{title}"), "link": server.url(path)}),
    );
    assert_eq!(found, expected);
    assert_eq!(server.hits("/b/1"), 1, "each link once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_each_item() {
    let server = HttpServer::start().await;
    let apps = json!({"data": [{"id": 501, "title": "Northern Sea", "more": 1}]});
    server.on("/apps?publisher=Loft%20Nine", [Answer::json(&apps)]);
    let finished = run(&recipe("A request for each item", &server));
    assert_eq!(items(&finished), [json!({"id": 501, "title": "Northern Sea", "company": "Loft Nine"})]);
    assert!(finished.stderr.contains("404"), "the other company is skipped and told: {}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_when_something_has_changed() {
    let server = HttpServer::start().await;
    server.on("/positions.csv", [Answer::new(200, "text/csv", "a;b\n").etag("\"1\"")]);
    let program = recipe("Only when something has changed", &server);
    let run = || tokio::task::block_in_place(|| program.run(&["--summary", "json"]).expect(0).json());
    let notes = [run(), run()].map(|summary| summary[0]["note"].clone());
    assert_eq!(notes, [Value::Null, json!("unchanged")]);
    assert_eq!(server.hits("/positions.csv"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn politely() {
    let server = HttpServer::start().await;
    server.on("/robots.txt", [Answer::text("User-agent: books-of-the-week\nDisallow: /used\n")]);
    server.on("/new", [Answer::html("<article><h3>A</h3></article>")]);
    server.on("/used", [Answer::html("<article><h3>B</h3></article>")]);
    let program = recipe("Politely", &server);
    let finished = tokio::task::block_in_place(|| program.run(&[]).expect(1));
    assert!(finished.stderr.contains("robots"), "{}", finished.stderr);
    assert_eq!(server.hits("/used"), 0, "robots.txt is obeyed");
    let agents = server.requests_of("/robots.txt");
    assert_eq!(agents[0].header("user-agent"), Some("books-of-the-week (mail@example.org)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_from_the_environment() {
    let server = HttpServer::start().await;
    server.on("/orders", [Answer::status(403)]);
    let program = recipe("Secrets from the environment", &server);
    let missing = tokio::task::block_in_place(|| program.run(&[]).expect(2));
    assert!(missing.stderr.contains("API_TOKEN"), "{}", missing.stderr);
    program.write(".env", "API_TOKEN=tiger-123\n");
    let refused = tokio::task::block_in_place(|| program.run(&[]).expect(1));
    assert_eq!(server.requests_of("/orders")[0].header("authorization"), Some("Bearer tiger-123"));
    assert!(!refused.stderr.contains("tiger"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn tell_changes_by_webhook() {
    let server = HttpServer::start().await;
    let page = |price: &str| Answer::html(format!("<article><h3>A</h3><p class=price>{price}</p></article>"));
    server.on("/books", [page("9"), page("9"), page("8")]);
    server.on("/chat", [Answer::text("ok")]);
    let program = recipe("Tell changes by webhook", &server).variable("CHAT_URL", server.url("/chat"));
    let told: Vec<usize> = (0..3)
        .map(|_| {
            run(&program);
            server.hits("/chat")
        })
        .collect();
    assert_eq!(told, [1, 1, 2], "only what changed is told");
    let texts: Vec<String> =
        server.requests_of("/chat").iter().map(test_support::http::Request::text).collect();
    assert_eq!(texts, [r#"{"text": "A is new"}"#, r#"{"text": "A is changed"}"#]);
}
