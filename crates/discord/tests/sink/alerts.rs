//! Alerts of failing pipelines.

use std::sync::Arc;
use std::time::Duration;

use discord::alert::{
    AlertConfig, AlertKind, AlertStore, Alerts, FileAlertStore, MemoryAlertStore, RunNotice,
};
use mock_discord::{Fault, Message, MockConfig, MockDiscord, Rule};
use pipeline_core::SystemClock;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::LONG;

fn notice(kind: AlertKind, error: &str, at: i64) -> RunNotice {
    RunNotice {
        pipeline: "books".into(),
        run_id: format!("run-{at}"),
        kind,
        error: Some(error.to_owned()),
        at: chrono::DateTime::from_timestamp(at, 0).unwrap(),
    }
}

fn alerts(mock: &MockDiscord, folder: &std::path::Path) -> Alerts {
    alerts_in(mock, Arc::new(FileAlertStore::new(folder.join("state/alerts.json"))))
}

fn alerts_in(mock: &MockDiscord, store: Arc<dyn AlertStore>) -> Alerts {
    let config = AlertConfig {
        token: "mock-token".into(),
        api_base: mock.api_base().parse().unwrap(),
        clock: Arc::new(SystemClock),
        store,
    };
    Alerts::new(config).unwrap()
}

async fn shows(mock: &MockDiscord, count: usize, text: &str) -> Vec<Message> {
    let wanted = |m: &[Message]| (m.len() == count && m[count - 1].text().contains(text)).then(|| m.to_vec());
    match mock.messages_until(LONG, wanted).await {
        Some(messages) => messages,
        None => panic!("never {count} messages with {text:?}: {:?}", mock.messages()),
    }
}

#[tokio::test]
async fn a_failure_is_counted_and_its_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mock = MockDiscord::start(MockConfig::default()).await.unwrap();
    let first = alerts(&mock, folder.path());
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (alerts, stop) = (first.clone(), stop.clone());
        async move { alerts.run(stop).await }
    });
    first.notify(7, notice(AlertKind::Failed, "page 1 ```is``` gone @everyone", 1));
    let messages = shows(&mock, 1, "failed").await;
    assert_eq!((messages[0].channel, &messages[0].body["allowed_mentions"]), (7, &json!({"parse": []})));
    assert_eq!(messages[0].text().matches("```").count(), 2);
    first.notify(7, notice(AlertKind::Failed, "page 2 ```is``` gone @everyone", 2));
    stop.cancel();
    running.await.unwrap();
    // Over a restart the counter goes on, on the same message.
    let second = alerts(&mock, folder.path());
    second.notify(8, notice(AlertKind::Succeeded, "", 3));
    assert!(second.drain(LONG).await);
    assert!(mock.messages()[0].text().contains("×2"), "{:?}", mock.messages());
    second.notify(7, notice(AlertKind::Succeeded, "", 4));
    assert!(second.drain(LONG).await);
    let messages = shows(&mock, 2, "works again").await;
    assert!(messages[1].text().contains("2 times"), "{}", messages[1].text());
    second.notify(7, notice(AlertKind::Succeeded, "", 5));
    assert!(second.drain(LONG).await && second.is_quiet());
    assert_eq!(mock.messages().len(), 2);
}

