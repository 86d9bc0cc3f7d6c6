//! The `robots.txt` of each origin, asked for once a run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use url::Url;

use super::robots::Robots;

/// Origins that are remembered; beyond, all are forgotten and asked again.
const KEPT: usize = 1000;

/// What the origins of a run allow.
#[derive(Debug, Default)]
pub(crate) struct RobotsCache(Mutex<HashMap<String, Arc<OnceCell<Robots>>>>);

impl RobotsCache {
    /// The place of an origin's rules; who comes first fills it, all others wait for that.
    pub(crate) fn of(&self, url: &Url) -> Arc<OnceCell<Robots>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = url.origin().ascii_serialization();
        if known.len() >= KEPT && !known.contains_key(&origin) {
            known.clear();
        }
        known.entry(origin).or_default().clone()
    }
}
