//! One list: its pages one after the other, and what they link to.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use pipeline_core::{Record, StageContext, StageError, Value};
use reqwest::header::{HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::cache::{Cache, Kept, can_be_kept, links_of};
use super::links::{LinkSelector, NextPage, links, next_of_header, point, whole};
use super::paginate::{Paginate, Position};
use crate::http::{Body, Client, Request, RunHttp};
use crate::jq::JqVars;

/// The largest page in which links and records are looked for.
const MAX_LOOKED_AT: u64 = 64 << 20;

/// How the lists of a stage are walked.
pub(super) struct Lists {
    pub(super) client: Client,
    pub(super) cache: Option<Cache>,
    pub(super) ctx: StageContext,
    pub(super) vars: JqVars,
    pub(super) run: Arc<RunHttp>,
    pub(super) next_page: Option<NextPage>,
    pub(super) paginate: Option<Paginate>,
    pub(super) follow: Option<LinkSelector>,
    pub(super) max_pages: u32,
    pub(super) page_delay: Duration,
    pub(super) concurrency: usize,
}

/// A page, ready to go on.
#[derive(Debug)]
pub(super) struct Page {
    /// The request that gave it.
    pub(super) request: Request,
    /// Where it came from, after redirections.
    url: Url,
    status: u16,
    content_type: Option<String>,
    link: Option<String>,
    pub(super) body: PageBody,
    pub(super) fetched_at: DateTime<Utc>,
    /// Its number in its list, from 1; details have that of the page that links to them.
    number: Option<u32>,
}

/// The body of a page.
#[derive(Debug)]
pub(super) enum PageBody {
    /// As it came.
    Fresh(Body),
    /// As it is kept: loaded when it is needed.
    Kept(Kept),
}

/// Links that have been followed.
pub(super) type Followed = Arc<Mutex<HashSet<u64>>>;

/// Where the pages of a list go. An error of `send` says that nobody wants them any more.
pub(super) type Pages = mpsc::Sender<Result<Page, StageError>>;

/// What a page says about its list.
#[derive(Default)]
struct Look {
    next: Option<Next>,
    links: Vec<Url>,
    /// The number of its records, where known.
    count: Option<u64>,
    /// The hash of a body that must not come twice.
    body: Option<u64>,
}

enum Next {
    Url(Url),
    Position(Position),
}

impl Page {
    /// What is known about it, for later stages.
    pub(super) fn metadata(&self, kept_values: &Record) -> Record {
        let mut metadata: Record = [
            ("url", Value::from(self.url.as_str())),
            ("status", Value::Int(self.status.into())),
            ("content_type", Value::from(self.content_type.as_deref())),
            ("not_modified", Value::Bool(matches!(self.body, PageBody::Kept(_)))),
        ]
        .into_iter()
        .collect();
        if let Some(number) = self.number {
            metadata.insert("page", i64::from(number));
        }
        for (name, value) in kept_values.iter() {
            metadata.insert(name, value.clone());
        }
        metadata
    }
}

impl Lists {
    /// Walks a list to its end. What goes wrong with a page ends the list.
    pub(super) async fn walk(self: Arc<Self>, start: Request, followed: Followed, out: Pages) {
        if let Err(error) = self.clone().pages(start, followed, &out).await {
            // Nobody is left to tell where the stage has been dropped.
            out.send(Err(error)).await.ok();
        }
    }

    async fn pages(
        self: Arc<Self>,
        start: Request,
        followed: Followed,
        out: &Pages,
    ) -> Result<(), StageError> {
        let is_list = self.next_page.is_some() || self.paginate.is_some();
        let mut position = self.paginate.as_ref().map(Paginate::first);
        let mut request = start.clone();
        if let (Some(paginate), Some(position)) = (&self.paginate, &position) {
            request.url = paginate.url(&start.url, position);
        }
        let mut seen = HashSet::from([hash(&request.url)]);
        let mut bodies = HashSet::new();
        let mut details = Details::new(self.clone());
        for number in 1.. {
            let mut page = self.fetch(request).await?;
            page.number = is_list.then_some(number);
            let look =
                self.look(&page, position.as_ref()).await.map_err(|error| error.at(&page.request.url))?;
            if look.body.is_some_and(|body| !bodies.insert(body)) {
                self.limited(format!("{}: the page is the same as an earlier one", page.request.url));
                break;
            }
            let here = page.request.clone();
            if self.follow.is_some() {
                for link in look.links {
                    if is_new(&followed, &link) && !details.fetch(start.get(link), page.number, out).await {
                        return Ok(());
                    }
                }
            } else if !(number > 1 && look.count == Some(0)) && out.send(Ok(page)).await.is_err() {
                return Ok(());
            }
            request = match look.next {
                None => break,
                Some(Next::Url(url)) => start.get(url),
                Some(Next::Position(next)) => {
                    let url = self.paginate.as_ref().map(|paginate| paginate.url(&start.url, &next));
                    position = Some(next);
                    Request { url: url.unwrap_or_else(|| start.url.clone()), ..start.clone() }
                }
            };
            if !seen.insert(hash(&request.url)) {
                self.limited(format!(
                    "{}: the list leads back to {}, which was seen before",
                    here.url, request.url
                ));
                break;
            }
            if number >= self.max_pages {
                self.limited(format!(
                    "{}: `max_pages` ({}) reached, and there is a further page: {}",
                    start.url, self.max_pages, request.url
                ));
                break;
            }
            if !self.page_delay.is_zero() {
                self.ctx.sleep(self.page_delay).await;
            }
        }
        details.finish(out).await;
        Ok(())
    }

    /// The list was not seen to its end.
    fn limited(&self, why: String) {
        self.ctx.warn(why.as_str());
        self.ctx.mark_incomplete(why);
    }

    /// One page: as it came, or as it is kept where it has not changed.
    pub(super) async fn fetch(&self, request: Request) -> Result<Page, StageError> {
        let cache = self.cache.as_ref().filter(|_| can_be_kept(&request));
        let kept = match cache {
            Some(cache) => cache.find(&request).await?,
            None => None,
        };
        let Some((cache, kept)) = cache.zip(kept) else { return self.fetch_fresh(request).await };
        let mut conditional = request.clone();
        let validators = [(IF_NONE_MATCH, &kept.etag), (IF_MODIFIED_SINCE, &kept.last_modified)];
        for (name, value) in validators {
            if let Some(value) = value.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
                conditional.headers.insert(name, value);
            }
        }
        let answer = self.client.send(&conditional).await.inspect_err(|_| self.run.saw_fresh())?;
        if answer.status != 304 {
            return self.fresh(request, answer).await;
        }
        cache.stays(&kept).await?;
        let url = Url::parse(&kept.url).unwrap_or(answer.url);
        Ok(Page {
            url,
            status: kept.status,
            content_type: kept.content_type.clone(),
            link: kept.link.clone(),
            body: PageBody::Kept(kept),
            fetched_at: self.ctx.now(),
            number: None,
            request,
        })
    }

    /// One page, whether it has changed or not.
    pub(super) async fn fetch_fresh(&self, request: Request) -> Result<Page, StageError> {
        let answer = self.client.send(&request).await.inspect_err(|_| self.run.saw_fresh())?;
        if answer.status == 304 {
            let message = "HTTP 304 Not Modified, though nothing was kept to be unchanged";
            return Err(StageError::item(message).at(&request.url));
        }
        self.fresh(request, answer).await
    }

    async fn fresh(&self, request: Request, answer: crate::http::Answer) -> Result<Page, StageError> {
        self.run.saw_fresh();
        if let Some(cache) = self.cache.as_ref().filter(|_| can_be_kept(&request)) {
            cache.keep(&request, &answer).await?;
        }
        Ok(Page {
            status: answer.status,
            content_type: answer.content_type().map(str::to_owned),
            link: links_of(&answer.headers),
            url: answer.url,
            body: PageBody::Fresh(answer.body),
            fetched_at: self.ctx.now(),
            number: None,
            request,
        })
    }

    /// The body of a page that is kept.
    pub(super) async fn load(&self, kept: &Kept, request: &Request) -> Result<Body, StageError> {
        if let Some(cache) = &self.cache
            && let Some(body) = cache.body(kept, self.client.spool()).await?
        {
            return Ok(body);
        }
        // What was kept is damaged: the server still has it.
        let page = self.fetch_fresh(request.clone()).await?;
        match page.body {
            PageBody::Fresh(body) => Ok(body),
            PageBody::Kept(_) => Err(StageError::item("the kept answer is damaged").at(&request.url)),
        }
    }

    /// Reads what a page says about its list.
    async fn look(&self, page: &Page, position: Option<&Position>) -> Result<Look, StageError> {
        if let (Some(NextPage::Header), None) = (&self.next_page, &self.follow) {
            let next = page.link.as_deref().and_then(next_of_header).and_then(|link| whole(link, &page.url));
            return Ok(Look { next: next.map(Next::Url), ..Look::default() });
        }
        if self.next_page.is_none() && self.paginate.is_none() && self.follow.is_none() {
            return Ok(Look::default());
        }
        let loaded;
        let body = match &page.body {
            PageBody::Fresh(body) => body,
            PageBody::Kept(kept) => {
                loaded = self.load(kept, &page.request).await?;
                &loaded
            }
        };
        if body.len() > MAX_LOOKED_AT {
            return Err(StageError::item("the page is too large to look for links in it"));
        }
        let bytes = match body {
            Body::Bytes(bytes) => bytes.clone(),
            Body::Spooled(file, _) => tokio::fs::read(file.path())
                .await
                .map(Bytes::from)
                .map_err(|error| StageError::fatal("a large answer cannot be read again").caused_by(error))?,
        };
        let looking = Looking {
            bytes,
            url: page.url.clone(),
            content_type: page.content_type.clone(),
            link: page.link.clone(),
            next_page: self.next_page.clone(),
            paginate: self.paginate.clone().zip(position.cloned()),
            follow: self.follow.clone(),
            vars: self.vars.with_meta(&page.metadata(&Record::new())),
        };
        match tokio::task::spawn_blocking(move || looking.look()).await {
            Ok(look) => look.map_err(StageError::item),
            Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
            Err(_) => Err(StageError::fatal("the runtime is shutting down")),
        }
    }
}