#[tokio::test]
async fn trouble_delays_alerts_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let mock = MockDiscord::start(MockConfig::default()).await.unwrap();
    mock.fault(Rule::on("POST", "/channels/**", Fault::ResetAfter).times(1));
    let alerts = alerts(&mock, folder.path());
    alerts.notify(7, notice(AlertKind::Missed(3), "", 1));
    alerts.notify(7, notice(AlertKind::Missed(4), "", 2));
    assert!(alerts.drain(LONG).await);
    let messages = shows(&mock, 1, "missed 7 fires").await;
    // Somebody deletes the message: the next failure is told anew.
    mock.fault(
        Rule::on("PATCH", "**", Fault::Status(404, json!({"code": 10008, "message": "Unknown Message"})))
            .times(1),
    );
    alerts.notify(7, notice(AlertKind::Missed(1), "", 3));
    alerts.notify(7, notice(AlertKind::Succeeded, "", 4));
    assert!(alerts.drain(LONG).await);
    assert_eq!(mock.messages().len(), messages.len() + 2, "{:?}", mock.messages());
    // A channel that is gone costs one request for each new failure, and holds up no other.
    mock.fault(Rule::on(
        "POST",
        "/channels/9/messages",
        Fault::Status(403, json!({"code": 50001, "message": "Missing Access"})),
    ));
    alerts.notify(9, notice(AlertKind::Failed, "x", 5));
    alerts.notify(7, notice(AlertKind::TimedOut, "x", 5));
    assert!(alerts.drain(LONG).await);
    assert_eq!(mock.count("POST", "/channels/9/messages"), 1);
    assert!(mock.messages().iter().any(|m| m.text().contains("timed out")));
    mock.fault(Rule::on("POST", "**", Fault::Hang));
    alerts.notify(7, notice(AlertKind::Failed, "another", 6));
    assert!(!alerts.drain(Duration::from_millis(300)).await);
}

/// Starts to tell, until the token is cancelled.
fn telling(alerts: &Alerts) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let stop = CancellationToken::new();
    let (alerts, until) = (alerts.clone(), stop.clone());
    (stop, tokio::spawn(async move { alerts.run(until).await }))
}

#[tokio::test]
async fn processes_count_together_and_one_of_them_tells() {
    let mock = MockDiscord::start(MockConfig::default()).await.unwrap();
    let store = Arc::new(MemoryAlertStore::default());
    let all: Vec<Alerts> = (0..3).map(|_| alerts_in(&mock, store.clone())).collect();
    let running: Vec<_> = all.iter().map(telling).collect();
    for at in 0..30 {
        all[at % 3].notify(7, notice(AlertKind::Failed, "page is gone", i64::try_from(at).unwrap()));
    }
    let messages = shows(&mock, 1, "×30").await;
    assert!(messages[0].text().contains("failed"), "{messages:?}");
    // Whoever sees the success tells of it, for all.
    all[1].notify(7, notice(AlertKind::Succeeded, "", 31));
    let messages = shows(&mock, 2, "works again").await;
    assert!(messages[1].text().contains("30 times"), "{messages:?}");
    for alerts in &all {
        alerts.notify(7, notice(AlertKind::Succeeded, "", 32));
    }
    for (stop, running) in running {
        stop.cancel();
        running.await.unwrap();
    }
    assert_eq!(mock.messages().len(), 2, "{:?}", mock.messages());
    assert!(store.load().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_one_process_left_untold_another_one_tells() {
    let mock = MockDiscord::start(MockConfig::default()).await.unwrap();
    let store = Arc::new(MemoryAlertStore::default());
    let first = alerts_in(&mock, store.clone());
    mock.fault(Rule::on("POST", "**", Fault::Hang));
    let (stop, running) = telling(&first);
    first.notify(7, notice(AlertKind::Failed, "x", 1));
    let asked = |log: &[mock_discord::Captured]| (!log.is_empty()).then_some(());
    mock.requests_until(LONG, asked).await.unwrap();
    stop.cancel();
    running.await.unwrap();
    mock.heal();
    let second = alerts_in(&mock, store);
    assert!(second.drain(LONG).await);
    shows(&mock, 1, "failed").await;
}

#[tokio::test]
async fn a_process_that_only_sees_the_success_tells_of_it() {
    let mock = MockDiscord::start(MockConfig::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let first = alerts(&mock, folder.path());
    first.notify(7, notice(AlertKind::Failed, "x", 1));
    assert!(!first.is_quiet() && first.drain(LONG).await && first.is_quiet());
    let second = alerts(&mock, folder.path());
    second.notify(7, notice(AlertKind::Succeeded, "", 2));
    assert!(!second.is_quiet(), "it cannot know yet whether that is news");
    assert!(second.drain(LONG).await);
    shows(&mock, 2, "works again").await;
}
