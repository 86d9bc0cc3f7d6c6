//! What alerts are made from.

use std::sync::Arc;

use pipeline_core::Clock;

use super::store::AlertStore;
use crate::http::{ApiBase, Secret};

/// The settings of alerts.
pub struct AlertConfig {
    /// The bot's token.
    pub token: Secret,
    /// Discord's REST interface.
    pub api_base: ApiBase,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where alerts are kept; processes that share it count together.
    pub store: Arc<dyn AlertStore>,
}
