//! Who is told how a run ended.

use std::time::Duration;

use pipeline_core::config::Pipeline;

use crate::discord::Sending;
use crate::notify::{Notice, Notifier};

/// How long the last notices and messages may take to leave.
const LAST: Duration = Duration::from_secs(15);

/// Webhooks, heartbeats and Discord, as far as the pipelines name them. A dry run tells nobody.
#[derive(Default)]
pub(super) struct Tellers {
    pub(super) notifier: Option<Notifier>,
    pub(super) discord: Option<Sending>,
}

impl Tellers {
    pub(super) fn is_needed(&self) -> bool {
        self.notifier.is_some() || self.discord.is_some()
    }

    pub(super) fn ended(&self, pipeline: &Pipeline, notice: &Notice) {
        if let Some(notifier) = &self.notifier {
            notifier.ended(pipeline, notice);
        }
        if let Some(discord) = &self.discord {
            discord.ended(pipeline, notice);
        }
    }

    /// Waits until the last have left, within a bound.
    pub(super) async fn drain(self) {
        let notices = async {
            if let Some(notifier) = self.notifier {
                notifier.drain(LAST).await;
            }
        };
        let messages = async {
            if let Some(discord) = self.discord {
                discord.drain(LAST).await;
            }
        };
        tokio::join!(notices, messages);
    }
}
