//! What is kept between runs of each answer that can be asked for conditionally: its validators and its body.
//!
//! All HTTP stages of a chain keep theirs in one state, each under a prefix of its own, so that a stage can
//! drop what the pages of this run no longer name. Bodies lie in pieces, so that none is in memory whole.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use pipeline_core::{RunContext, StageContext, StageError, StageState, StateWrite};
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, LAST_MODIFIED, LINK};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex as AsyncMutex, OnceCell};

use crate::http::{Answer, Body, BodyWriter, Request, Spool};

/// The name of the state.
const STATE: &str = "http";

/// A piece of a body.
const PIECE: usize = 512 << 10;

/// Rows that are read at a time to be dropped; each may be a piece.
const DROPPED_AT_A_TIME: usize = 8;

/// Bodies above this size are fetched anew each time.
const MAX_KEPT: u64 = 256 << 20;

const VALIDATORS: u8 = b'v';
const BODY: u8 = b'b';

/// The part of a key that belongs to one stage.
pub(super) type Prefix = [u8; 8];

/// What an answer was, and by what its server knows it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The request: a key is only its hash.
    request: String,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    /// Where it came from, after redirections.
    pub(super) url: String,
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    pub(super) link: Option<String>,
    length: u64,
}

/// The shared state, and which prefixes the chain's stages have.
#[derive(Default)]
struct Shared {
    state: OnceCell<AsyncMutex<Box<dyn StageState>>>,
    prefixes: Mutex<BTreeSet<Prefix>>,
}

/// The answers that one stage keeps.
pub(super) struct Cache {
    shared: Arc<Shared>,
    ctx: StageContext,
    prefix: Prefix,
}

impl Cache {
    /// For the stage that makes these requests. Called when the chain is connected, before any stage runs.
    /// Stages that make the same ones, and may follow different links of the answers, are told apart by
    /// their order.
    pub(super) fn new(identity: u64, ctx: &StageContext) -> Self {
        let shared = ctx.resource(Shared::default);
        let mut prefixes = shared.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut twins = 0_u32;
        let prefix = loop {
            let prefix = stable_hash(&(identity, twins)).to_be_bytes();
            if prefixes.insert(prefix) {
                break prefix;
            }
            twins += 1;
        };
        drop(prefixes);
        Self { shared, ctx: ctx.clone(), prefix }
    }

