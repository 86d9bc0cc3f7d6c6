//! One request an item.

use std::sync::Arc;

use pipeline_core::{Item, OnError, RawItem, StageContext, StageError};
use serde_json::{Value, json};
use test_support::http::{Answer, HttpServer};
use tokio::sync::Notify;

use super::{CLASS, kwargs};
use crate::fetch::testing::{Done, options, options_in, parsed, run_on};

async fn each(server: &HttpServer, items: Vec<Item>, more: Value) -> Done {
    run_on(items, CLASS, kwargs(server, "", more), OnError::Fail, options()).await
}

#[tokio::test]
async fn items_become_requests_and_others_pass() {
    let server = HttpServer::start().await;
    server.handle(|request| Some(Answer::text(request.path_and_query())));
    let items = vec![
        parsed("company", json!({"id": 7, "name": "Å & B", "tags": ["x", "y"]})),
        parsed("other", json!({"id": 9})),
        parsed("company", json!({"id": 8, "name": "c/d", "tags": []})),
    ];
    let more = json!({
        "url": server.url("/api/{{ content.name }}"),
        "params": {"id": "{{ content.id }}", "tag": "{{ content.tags }}", "fixed": 1},
        "headers": {"X-Id": "id-{{ content.id }}"},
        "for_each": ["company"],
        "keep": {"company": ".", "id": ".id", "none": "empty", "tags": ".tags[]"},
    });
    let done = each(&server, items, more).await;
    done.succeeded();
    assert_eq!(done.contents(), [r#"{"id":9}"#]);
    let raw = done.raw().next().unwrap();
    assert_eq!(raw.metadata.get("id").unwrap().to_json(), "7");
    assert_eq!(raw.metadata.get("none").unwrap().to_json(), "null");
    assert_eq!(raw.metadata.get("tags").unwrap().to_json(), r#"["x","y"]"#);
    assert_eq!(raw.metadata.get("company").unwrap().as_object().unwrap().get_str("name"), Some("Å & B"));
    assert_eq!(server.requests()[0].header("x-id"), Some("id-7"));
    let expected = ["/api/%C3%85%20%26%20B?id=7&tag=x&tag=y&fixed=1", "/api/c%2Fd?id=8&fixed=1"];
    assert_eq!(done.texts(), expected);
}

#[tokio::test]
async fn bodies_are_made_of_items() {
    let server = HttpServer::start().await;
    server.handle(|request| Some(Answer::text(request.text())));
    let item = || vec![parsed("t", json!({"ids": [1, 2], "name": "n"}))];
    let cases = [
        (
            json!({"json": {"all": "{{ content.ids }}", "text": "a {{ content.name }}", "n": [1, null]}}),
            r#"{"all":[1,2],"text":"a n","n":[1,null]}"#,
        ),
        (
            json!({"json": {"jq": "{ids: [.ids[] | {store: ., run: $run.pipeline}]}"}}),
            r#"{"ids":[{"store":1,"run":"test"},{"store":2,"run":"test"}]}"#,
        ),
        (json!({"body": "name={{ content.name }}"}), "name=n"),
    ];
    for (mut more, expected) in cases {
        let fields = json!({"url": server.url("/x"), "method": "POST", "for_each": true});
        more.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let done = each(&server, item(), more).await;
        done.succeeded();
        assert_eq!(done.texts(), [expected]);
    }
}

#[tokio::test]
async fn a_url_may_come_from_the_item() {
    let server = HttpServer::start().await;
    server.on("/a b", [Answer::text("plain")]);
    server.handle(|request| Some(Answer::text(request.path_and_query())));
    let items = vec![parsed("t", json!({"link": server.url("/x?y=a%20b")}))];
    let done = each(&server, items, json!({"url": "{{ content.link }}", "for_each": true})).await;
    done.succeeded();
    assert_eq!(done.texts(), ["/x?y=a%20b"]);
}

#[tokio::test]
async fn errors_are_of_the_item() {
    let folder = tempfile::tempdir().unwrap();
    let server = HttpServer::start().await;
    server.on("/good", [Answer::text("good")]);
    let items = vec![
        parsed("t", json!({"id": "good"})),
        parsed("t", json!({"id": "gone"})),
        parsed("t", json!({"other": 1})),
        parsed("t", json!({"id": null})),
        parsed("t", json!({"id": "good"})),
    ];
    let more = json!({"url": server.url("/{{ content.id }}"), "for_each": true, "keep": {"id": ".id | ascii_upcase"}});
    let kwargs = kwargs(&server, "", more);
    let done = run_on(items, CLASS, kwargs, OnError::DeadLetter, options_in(folder.path())).await;
    done.succeeded();
    assert_eq!(done.raw().count(), 2);
    let letters = std::fs::read_to_string(folder.path().join("dead_letters/test.jsonl")).unwrap();
    let letters: Vec<Value> = letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<_> = letters
        .iter()
        .map(|letter| (letter["item"]["content"].to_string(), letter["error"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(found.len(), 3);
    for (content, expected) in [
        (r#"{"id":"gone"}"#, "HTTP 404 Not Found"),
        (r#"{"other":1}"#, "the item lacks what it names"),
        (r#"{"id":null}"#, "which no URL can hold"),
    ] {
        assert!(found.iter().any(|(item, error)| item == content && error.contains(expected)), "{found:?}");
    }
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_items_and_side_by_side() {
    let server = HttpServer::start().await;
    let gate = Arc::new(Notify::new());
    server.on("/0", [Answer::text("0").gated(&gate)]);
    server.handle(|request| Some(Answer::text(&request.path()[1..])));
    let items = (0..200).map(|n| parsed("t", json!({"n": n}))).collect();
    let more = json!({"url": server.url("/{{ content.n }}"), "for_each": ["t"], "concurrency": 3});
    let (done, ()) = tokio::join!(each(&server, items, more), async {
        // The first answer waits until others have been asked for.
        server.wait_for("/5", 1).await;
        gate.notify_one();
    });
    done.succeeded();
    assert_eq!(done.texts(), (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn each_item_has_its_own_list() {
    let server = HttpServer::start().await;
    server.handle(|request| {
        let (id, from): (usize, usize) =
            (request.path()[1..].parse().ok()?, request.param("from")?.parse().ok()?);
        let apps: Vec<_> = (from..id).take(2).collect();
        Some(Answer::json(&json!({"id": id, "apps": apps})))
    });
    let items = [3, 0, 2].map(|n| parsed("t", json!({"id": n}))).into();
    let more = json!({
        "url": server.url("/{{ content.id }}?sort=d"), "for_each": true, "keep": {"who": ".id"},
        "paginate": {"offset_param": "from", "page_size": 2, "records": ".apps"},
    });
    let done = each(&server, items, more).await;
    done.succeeded();
    let who: Vec<_> = done.raw().map(|raw| raw.metadata.get("who").unwrap().as_i64().unwrap()).collect();
    assert_eq!(who, [3, 3, 0, 2]);
    assert_eq!(
        done.texts(),
        [
            r#"{"apps":[0,1],"id":3}"#,
            r#"{"apps":[2],"id":3}"#,
            r#"{"apps":[],"id":0}"#,
            r#"{"apps":[0,1],"id":2}"#,
        ]
        .map(|text| {
            // The server's field order is its own.
            let value: Value = serde_json::from_str(text).unwrap();
            json!({"id": value["id"], "apps": value["apps"]}).to_string()
        })
    );
}

/// Keeps what was got in memory.
#[derive(Default)]
struct MemoryTape {
    playback: bool,
    got: std::sync::Mutex<std::collections::BTreeMap<String, Vec<(String, String)>>>,
}

impl pipeline_core::tape::Tape for MemoryTape {
    fn is_playback(&self) -> bool {
        self.playback
    }

    fn record(&self, _: &StageContext, key: &str, item: Item) -> Result<Item, StageError> {
        let Item::Raw(raw) = item else { return Ok(item) };
        let text = raw.payload.try_clone().unwrap().into_bytes(u64::MAX).unwrap();
        let entry = (raw.source.clone(), String::from_utf8(text.to_vec()).unwrap());
        self.got.lock().unwrap().entry(key.to_owned()).or_default().push(entry);
        Ok(Item::Raw(raw))
    }

    fn play(&self, _: &StageContext, key: &str) -> Result<Vec<Item>, StageError> {
        let got = self.got.lock().unwrap();
        let got = got.get(key).ok_or_else(|| StageError::fatal(format!("nothing recorded for {key}")))?;
        let item = |(source, text): &(String, String)| {
            Item::from(RawItem {
                source: source.clone(),
                payload: text.clone().into(),
                fetched_at: chrono::DateTime::UNIX_EPOCH,
                metadata: pipeline_core::Record::new(),
            })
        };
        Ok(got.iter().map(item).collect())
    }
}

#[tokio::test]
async fn answers_are_recorded_by_their_request_and_played_back_without_a_server() {
    let server = HttpServer::start().await;
    server.handle(|request| Some(Answer::text(request.text())));
    let run = |tape: Arc<MemoryTape>| {
        let items = vec![parsed("t", json!({"n": 1})), parsed("t", json!({"n": 2}))];
        let more = json!({
            "url": server.url("/x"), "method": "POST", "body": "n={{ content.n }}", "for_each": true,
        });
        let mut options = options();
        options.services.insert(pipeline_core::tape::TapeDeck(tape));
        run_on(items, CLASS, kwargs(&server, "", more), OnError::Fail, options)
    };
    let tape = Arc::new(MemoryTape::default());
    run(tape.clone()).await.succeeded();
    let got = std::mem::take(&mut *tape.got.lock().unwrap());
    let url = server.url("/x");
    assert_eq!(
        got.keys().cloned().collect::<Vec<_>>(),
        [format!("POST {url} n=1"), format!("POST {url} n=2")]
    );
    server.forget();
    let done = run(Arc::new(MemoryTape { playback: true, got: got.into() })).await;
    done.succeeded();
    assert_eq!(done.texts(), ["n=1", "n=2"]);
    assert!(server.requests().is_empty());
}
