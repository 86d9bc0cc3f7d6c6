//! Recording what fetchers got, and playing it back without asking the world again.

use std::sync::Arc;

use crate::context::StageContext;
use crate::error::StageError;
use crate::item::Item;

/// A record of what the fetchers of a run got, or its playback.
///
/// Handed to a run as the service [`TapeDeck`]. An entry is known by its stage and a key: empty for a fetcher
/// that runs once, the request for one that runs for each item.
pub trait Tape: Send + Sync {
    /// Whether it plays back; otherwise it records.
    fn is_playback(&self) -> bool;

    /// Records one item that a fetcher got, and gives it back: its payload may have been read and stored.
    ///
    /// # Errors
    /// Where it cannot be stored.
    fn record(&self, ctx: &StageContext, key: &str, item: Item) -> Result<Item, StageError>;

    /// What was recorded for this stage and key, in order.
    ///
    /// # Errors
    /// Where nothing was recorded for it, or it cannot be read.
    fn play(&self, ctx: &StageContext, key: &str) -> Result<Vec<Item>, StageError>;
}

/// The service under which a run finds its [`Tape`].
#[derive(Clone)]
pub struct TapeDeck(pub Arc<dyn Tape>);

impl std::fmt::Debug for TapeDeck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TapeDeck").field("playback", &self.0.is_playback()).finish()
    }
}

/// What was recorded for this stage and key, where the run plays back: emit that instead of fetching.
///
/// # Errors
/// Where nothing was recorded for it, or it cannot be read.
pub fn play(ctx: &StageContext, key: &str) -> Result<Option<Vec<Item>>, StageError> {
    match ctx.service::<TapeDeck>() {
        Some(deck) if deck.0.is_playback() => deck.0.play(ctx, key).map(Some),
        _ => Ok(None),
    }
}

/// Records an item that a fetcher got, where the run records; call it before the item is emitted.
///
/// # Errors
/// Where it cannot be stored.
pub fn record(ctx: &StageContext, key: &str, item: Item) -> Result<Item, StageError> {
    match ctx.service::<TapeDeck>() {
        Some(deck) if !deck.0.is_playback() => deck.0.record(ctx, key, item),
        _ => Ok(item),
    }
}

/// What an [`crate::Emitter`] does to each item on its way out.
pub(crate) type Tap = Box<dyn Fn(Item) -> Result<Item, StageError> + Send + Sync>;

/// A tap that records all that passes, where the run records.
pub(crate) fn tap(ctx: &StageContext) -> Option<Tap> {
    let deck = ctx.service::<TapeDeck>().filter(|deck| !deck.0.is_playback())?;
    let ctx = ctx.clone();
    Some(Box::new(move |item| deck.0.record(&ctx, "", item)))
}
