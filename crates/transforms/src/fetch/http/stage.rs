//! The transform: once, or for each item.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline_core::{
    BuildContext, BuildErrors, Definition, Emitter, Fetcher, Item, ItemStream, ParsedItem, Record,
    StageContext, StageError, Topic, Transform, Value, fetcher, tape,
};

use super::cache::{Cache, is_of_use};
use super::kwargs::{ForEach, HttpFetcherKwargs};
use super::links::{LinkSelector, NextPage};
use super::list::{Followed, Lists};
use super::paginate::Paginate;
use super::pump::{Cause, Pump};
use super::target::{Occasion, Target};
use crate::http::{Client, ClientOptions, ProxyUrl, Request, RetryPolicy, RunHttp};
use crate::jq::{Jq, JqVars};

/// Names that the stage itself puts into the metadata.
const OWN_METADATA: [&str; 5] = ["url", "status", "content_type", "not_modified", "page"];

/// Fetches pages, lists of pages, and what they link to; once, or for each item.
pub(crate) struct HttpFetcher {
    plan: Plan,
    each: Option<Each>,
}

/// What is fetched, and how.
struct Plan {
    target: Target,
    options: ClientOptions,
    next_page: Option<NextPage>,
    paginate: Option<Paginate>,
    follow: Option<LinkSelector>,
    max_pages: u32,
    page_delay: std::time::Duration,
    conditional: bool,
    skip_unchanged: bool,
}

/// For which items, and what is kept of them.
struct Each {
    topics: Option<Vec<Topic>>,
    keep: Vec<(String, Jq)>,
}

impl Definition for HttpFetcher {
    const CLASS: &'static str = "http.HttpFetcher";
    const SUMMARY: &'static str =
        "Fetches pages by HTTP: lists of pages, what they link to, or one request an item.";
    const EXAMPLE: &'static str = "\
class: http.HttpFetcher
kwargs:
  url: https://shop.example/page-1.html
  next_page: li.next a @href
  max_pages: 50
  rate_limit: 2/s
";

    type Kwargs = HttpFetcherKwargs;

    fn build(mut kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        let each = each(&mut kwargs, &mut errors);
        let plan = plan(kwargs, each.is_some(), &mut errors);
        errors.into_result()?;
        Ok(Box::new(Self { plan, each }))
    }
}

fn each(kwargs: &mut HttpFetcherKwargs, errors: &mut BuildErrors) -> Option<Each> {
    let topics = match std::mem::take(&mut kwargs.for_each) {
        ForEach::Off => {
            if !kwargs.keep.is_empty() {
                errors.push("keep", "`keep` needs `for_each`: without it there is no item to keep values of");
            }
            return None;
        }
        ForEach::All => None,
        ForEach::Topics(topics) if topics.is_empty() => {
            errors.push("for_each", "an empty list is for no item at all; `true` is for all");
            None
        }
        ForEach::Topics(topics) => Some(topics),
    };
    Some(Each { topics, keep: keep(&kwargs.keep, errors) })
}

fn keep(programs: &BTreeMap<String, String>, errors: &mut BuildErrors) -> Vec<(String, Jq)> {
    let mut keep = Vec::new();
    for (name, program) in programs {
        let path = format!("keep.{name}");
        if OWN_METADATA.contains(&name.as_str()) {
            errors.push(path, format!("`{name}` is set by the stage itself; choose another name"));
            continue;
        }
        match Jq::compile(program) {
            Ok(program) => keep.push((name.clone(), program)),
            Err(error) => errors.push(path, error),
        }
    }
    keep
}

