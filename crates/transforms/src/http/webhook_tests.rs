//! The webhook sink against a server.

use pipeline_core::{Chain, Item, OnError, RunContext, RunOptions, RunOutcome};
use serde_json::{Value, json};
use test_support::http::{Answer, HttpServer};

use crate::fetch::testing::{Done, Feed, build, build_error, options, options_in, parsed, run_chain, run_on};

const CLASS: &str = "http.WebhookSink";

fn kwargs(server: &HttpServer, more: &Value) -> Value {
    let mut kwargs = json!({"url": server.url("/hook/s3cret"), "max_retries": 2, "base_delay": "5ms", "max_delay": "10ms"});
    kwargs.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    kwargs
}

fn books() -> Vec<Item> {
    vec![
        parsed("book", json!({"title": "a \"b\"", "price": 1.5})),
        parsed("other", json!({"title": "-"})),
        parsed("book", json!({"title": "c", "price": null})),
    ]
}

async fn server(answers: impl IntoIterator<Item = Answer>) -> HttpServer {
    let server = HttpServer::start().await;
    server.on("/hook/s3cret", answers);
    server
}

async fn send(server: &HttpServer, more: Value, on_error: OnError, options: RunOptions) -> Done {
    run_on(books(), CLASS, kwargs(server, &more), on_error, options).await
}

fn bodies(server: &HttpServer) -> Vec<String> {
    server.requests().iter().map(test_support::http::Request::text).collect()
}

