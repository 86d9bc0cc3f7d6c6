//! Webhooks and heartbeats.

use test_support::http::{Answer, HttpServer};

use crate::{FAILS, ITEMS, legacy};

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_successes_are_told() {
    let server = HttpServer::start().await;
    for path in ["/alert", "/good", "/bad", "/bad/fail"] {
        server.on(path, [Answer::text("ok")]);
    }
    let program = legacy(&format!(
        "defaults: {{on_failure: {{webhook_url: \"${{ALERT_URL}}\"}}}}\npipelines:\n  \
         good: {{heartbeat_url: \"{}\", chain: [{ITEMS}]}}\n  bad: {{heartbeat_url: \"{}\", chain: [{FAILS}]}}\n",
        server.url("/good"),
        server.url("/bad")
    ))
    .variable("ALERT_URL", server.url("/alert"));
    let program = tokio::task::spawn_blocking(move || {
        program.run(&["--dry-run"]).expect(1);
        program
    })
    .await
    .unwrap();
    assert_eq!(server.hits("/alert"), 0, "a dry run tells nobody");
    tokio::task::spawn_blocking(move || program.run(&[]).expect(1)).await.unwrap();
    let hits = ["/alert", "/good", "/bad", "/bad/fail"].map(|path| server.hits(path));
    assert_eq!(hits, [1, 1, 0, 1]);
    let body: serde_json::Value = serde_json::from_str(&server.requests_of("/alert")[0].text()).unwrap();
    assert_eq!((&body["pipeline"], &body["outcome"]), (&"bad".into(), &"failed".into()));
    assert!(body["error"].as_str().unwrap().contains("no luck"), "{body}");
}