fn plan(mut kwargs: HttpFetcherKwargs, templates: bool, errors: &mut BuildErrors) -> Plan {
    let target = Target::new(&mut kwargs, templates, errors);
    let next_page = kwargs.next_page.as_ref().map(NextPage::new);
    let next_page =
        next_page.and_then(|link| errors.collect(link.map_err(|error| within("next_page", error))));
    let follow = kwargs.follow.as_ref().map(LinkSelector::new);
    let follow = follow.and_then(|link| errors.collect(link.map_err(|error| within("follow", error))));
    let proxy = kwargs.proxy.as_deref().map(ProxyUrl::parse).unwrap_or(Ok(None));
    let proxy = proxy.unwrap_or_else(|error| {
        errors.push("proxy", error);
        None
    });
    if kwargs.next_page.is_some() && kwargs.paginate.is_some() {
        errors.push("paginate", "give `next_page` or `paginate`, not both");
    }
    let paginate = kwargs.paginate.and_then(|paginate| errors.collect(Paginate::new(paginate)));
    for (path, value) in [("max_pages", kwargs.max_pages), ("concurrency", kwargs.concurrency)] {
        if value == 0 {
            errors.push(path, "must be at least 1");
        }
    }
    if kwargs.concurrency > 1000 {
        errors.push("concurrency", "more than 1000 requests at a time are no use to anybody");
    }
    if kwargs.timeout.0.is_zero() {
        errors.push("timeout", "no answer comes within no time");
    }
    if kwargs.skip_unchanged && !kwargs.conditional {
        errors.push("skip_unchanged", "without `conditional` nothing is known to be unchanged");
    }
    let user_agent = kwargs.user_agent.filter(|name| !name.trim().is_empty());
    let user_agent = user_agent.unwrap_or_else(|| ClientOptions::USER_AGENT.to_owned());
    if reqwest::header::HeaderValue::from_str(&user_agent).is_err() {
        errors.push("user_agent", "it holds characters that a header cannot hold");
    }
    let options = ClientOptions {
        user_agent,
        timeout: kwargs.timeout.0,
        retry: RetryPolicy {
            max_retries: kwargs.max_retries,
            base_delay: kwargs.base_delay.0,
            max_delay: kwargs.max_delay.0,
        },
        concurrency: kwargs.concurrency as usize,
        rate: kwargs.rate_limit,
        robots: kwargs.robots,
        proxy,
        cookies: kwargs.cookies,
        max_body: kwargs.max_body,
        allow_private: kwargs.allow_private,
    };
    Plan {
        target,
        options,
        next_page,
        paginate,
        follow,
        max_pages: kwargs.max_pages,
        page_delay: kwargs.page_delay.0,
        conditional: kwargs.conditional,
        skip_unchanged: kwargs.skip_unchanged,
    }
}

/// Puts a key before the paths of problems.
fn within(key: &str, mut errors: BuildErrors) -> BuildErrors {
    for problem in &mut errors.0 {
        let dot = if problem.path.is_empty() { "" } else { "." };
        problem.path = format!("{key}{dot}{}", problem.path);
    }
    errors
}

impl Transform for HttpFetcher {
    fn connect(self: Box<Self>, input: ItemStream, ctx: StageContext) -> ItemStream {
        let Self { plan, each } = *self;
        // Before any stage runs, so that each knows which others keep something.
        let keeps = plan.conditional && is_of_use(&ctx);
        let cache = keeps.then(|| Cache::new(plan.target.identity(), &ctx));
        match each {
            None => fetcher(Once { plan, cache }).connect(input, ctx),
            Some(each) => ItemStream::generate(move |out| for_each(plan, cache, each, input, ctx, out)),
        }
    }
}

impl Plan {
    /// Opens what a run needs.
    fn open(&self, cache: Option<Cache>, ctx: &StageContext) -> Result<Pump, StageError> {
        self.target.hide_secrets(ctx);
        let lists = Lists {
            client: Client::new(self.options.clone(), ctx)?,
            cache,
            ctx: ctx.clone(),
            vars: JqVars::new(ctx),
            run: RunHttp::of(ctx),
            next_page: self.next_page.clone(),
            paginate: self.paginate.clone(),
            follow: self.follow.clone(),
            max_pages: self.max_pages,
            page_delay: self.page_delay,
            concurrency: self.options.concurrency,
        };
        Ok(Pump::new(Arc::new(lists), self.skip_unchanged))
    }
}

/// Runs once.
struct Once {
    plan: Plan,
    cache: Option<Cache>,
}

