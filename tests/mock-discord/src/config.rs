//! What a mock is like from its start.

use std::time::Duration;

/// The settings of a mock; the defaults are Discord's own.
#[derive(Debug, Clone)]
pub struct MockConfig {
    /// The bot token that is valid, without `Bot `.
    pub token: String,
    /// The application's id.
    pub application_id: u64,
    /// Port of the REST listener; 0 takes a free one.
    pub rest_port: u16,
    /// Port of the gateway listener; 0 takes a free one.
    pub gateway_port: u16,
    /// How long after its dispatch an interaction can be acknowledged.
    pub acknowledge_within: Duration,
    /// How long after its dispatch an interaction's token can be used.
    pub token_lifetime: Duration,
    /// Status and code that an ended token is answered with.
    pub ended_token: (u16, u64),
    /// Messages a channel takes in a period.
    pub channel_limit: Option<(u32, Duration)>,
    /// Messages a webhook takes in a period.
    pub webhook_limit: Option<(u32, Duration)>,
    /// Requests of the bot in a second.
    pub global_limit: Option<u32>,
    /// Channels that exist; `None`: every channel does.
    pub channels: Option<Vec<u64>>,
    /// Webhooks that exist, as (id, token); `None`: every webhook does.
    pub webhooks: Option<Vec<(u64, String)>>,
    /// How long a nonce is remembered.
    pub nonce_memory: Duration,
}

impl Default for MockConfig {
    fn default() -> Self {
        Self {
            token: "mock-token".into(),
            application_id: 9,
            rest_port: 0,
            gateway_port: 0,
            acknowledge_within: Duration::from_secs(3),
            token_lifetime: Duration::from_secs(15 * 60),
            ended_token: (401, 50027),
            channel_limit: Some((5, Duration::from_secs(5))),
            webhook_limit: Some((5, Duration::from_secs(2))),
            global_limit: Some(50),
            channels: None,
            webhooks: None,
            nonce_memory: Duration::from_secs(300),
        }
    }
}
