//! Redirections: followed with care, and not for ever.

use serde_json::json;
use test_support::http::{Answer, HttpServer};

use super::fetch;

#[tokio::test]
async fn methods_change_as_browsers_change_them() {
    let server = HttpServer::start().await;
    let cases = [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (301, "PUT", "PUT"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
    ];
    server.on("/to", [Answer::text("there")]);
    for (status, sent, followed) in cases {
        server.forget();
        server.on("/from", [Answer::redirect(status, "to#part")]);
        let done = fetch(&server, "/from", json!({"method": sent, "json": {"a": 1}})).await;
        done.succeeded();
        let request = &server.requests_of("/to")[0];
        assert_eq!(request.method, followed, "{status} {sent}");
        let kept = sent == followed;
        assert_eq!(request.text(), if kept { r#"{"a":1}"# } else { "" }, "{status} {sent}");
        assert_eq!(request.header("content-type").is_some(), kept);
    }
}

#[tokio::test]
async fn circles_and_long_ways_are_refused() {
    let server = HttpServer::start().await;
    server.on("/self", [Answer::redirect(302, "/self")]);
    server.on("/a", [Answer::redirect(302, "/b")]);
    server.on("/b", [Answer::redirect(302, "/a")]);
    server.handle(|request| {
        let number: u32 = request.path().strip_prefix("/n/")?.parse().ok()?;
        Some(if number == 0 {
            Answer::text("end")
        } else {
            Answer::redirect(302, format!("/n/{}", number - 1))
        })
    });
    for path in ["/self", "/a"] {
        let done = fetch(&server, path, json!({})).await;
        assert!(done.error().contains("the redirections go in a circle"), "{}", done.error());
        assert_eq!(server.hits(path), 1, "a circle is no accident that passes");
    }
    fetch(&server, "/n/10", json!({})).await.succeeded();
    let done = fetch(&server, "/n/11", json!({})).await;
    assert!(done.error().contains("more than 10 redirections"), "{}", done.error());
}

#[tokio::test]
async fn a_redirection_to_itself_that_sets_a_cookie_is_no_circle() {
    let server = HttpServer::start().await;
    server.handle(|request| {
        (request.path() == "/door").then(|| match request.header("cookie") {
            Some("seen=1") => Answer::text("inside"),
            _ => Answer::redirect(302, "/door").header("set-cookie", "seen=1; Path=/"),
        })
    });
    let done = fetch(&server, "/door", json!({})).await;
    done.succeeded();
    assert_eq!(done.texts(), ["inside"]);
    let done = fetch(&server, "/door", json!({"cookies": false})).await;
    assert!(done.error().contains("in a circle"), "{}", done.error());
}

#[tokio::test]
async fn places_that_are_none_are_errors() {
    let server = HttpServer::start().await;
    let cases = [
        (Answer::status(302), "HTTP 302 Found without a Location"),
        (Answer::redirect(302, "http://"), "which is no URL"),
        (Answer::redirect(302, "ftp://h.example/"), "which cannot be fetched"),
        (Answer::redirect(302, "file:///etc/passwd"), "which cannot be fetched"),
        (Answer::status(300), "HTTP 300"),
    ];
    for (answer, expected) in cases {
        server.on("/x", [answer]);
        let done = fetch(&server, "/x", json!({})).await;
        assert!(done.error().contains(expected), "{}", done.error());
    }
    server.on("/x", [Answer::redirect(302, "/gone")]);
    let done = fetch(&server, "/x", json!({})).await;
    let expected = format!("{}: redirected to {}: HTTP 404", server.url("/x"), server.url("/gone"));
    assert!(done.error().contains(&expected), "{}", done.error());
}

#[tokio::test]
async fn another_host_gets_no_secrets() {
    let (home, other) = (HttpServer::start().await, HttpServer::start().await);
    let secrets = json!({
        "auth": {"bearer": "a-token"},
        "headers": {"Cookie": "own=1", "X-Api-Key": "a-key", "X-Other": "fine"},
    });
    home.on("/here", [Answer::redirect(302, "/at-home")]);
    home.on("/at-home", [Answer::text("home")]);
    home.on("/away", [Answer::redirect(302, other.url("/evil")).header("set-cookie", "session=2; Path=/")]);
    other.on("/evil", [Answer::redirect(302, home.url("/at-home"))]);
    fetch(&home, "/here", secrets.clone()).await.succeeded();
    fetch(&home, "/away", secrets).await.succeeded();
    for request in home.requests() {
        for name in ["authorization", "cookie", "x-api-key", "x-other"] {
            assert!(request.header(name).is_some(), "{} {name}", request.target);
        }
    }
    let abroad = &other.requests()[0];
    for name in ["authorization", "cookie", "x-api-key"] {
        assert_eq!(abroad.header(name), None, "{name}");
    }
    assert_eq!(abroad.header("x-other"), Some("fine"));
}

#[tokio::test]
async fn another_host_gets_none_of_our_cookies_from_the_jar() {
    let (home, other) = (HttpServer::start().await, HttpServer::start().await);
    home.on("/away", [Answer::redirect(302, other.url("/x")).header("set-cookie", "session=2; Path=/")]);
    other.on("/x", [Answer::redirect(302, home.url("/back"))]);
    home.on("/back", [Answer::text("back")]);
    fetch(&home, "/away", json!({})).await.succeeded();
    assert_eq!(other.requests()[0].header("cookie"), None);
    assert_eq!(home.requests_of("/back")[0].header("cookie"), Some("session=2"));
}
