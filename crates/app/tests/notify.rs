//! Who is told of a run's end, and that nobody waits for them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::Duration;

use app::notify::{Notice, Notifier};
use pipeline_core::config::Loader;
use pipeline_core::{Clock, Redactor, SystemClock};
use test_support::http::{Answer, HttpServer};

fn tls() -> rustls::ClientConfig {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

fn notice(outcome: &str) -> Notice {
    Notice {
        pipeline: "books".into(),
        run_id: "run-1".into(),
        job_id: Some("pipeline_books".into()),
        scheduled_for: chrono::DateTime::UNIX_EPOCH,
        outcome: outcome.into(),
        attempt: 1,
        error: Some("stage 1: no".into()),
        finished_at: SystemClock.now(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_successes_reach_those_that_are_named() {
    let server = HttpServer::start().await;
    // The first try of the webhook fails.
    server.on("/alert", [Answer::status(500), Answer::status(204)]);
    server.on("/beat?k=1", [Answer::text("ok")]);
    server.on("/beat/fail?k=1", [Answer::text("ok")]);
    let file = format!(
        "pipelines:\n  books:\n    on_failure: {{webhook_url: \"{}\"}}\n    heartbeat_url: \"{}\"\n    chain: [{{class: items.ItemsFetcher, kwargs: {{topic: t, items: [{{a: 1}}]}}}}]\n",
        server.url("/alert"),
        server.url("/beat?k=1"),
    );
    let registry = transforms::registry();
    let file = Loader::new(&registry).parse("pipelines.yml", file.as_bytes()).unwrap();
    let pipeline = file.get("books").unwrap();
    let notifier = Notifier::new(tls(), Redactor::new()).unwrap();
    // (outcome, hits of the webhook, of the heartbeat, of its failure)
    for outcome in ["succeeded", "cancelled", "skipped", "failed"] {
        notifier.ended(pipeline, &notice(outcome));
    }
    notifier.drain(Duration::from_secs(20)).await;
    assert_eq!((server.hits("/alert"), server.hits("/beat"), server.hits("/beat/fail")), (2, 1, 1));
    let body: serde_json::Value = serde_json::from_str(&server.requests_of("/alert")[1].text()).unwrap();
    assert_eq!(body["pipeline"], "books");
    assert_eq!(body["outcome"], "failed");
    assert_eq!(body["error"], "stage 1: no");
}