    async fn state(&self) -> Result<tokio::sync::MutexGuard<'_, Box<dyn StageState>>, StageError> {
        let open = async { self.ctx.state(STATE).await.map(AsyncMutex::new) };
        let state = self.shared.state.get_or_try_init(|| open).await;
        Ok(state.map_err(StageError::into_fatal)?.lock().await)
    }

    /// What is kept of the answer to a request.
    pub(super) async fn find(&self, request: &Request) -> Result<Option<Kept>, StageError> {
        let text = describe(request);
        let value = self.state().await?.get_many(&[self.key(VALIDATORS, &text, None)]).await?.pop().flatten();
        // What an older or a damaged file holds is asked for anew.
        let kept: Option<Kept> = value.and_then(|value| serde_json::from_slice(&value).ok());
        Ok(kept.filter(|kept| kept.request == text))
    }

    /// Keeps an answer, where its server gave it a validator.
    pub(super) async fn keep(&self, request: &Request, answer: &Answer) -> Result<(), StageError> {
        let kept = Kept {
            request: describe(request),
            etag: answer.header(&ETAG).map(str::to_owned),
            last_modified: answer.header(&LAST_MODIFIED).map(str::to_owned),
            url: answer.url.to_string(),
            status: answer.status,
            content_type: answer.header(&CONTENT_TYPE).map(str::to_owned),
            link: links_of(&answer.headers),
            length: answer.body.len(),
        };
        let has_validator = kept.etag.is_some() || kept.last_modified.is_some();
        let may_be_kept = !forbids_keeping(&answer.headers) && kept.length <= MAX_KEPT;
        if !has_validator || !may_be_kept || !self.ctx.keeps_state() {
            return Ok(());
        }
        match &answer.body {
            Body::Bytes(bytes) => {
                for (number, start) in (0..bytes.len()).step_by(PIECE).enumerate() {
                    let piece = bytes.slice(start..bytes.len().min(start + PIECE));
                    self.put(self.key(BODY, &kept.request, Some(number)), piece).await?;
                }
            }
            Body::Spooled(file, _) => self.keep_file(file.path(), &kept).await?,
        }
        let value = serde_json::to_vec(&kept)
            .map_err(|error| StageError::fatal("validators cannot be kept").caused_by(error))?;
        self.put(self.key(VALIDATORS, &kept.request, None), value.into()).await
    }

    async fn keep_file(&self, path: &std::path::Path, kept: &Kept) -> Result<(), StageError> {
        use tokio::io::AsyncReadExt;
        let unreadable = |error: std::io::Error| {
            StageError::fatal("a large answer cannot be read again").at(path.display()).caused_by(error)
        };
        let mut file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        for number in 0.. {
            let mut piece = Vec::with_capacity(PIECE);
            (&mut file).take(PIECE as u64).read_to_end(&mut piece).await.map_err(unreadable)?;
            if piece.is_empty() {
                break;
            }
            self.put(self.key(BODY, &kept.request, Some(number)), piece.into()).await?;
        }
        Ok(())
    }

    async fn put(&self, key: Bytes, value: Bytes) -> Result<(), StageError> {
        self.state().await?.write(vec![StateWrite::Put(key, value)]).await
    }

    /// The answer is still what is kept: it stays.
    pub(super) async fn stays(&self, kept: &Kept) -> Result<(), StageError> {
        if !self.ctx.keeps_state() {
            return Ok(());
        }
        let mut touched = vec![StateWrite::Touch(self.key(VALIDATORS, &kept.request, None))];
        for number in 0..pieces(kept.length) {
            touched.push(StateWrite::Touch(self.key(BODY, &kept.request, Some(number))));
        }
        self.state().await?.write(touched).await
    }

    /// The kept body; `None` where it is damaged.
    pub(super) async fn body(&self, kept: &Kept, spool: &Spool) -> Result<Option<Body>, StageError> {
        let mut writer = BodyWriter::new(spool, kept.length, self.ctx.now());
        let unwritable = |error: std::io::Error| {
            StageError::fatal("a kept answer cannot be written aside").caused_by(error)
        };
        for number in 0..pieces(kept.length) {
            let key = self.key(BODY, &kept.request, Some(number));
            let piece = self.state().await?.get_many(&[key]).await?.pop().flatten();
            let Some(piece) = piece else { return Ok(None) };
            writer.write(&piece).await.map_err(unwritable)?;
        }
        let body = writer.finish().await.map_err(unwritable)?;
        Ok((body.len() == kept.length).then_some(body))
    }

    /// Drops what this run did not ask for, and what stages left behind that are no longer in the chain.
    pub(super) async fn sweep(&self) -> Result<(), StageError> {
        if !self.ctx.keeps_state() {
            return Ok(());
        }
        let present = self.shared.prefixes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut state = self.state().await?;
        let mut after: Option<Bytes> = None;
        loop {
            let rows = state.untouched(&[], after.take(), DROPPED_AT_A_TIME).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = Some(last.clone());
            let dropped = rows.into_iter().map(|(key, _)| key).filter(|key| {
                key.starts_with(&self.prefix) || !present.iter().any(|prefix| key.starts_with(prefix))
            });
            state.write(dropped.map(StateWrite::Delete).collect()).await?;
        }
    }

    fn key(&self, kind: u8, request: &str, piece: Option<usize>) -> Bytes {
        let mut key = self.prefix.to_vec();
        key.push(kind);
        key.extend(stable_hash(&request).to_be_bytes());
        if let Some(piece) = piece {
            key.extend(u32::try_from(piece).unwrap_or(u32::MAX).to_be_bytes());
        }
        key.into()
    }
}

fn pieces(length: u64) -> usize {
    usize::try_from(length.div_ceil(PIECE as u64)).unwrap_or(0)
}

/// A hash that stays the same from run to run. Where another build computes it otherwise, all is fetched anew.
pub(super) fn stable_hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// All that the answer may depend on. Secrets are only hashed.
fn describe(request: &Request) -> String {
    let mut headers: Vec<(&str, &[u8])> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    headers.sort_unstable();
    format!("{} {} {:016x}", request.method, request.url, stable_hash(&headers))
}

/// The `Link` headers as one.
pub(super) fn links_of(headers: &HeaderMap) -> Option<String> {
    let links: Vec<&str> = headers.get_all(LINK).iter().filter_map(|link| link.to_str().ok()).collect();
    (!links.is_empty()).then(|| links.join(", "))
}

fn forbids_keeping(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case("no-store"))
}

/// Whether the answer to a request can be kept at all.
pub(super) fn can_be_kept(request: &Request) -> bool {
    use reqwest::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE};
    let by_hand = [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE];
    request.method == reqwest::Method::GET
        && request.body.is_none()
        && !by_hand.iter().any(|name| request.headers.contains_key(name))
}

/// Whether any run could find again what is kept now.
pub(super) fn is_of_use(run: &RunContext) -> bool {
    run.keeps_state() || run.is_dry_run()
}