/// Reads a page on a thread for computing.
struct Looking {
    bytes: Bytes,
    url: Url,
    content_type: Option<String>,
    link: Option<String>,
    next_page: Option<NextPage>,
    paginate: Option<(Paginate, Position)>,
    follow: Option<LinkSelector>,
    vars: JqVars,
}

impl Looking {
    fn look(&self) -> Result<Look, String> {
        let mut look = Look::default();
        let by_css = match &self.next_page {
            Some(NextPage::Css(selector)) => Some(selector),
            _ => None,
        };
        let selectors: Vec<&LinkSelector> = self.follow.iter().chain(by_css).collect();
        if !selectors.is_empty() {
            let content_type = self.content_type.as_deref();
            let mut found = links(&self.bytes, content_type, &self.url, &selectors)?.into_iter();
            if self.follow.is_some() {
                look.links = found.next().unwrap_or_default();
            }
            look.next = found.next().and_then(|next| next.into_iter().next()).map(Next::Url);
        }
        match &self.next_page {
            Some(NextPage::Pointer(pointer)) => look.next = self.next_by_pointer(pointer)?.map(Next::Url),
            Some(NextPage::Header) => {
                let next = self.link.as_deref().and_then(next_of_header);
                look.next = next.and_then(|link| whole(link, &self.url)).map(Next::Url);
            }
            _ => {}
        }
        if let Some((paginate, position)) = &self.paginate {
            let links = paginate.counts_links(self.follow.is_some()).then_some(look.links.len() as u64);
            // Where links are the records, the page need not be JSON.
            let value =
                if links.is_some() && paginate.reads_links_only() { Value::Null } else { self.json()? };
            let turn = paginate.turn(position, &value, links, &self.vars)?;
            look.count = turn.count;
            look.next = turn.next.map(Next::Position);
            // Two empty pages are alike without any circle.
            look.body = (turn.count != Some(0)).then(|| hash(&self.bytes[..]));
        }
        Ok(look)
    }

