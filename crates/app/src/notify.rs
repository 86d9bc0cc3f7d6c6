//! Who is told how a run ended, without Discord: a webhook on failure, and a heartbeat (a dead man's switch).
//!
//! Neither ever changes how a run ends, nor holds it up: notices are sent beside the runs, a bounded number at
//! a time, and what cannot be delivered after a few tries is a warning in the log.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pipeline_core::config::Pipeline;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Notices on their way at a time.
const AT_A_TIME: usize = 8;
/// Tries of one notice, with a pause that doubles.
const TRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(10);
/// Notices that wait at a time; what comes on top of that is dropped with a warning.
const WAITING: usize = 1000;

/// How a run ended, as a webhook is told.
#[derive(Debug, Clone, Serialize)]
pub struct Notice {
    /// The pipeline.
    pub pipeline: String,
    /// The run.
    pub run_id: String,
    /// The job; absent where none started the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// The nominal instant.
    pub scheduled_for: DateTime<Utc>,
    /// `succeeded`, `failed`, `timed_out`, `missed`, `abandoned`.
    pub outcome: String,
    /// The attempt, from 1; 0 for a run that never started.
    pub attempt: u32,
    /// Why, redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
}

impl Notice {
    /// Whether somebody should look. A run that was cancelled or skipped is neither failure nor success.
    fn is_failure(&self) -> bool {
        matches!(self.outcome.as_str(), "failed" | "timed_out" | "missed" | "abandoned")
    }

    fn is_success(&self) -> bool {
        self.outcome == "succeeded"
    }
}

/// Sends notices; cheap to clone.
#[derive(Clone, Debug)]
pub struct Notifier {
    client: reqwest::Client,
    places: Arc<Semaphore>,
    sending: TaskTracker,
    redactor: pipeline_core::Redactor,
}

impl Notifier {
    /// A notifier with this TLS configuration. Its warnings name no secret of the redactor.
    ///
    /// # Errors
    /// Where no HTTP client can be made of it.
    pub fn new(tls: rustls::ClientConfig, redactor: pipeline_core::Redactor) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(TIMEOUT)
            .user_agent(concat!("scraper/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            places: Arc::new(Semaphore::new(AT_A_TIME)),
            sending: TaskTracker::new(),
            redactor,
        })
    }

    /// Tells those that the pipeline names. Returns at once.
    pub fn ended(&self, pipeline: &Pipeline, notice: &Notice) {
        if let Some(url) = pipeline.on_failure.webhook_url.as_deref()
            && notice.is_failure()
        {
            match serde_json::to_string(notice) {
                Ok(body) => self.send(&notice.pipeline, "on_failure webhook", url.to_owned(), Some(body)),
                Err(error) => {
                    tracing::warn!(pipeline = notice.pipeline, "a notice cannot be written: {error}")
                }
            }
        }
        if let Some(url) = pipeline.heartbeat_url.as_deref() {
            if notice.is_success() {
                self.send(&notice.pipeline, "heartbeat", url.to_owned(), None);
            } else if notice.is_failure() {
                self.send(&notice.pipeline, "heartbeat", with_fail(url), None);
            }
        }
    }

    /// Waits until all notices have left, for no longer than this.
    pub async fn drain(&self, limit: Duration) {
        self.sending.close();
        if tokio::time::timeout(limit, self.sending.wait()).await.is_err() {
            tracing::warn!("{} notices were still on their way at the end", self.sending.len());
        }
    }

    fn send(&self, pipeline: &str, what: &'static str, url: String, body: Option<String>) {
        if self.sending.len() >= WAITING {
            tracing::warn!(pipeline, "{what}: too many notices wait, this one is dropped");
            return;
        }
        let (this, pipeline) = (self.clone(), pipeline.to_owned());
        self.sending.spawn(async move {
            // The semaphore is never closed; without a place the notice would only be early.
            let _place = this.places.acquire().await.ok();
            if let Err(error) = this.deliver(&url, body).await {
                let error = this.redactor.redact(&error).into_owned();
                tracing::warn!(pipeline, "{what}: not delivered after {TRIES} tries: {error}");
            }
        });
    }

    async fn deliver(&self, url: &str, body: Option<String>) -> Result<(), String> {
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            let request = match &body {
                Some(body) => {
                    self.client.post(url).header("content-type", "application/json").body(body.clone())
                }
                None => self.client.get(url),
            };
            // Without its URL: that is a secret more often than not.
            let error = match request.send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => format!("answered {}", answer.status()),
                Err(error) => describe(&error.without_url()),
            };
            if tries == TRIES {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            tries += 1;
            pause *= 2;
        }
    }
}

/// An error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// The heartbeat's address for a failure: `/fail` behind the path, before the query.
fn with_fail(url: &str) -> String {
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (url, String::new()),
    };
    format!("{}/fail{query}", path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fail_goes_behind_the_path() {
        let cases = [
            ("https://hc.example/abc", "https://hc.example/abc/fail"),
            ("https://hc.example/abc/", "https://hc.example/abc/fail"),
            ("https://hc.example/abc?run=1", "https://hc.example/abc/fail?run=1"),
        ];
        for (url, expected) in cases {
            assert_eq!(with_fail(url), expected);
        }
    }
}