#[tokio::test]
async fn bodies_are_envelopes_templates_and_batches() {
    let at = "1970-01-01T00:00:00Z";
    let first =
        format!(r#"{{"topic":"book","content":{{"title":"a \"b\"","price":1.5}},"discovered_at":"{at}"}}"#);
    let second =
        format!(r#"{{"topic":"book","content":{{"title":"c","price":null}},"discovered_at":"{at}"}}"#);
    let both = format!("[{first},{second}]");
    let json = "application/json";
    let text = "text/plain; charset=utf-8";
    let json_template = r#"{"t": "{{ content.title }}", "p": {{ content.price }}}"#;
    let cases: [(Value, Vec<String>, &str); 6] = [
        (json!({}), vec![first, second], json),
        (json!({"batch": 2}), vec![both.clone()], json),
        (json!({"batch": 9}), vec![both], json),
        (
            json!({"template": json_template}),
            vec![r#"{"t": "a \"b\"", "p": 1.5}"#.into(), r#"{"t": "c", "p": null}"#.into()],
            json,
        ),
        (
            json!({"template": json_template, "batch": 2}),
            vec![r#"[{"t": "a \"b\"", "p": 1.5},{"t": "c", "p": null}]"#.into()],
            json,
        ),
        (
            json!({"template": "{{ topic }}: {{ content.title }}", "batch": 2}),
            vec!["book: a \"b\"\nbook: c".into()],
            text,
        ),
    ];
    for when in ["success", "immediately"] {
        for (more, expected, content_type) in &cases {
            let server = server([Answer::status(204)]).await;
            let mut more = more.clone();
            more["when"] = when.into();
            more["topics"] = json!(["book"]);
            more["headers"] = json!({"X-Key": "k-e-y"});
            let done = send(&server, more, OnError::Fail, options()).await;
            done.succeeded();
            assert_eq!(done.items.len(), 3, "a sink passes on what it handles");
            assert_eq!(&bodies(&server), expected, "{when}");
            for request in server.requests() {
                assert_eq!(request.method, "POST");
                assert_eq!(request.header("content-type"), Some(*content_type));
                assert_eq!(request.header("x-key"), Some("k-e-y"));
            }
        }
    }
}

#[tokio::test]
async fn a_run_that_fails_tells_nothing_unless_it_must_be_at_once() {
    for (when, told) in [("success", 0), ("immediately", 3)] {
        let server = server([Answer::text("ok")]).await;
        let chain = Chain::new()
            .stage("test.Feed", Box::new(Feed(books())))
            .stage(CLASS, build(CLASS, kwargs(&server, &json!({"when": when}))))
            .stage("expect.ExpectItems", build("expect.ExpectItems", json!({"min": 99})));
        let done = run_chain(chain, RunContext::new(options())).await;
        assert_eq!(done.report.outcome, RunOutcome::Failed);
        assert_eq!(server.requests().len(), told, "{when}");
    }
}

#[tokio::test]
async fn the_retry_rules_hold() {
    let busy = || Answer::status(503);
    for when in ["success", "immediately"] {
        let server = server([busy(), Answer::closed(), Answer::text("ok")]).await;
        send(&server, json!({"when": when}), OnError::Fail, options()).await.succeeded();
        assert_eq!(server.requests().len(), 5, "{when}");

        let server = self::server([busy()]).await;
        let done = send(&server, json!({"when": when}), OnError::Fail, options()).await;
        let origin = server.url("");
        let expected = format!("{origin}: HTTP 503 Service Unavailable (asked 3 times)");
        assert!(done.error().contains(&expected), "{when}: {}", done.error());
        assert!(!done.error().contains("s3cret"), "{}", done.error());

        let server = self::server([Answer::new(400, "application/json", "{\"why\": 1}")]).await;
        let done = send(&server, json!({"when": when}), OnError::Fail, options()).await;
        assert!(done.error().contains("HTTP 400 Bad Request: {\"why\": 1}"), "{}", done.error());
        assert_eq!(server.requests().len(), 1, "{when}: what is refused once stays refused");
    }
}

#[tokio::test]
async fn what_was_not_taken_is_an_error_of_its_items() {
    let folder = tempfile::tempdir().unwrap();
    let server = server([Answer::status(404), Answer::text("ok")]).await;
    let more = json!({"when": "immediately", "batch": 2});
    let done = send(&server, more, OnError::DeadLetter, options_in(folder.path())).await;
    done.succeeded();
    assert_eq!(done.contents(), [r#"{"title":"c","price":null}"#], "the items of the batch that was taken");
    let letters = std::fs::read_to_string(folder.path().join("dead_letters/test.jsonl")).unwrap();
    assert_eq!(letters.lines().count(), 2);
    assert!(letters.contains(r#"a \"b\""#) && !letters.contains("s3cret"), "{letters}");
}

#[tokio::test]
async fn an_item_that_does_not_fit_the_template_is_an_error_of_that_item() {
    for when in ["success", "immediately"] {
        let server = server([Answer::text("ok")]).await;
        let more = json!({"when": when, "template": "{{ content.price + 1 }}"});
        let done = send(&server, more, OnError::Skip, options()).await;
        done.succeeded();
        assert_eq!((bodies(&server), done.report.stages[1].errors), (vec!["2.5".to_owned()], 2), "{when}");
    }
}

#[tokio::test]
async fn a_receiver_need_not_say_anything_sensible() {
    let server = server([Answer::text("half").truncated(2), Answer::text("x".repeat(10_000)).gzip()]).await;
    send(&server, json!({}), OnError::Fail, options()).await.succeeded();
    assert_eq!(server.requests().len(), 3, "what was taken is not sent again");
}

#[tokio::test]
async fn a_dry_run_sends_nothing() {
    let server = server([Answer::text("ok")]).await;
    for when in ["success", "immediately"] {
        let options = RunOptions { dry_run: true, ..options() };
        let done = send(&server, json!({"when": when}), OnError::Fail, options).await;
        done.succeeded();
        assert_eq!(done.items.len(), 3);
    }
    assert!(server.requests().is_empty());
}

#[test]
fn what_is_wrong_is_said() {
    let url = "http://h.example/";
    let cases = [
        (json!({"url": "hook"}), "url: `hook` is not a whole URL"),
        (json!({"url": url, "batch": 0}), "batch: must be at least 1"),
        (json!({"url": url, "template": "{{ content.x"}), "template: "),
        (json!({"url": url, "headers": {"a b": "c"}}), "headers.a b: "),
        (json!({"url": url, "topics": []}), "topics: an empty list"),
        (json!({"url": url, "when": "later"}), "`later`"),
        (json!({}), "`url`"),
    ];
    for (kwargs, expected) in cases {
        let error = build_error(CLASS, kwargs);
        assert!(error.contains(expected), "{error}");
    }
}