    fn json(&self) -> Result<Value, String> {
        serde_json::from_slice(&self.bytes).map_err(|error| format!("the page is not JSON: {error}"))
    }

    fn next_by_pointer(&self, pointer: &[String]) -> Result<Option<Url>, String> {
        match point(&self.json()?, pointer) {
            None | Some(Value::Null | Value::Bool(false)) => Ok(None),
            Some(Value::Text(text)) if text.trim().is_empty() => Ok(None),
            Some(Value::Text(text)) => match whole(text, &self.url) {
                Some(url) => Ok(Some(url)),
                None => Err(format!("`next_page` leads to `{text}`, which is no URL")),
            },
            Some(other) => Err(format!("`next_page` leads to {}, which is no URL", other.type_name())),
        }
    }
}

/// Notes a link; returns false where it was followed before.
fn is_new(followed: &Followed, link: &Url) -> bool {
    followed.lock().unwrap_or_else(PoisonError::into_inner).insert(hash(link))
}

fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Details that are being fetched, in the order of their links.
struct Details {
    lists: Arc<Lists>,
    running: VecDeque<AbortOnDropHandle<Result<Page, StageError>>>,
}

impl Details {
    fn new(lists: Arc<Lists>) -> Self {
        Self { lists, running: VecDeque::new() }
    }

    /// Starts one more, and hands on the earliest where enough are running. Returns false when nobody wants them.
    async fn fetch(&mut self, request: Request, number: Option<u32>, out: &Pages) -> bool {
        let lists = self.lists.clone();
        let fetch = async move { lists.fetch(request).await.map(|page| Page { number, ..page }) };
        self.running.push_back(AbortOnDropHandle::new(tokio::spawn(fetch)));
        self.running.len() < self.lists.concurrency * 2 || self.hand_on(out).await
    }

    async fn finish(mut self, out: &Pages) {
        while !self.running.is_empty() && self.hand_on(out).await {}
    }

    async fn hand_on(&mut self, out: &Pages) -> bool {
        let Some(first) = self.running.pop_front() else { return true };
        let page = match first.await {
            Ok(page) => page,
            Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
            Err(_) => Err(StageError::fatal("the runtime is shutting down")),
        };
        out.send(page).await.is_ok()
    }
}