impl Fetcher for Once {
    async fn fetch(&mut self, ctx: &StageContext, out: &mut Emitter) -> Result<(), StageError> {
        let mut pump = self.plan.open(self.cache.take(), ctx)?;
        let vars = JqVars::new(ctx);
        let requests = self.plan.target.requests(&Occasion { ctx, vars: &vars, item: None });
        let mut requests = requests.map_err(StageError::fatal)?.into_iter();
        // A link that several lists name is followed once.
        let followed = Followed::default();
        let cause = Arc::new(Cause { item: None, kept: Record::new(), key: None });
        loop {
            while pump.has_room() {
                let Some(request) = requests.next() else { break };
                pump.start(request, followed.clone(), cause.clone());
            }
            if pump.is_idle() {
                return pump.finish(out).await;
            }
            let page = pump.next().await;
            pump.emit(page, out).await?;
        }
    }
}

/// Runs for each item.
async fn for_each(
    plan: Plan,
    cache: Option<Cache>,
    each: Each,
    mut input: ItemStream,
    ctx: StageContext,
    mut out: Emitter,
) -> Result<(), StageError> {
    let mut pump = plan.open(cache, &ctx)?;
    let vars = JqVars::new(&ctx);
    let mut waiting = Vec::<Item>::new().into_iter();
    let mut ended = false;
    loop {
        while pump.has_room() {
            match waiting.next() {
                Some(Item::Trigger) => {}
                Some(Item::Parsed(item)) if each.wants(&item) => {
                    start(&plan, &each, item, &vars, &ctx, &mut pump, &mut out).await?;
                }
                Some(other) => out.emit(other).await,
                None => break,
            }
        }
        if waiting.len() > 0 || (ended && !pump.is_idle()) {
            let page = pump.next().await;
            pump.emit(page, &mut out).await?;
            continue;
        }
        if ended {
            return pump.finish(&mut out).await;
        }
        tokio::select! {
            biased;
            page = pump.next() => pump.emit(page, &mut out).await?,
            batch = input.next_batch() => match batch {
                Some(batch) => {
                    let batch = batch?;
                    for error in batch.errors {
                        out.error(error).await;
                    }
                    waiting = batch.items.into_iter();
                }
                None => ended = true,
            },
        }
    }
}

impl Each {
    fn wants(&self, item: &ParsedItem) -> bool {
        self.topics.as_ref().is_none_or(|topics| topics.contains(&item.topic))
    }

    fn kept(&self, content: &Record, vars: &JqVars) -> Result<Record, String> {
        let mut kept = Record::new();
        for (name, program) in &self.keep {
            let results =
                program.run_record(content, vars).map_err(|error| format!("`keep.{name}`: {error}"))?;
            let value = match <[Value; 1]>::try_from(results) {
                Ok([value]) => value,
                Err(results) if results.is_empty() => Value::Null,
                Err(results) => Value::from(results),
            };
            kept.insert(name.as_str(), value);
        }
        Ok(kept)
    }
}

/// Starts the lists of an item.
async fn start(
    plan: &Plan,
    each: &Each,
    item: ParsedItem,
    vars: &JqVars,
    ctx: &StageContext,
    pump: &mut Pump,
    out: &mut Emitter,
) -> Result<(), StageError> {
    let requests = plan.target.requests(&Occasion { ctx, vars, item: Some(&item) });
    let made = requests.and_then(|requests| Ok((requests, each.kept(&item.content, vars)?)));
    let (requests, kept) = match made {
        Ok(made) => made,
        Err(message) => {
            out.error(StageError::item(message).with_item(item)).await;
            return Ok(());
        }
    };
    let followed = Followed::default();
    for request in requests {
        let key = key(&request);
        if let Some(recorded) = tape::play(ctx, &key)? {
            for item in recorded {
                out.emit(item).await;
            }
            continue;
        }
        let cause = Cause { item: Some(item.clone()), kept: kept.clone(), key: Some(key) };
        pump.start(request, followed.clone(), Arc::new(cause));
    }
    Ok(())
}

/// What a request is known by in a recording.
fn key(request: &Request) -> String {
    let mut key = format!("{} {}", request.method, request.url);
    if let Some(body) = &request.body {
        key.push(' ');
        key.push_str(&String::from_utf8_lossy(body));
    }
    key
}
