//! `http.WebhookSink`: tells somebody by HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pipeline_core::{
    Batch, BuildContext, BuildErrors, CommitPhase, Definition, Emitter, HumanDuration, Item, ItemStream,
    ParsedItem, Participant, StageContext, StageError, Topic, Transform,
};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::request::{is_secret, parse_headers, parse_url};
use super::{ByteSize, Client, ClientOptions, Request, RetryPolicy};
use crate::keep::{Spool, begin_frame, end_frame};
use crate::output;
use crate::template::{Scope, Template};
use crate::topics::Topics;

/// What `http.WebhookSink` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookSinkKwargs {
    /// Where the items are posted to.
    #[schemars(extend("x-secret" = true))]
    url: String,
    /// Further headers.
    #[serde(default)]
    #[schemars(extend("x-secret" = "by-name"))]
    headers: BTreeMap<String, String>,
    /// The body, a template over the item: `{"text": "{{ content.title }} costs {{ content.price }}"}` (default:
    /// the item as `{"topic", "content", "discovered_at"}`). Where it looks like a JSON document, texts are
    /// escaped within its quotes.
    template: Option<String>,
    /// Items in one request. With more than one the body is an array (of texts that are no JSON: lines).
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    batch: usize,
    /// When they are sent.
    #[serde(default)]
    when: When,
    /// The topics to send (default: all).
    topics: Option<Vec<Topic>>,
    /// How long one request may take.
    #[serde(default = "timeout")]
    timeout: HumanDuration,
    /// How often a request is repeated after the first time.
    #[serde(default = "max_retries")]
    max_retries: u32,
    /// The delay before the first repetition; it doubles with each.
    #[serde(default = "base_delay")]
    base_delay: HumanDuration,
    /// The longest delay; a `Retry-After` is obeyed up to ten times of it.
    #[serde(default = "max_delay")]
    max_delay: HumanDuration,
}

fn one() -> usize {
    1
}
fn timeout() -> HumanDuration {
    HumanDuration::from_secs(30)
}
fn max_retries() -> u32 {
    5
}
fn base_delay() -> HumanDuration {
    HumanDuration::from_secs(1)
}
fn max_delay() -> HumanDuration {
    HumanDuration::from_secs(60)
}

/// When a message is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum When {
    /// With the run's success: a run that fails and is tried again tells its news once. Where the receiver does
    /// not take them, the run fails.
    #[default]
    Success,
    /// As the items come. An item that the receiver does not take is an error of that item.
    Immediately,
}

/// Posts items to a URL.
pub(crate) struct WebhookSink {
    url: Url,
    headers: HeaderMap,
    template: Option<Template>,
    batch: usize,
    when: When,
    topics: Topics,
    timeout: Duration,
    retry: RetryPolicy,
}

impl Definition for WebhookSink {
    const CLASS: &'static str = "http.WebhookSink";
    const SUMMARY: &'static str = "Posts each item, or batches of them, to a URL.";
    const EXAMPLE: &'static str = "\
class: http.WebhookSink
kwargs:
  url: https://alerts.example/hook
  topics: [shop.book.diff]
  template: '{\"text\": \"{{ content.title }} is {{ content.change }}\"}'
";

    type Kwargs = WebhookSinkKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        let url = parse_url(&kwargs.url).map_err(|error| errors.push("url", error)).ok();
        let headers = parse_headers(&kwargs.headers).unwrap_or_else(|wrong| {
            for (name, message) in wrong {
                errors.push(format!("headers.{name}"), message);
            }
            HeaderMap::new()
        });
        let template = kwargs.template.as_deref().map(Template::body).transpose();
        let template = template.map_err(|error| errors.push("template", error)).ok().flatten();
        let topics = errors.collect(Topics::new(kwargs.topics));
        if kwargs.batch == 0 {
            errors.push("batch", "must be at least 1");
        }
        if kwargs.timeout.0.is_zero() {
            errors.push("timeout", "no answer comes within no time");
        }
        let (Some(url), Some(topics), true) = (url, topics, errors.0.is_empty()) else { return Err(errors) };
        let retry = RetryPolicy {
            max_retries: kwargs.max_retries,
            base_delay: kwargs.base_delay.0,
            max_delay: kwargs.max_delay.0,
        };
        let (batch, when, timeout) = (kwargs.batch, kwargs.when, kwargs.timeout.0);
        Ok(Box::new(Self { url, headers, template, batch, when, topics, timeout, retry }))
    }
}

impl Transform for WebhookSink {
    fn connect(self: Box<Self>, input: ItemStream, ctx: StageContext) -> ItemStream {
        ItemStream::generate(move |out| async move {
            ctx.redactor().add(self.url.as_str());
            for (name, value) in &self.headers {
                if is_secret(name) {
                    ctx.redactor().add(value.to_str().unwrap_or_default());
                }
            }
            match self.when {
                _ if ctx.is_dry_run() => self.show(input, &ctx, out).await,
                When::Immediately => self.send_as_they_come(input, &ctx, out).await,
                When::Success => self.send_at_the_end(input, &ctx, out).await,
            }
        })
    }
}

impl WebhookSink {
    fn wants(&self, item: &Item) -> bool {
        matches!(item, Item::Parsed(item) if self.topics.contain(&item.topic))
    }

    fn deliverer(&self, ctx: &StageContext) -> Result<Deliverer, StageError> {
        let options = ClientOptions {
            user_agent: ClientOptions::USER_AGENT.to_owned(),
            timeout: self.timeout,
            retry: self.retry,
            concurrency: 1,
            rate: None,
            robots: false,
            proxy: None,
            cookies: false,
            max_body: ByteSize(u64::MAX),
            allow_private: true,
        };
        Ok(Deliverer {
            client: Client::new(options, ctx)?,
            request: Request::new(Method::POST, self.url.clone(), self.headers.clone(), None),
            origin: self.url.origin().ascii_serialization(),
        })
    }

    /// The part of a body that is one item.
    fn part(&self, item: &ParsedItem, ctx: &StageContext) -> Result<String, StageError> {
        match &self.template {
            Some(template) => template.render(&Scope::new(ctx, item)).map_err(StageError::item),
            None => serde_json::to_string(item)
                .map_err(|error| StageError::item("the item cannot be written as JSON").caused_by(error)),
        }
    }

    /// A body of some items.
    fn body(&self, parts: &[String]) -> Vec<u8> {
        match parts {
            [part] if self.batch == 1 => part.clone().into_bytes(),
            parts if self.is_json() => format!("[{}]", parts.join(",")).into_bytes(),
            parts => parts.join("\n").into_bytes(),
        }
    }

    fn is_json(&self) -> bool {
        self.template.as_ref().is_none_or(Template::is_json)
    }

    fn content_type(&self) -> &'static str {
        if self.is_json() { "application/json" } else { "text/plain; charset=utf-8" }
    }

    /// Says what would be sent.
    async fn show(
        &self,
        mut input: ItemStream,
        ctx: &StageContext,
        mut out: Emitter,
    ) -> Result<(), StageError> {
        let origin = self.url.origin().ascii_serialization();
        while let Some(batch) = input.next_batch().await {
            let mut passed = Batch::new();
            for item in batch?.items {
                match &item {
                    Item::Parsed(parsed) if self.wants(&item) => match self.part(parsed, ctx) {
                        Ok(part) => output::line(ctx, &format!("would post to {origin}: {part}"))?,
                        Err(error) => {
                            passed.error(error.with_item(item));
                            continue;
                        }
                    },
                    _ => {}
                }
                passed.items.push(item);
            }
            out.emit_batch(passed).await;
        }
        Ok(())
    }

    /// Sends each batch when it is full; its items pass on when they have been taken.
    async fn send_as_they_come(
        &self,
        mut input: ItemStream,
        ctx: &StageContext,
        mut out: Emitter,
    ) -> Result<(), StageError> {
        let deliverer = self.deliverer(ctx)?;
        let mut waiting: Vec<(ParsedItem, String)> = Vec::new();
        while let Some(batch) = input.next_batch().await {
            for item in batch?.items {
                match item {
                    Item::Parsed(item) if self.topics.contain(&item.topic) => match self.part(&item, ctx) {
                        Ok(part) => waiting.push((item, part)),
                        Err(error) => out.error(error.with_item(item)).await,
                    },
                    other => out.emit_batch(vec![other].into()).await,
                }
                if waiting.len() == self.batch {
                    self.send(std::mem::take(&mut waiting), &deliverer, ctx, &mut out).await?;
                }
            }
        }
        if !waiting.is_empty() {
            self.send(waiting, &deliverer, ctx, &mut out).await?;
        }
        Ok(())
    }

    async fn send(
        &self,
        items: Vec<(ParsedItem, String)>,
        deliverer: &Deliverer,
        ctx: &StageContext,
        out: &mut Emitter,
    ) -> Result<(), StageError> {
        ctx.may_act().await?;
        let (items, parts): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        match deliverer.deliver(self.body(&parts), self.content_type()).await {
            Ok(()) => {
                for item in items {
                    out.emit(item).await;
                }
            }
            Err(error) => {
                // Each item of the batch was not taken; the reason is the same for all.
                let reason = error.to_string();
                for item in items {
                    out.error(StageError::item(reason.clone()).with_item(item)).await;
                }
            }
        }
        Ok(())
    }

    /// Puts the bodies aside, and sends them with the run's commit.
    async fn send_at_the_end(
        &self,
        mut input: ItemStream,
        ctx: &StageContext,
        mut out: Emitter,
    ) -> Result<(), StageError> {
        let mut aside: Option<Spool> = None;
        let mut parts = Vec::new();
        while let Some(batch) = input.next_batch().await {
            let mut batch = batch?;
            let items = std::mem::take(&mut batch.items);
            for item in items {
                if let Item::Parsed(parsed) = &item
                    && self.topics.contain(&parsed.topic)
                {
                    match self.part(parsed, ctx) {
                        Ok(part) => parts.push(part),
                        Err(error) => {
                            batch.error(error.with_item(item));
                            continue;
                        }
                    }
                }
                batch.items.push(item);
                if parts.len() == self.batch {
                    self.put_aside(&mut aside, &mut parts).await?;
                }
            }
            out.emit_batch(batch).await;
        }
        if !parts.is_empty() {
            self.put_aside(&mut aside, &mut parts).await?;
        }
        if let Some(aside) = aside {
            let deliverer = self.deliverer(ctx)?;
            ctx.enlist(Outgoing { deliverer, bodies: Some(aside), content_type: self.content_type() });
        }
        Ok(())
    }

    async fn put_aside(&self, aside: &mut Option<Spool>, parts: &mut Vec<String>) -> Result<(), StageError> {
        let spool = match aside {
            Some(spool) => spool,
            None => aside.insert(Spool::anonymous("the messages of http.WebhookSink")?),
        };
        let buffer = spool.buffer();
        let start = begin_frame(buffer);
        buffer.extend_from_slice(&self.body(parts));
        end_frame(buffer, start)?;
        parts.clear();
        spool.make_room().await
    }
}

/// Posts bodies to the one URL.
struct Deliverer {
    client: Client,
    request: Request,
    origin: String,
}

impl Deliverer {
    async fn deliver(&self, body: Vec<u8>, content_type: &'static str) -> Result<(), StageError> {
        let mut request = self.request.clone();
        request.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        request.body = Some(Bytes::from(body));
        // The path of such a URL is often its secret.
        self.client.deliver(&request).await.map_err(|error| error.at(&self.origin))
    }
}

/// Messages that leave with the run's success.
struct Outgoing {
    deliverer: Deliverer,
    bodies: Option<Spool>,
    content_type: &'static str,
}

#[async_trait]
impl Participant for Outgoing {
    fn name(&self) -> String {
        "http.WebhookSink".to_owned()
    }

    fn phase(&self) -> CommitPhase {
        CommitPhase::Outbox
    }

    async fn commit(&mut self) -> Result<(), StageError> {
        let Some(bodies) = self.bodies.take() else { return Ok(()) };
        let mut reader = bodies.into_reader().await?;
        loop {
            let read = crate::keep::blocking(move || {
                let body = reader.next_frame()?.map(<[u8]>::to_vec);
                Ok((body, reader))
            });
            let (body, rest) = read.await?;
            reader = rest;
            match body {
                Some(body) => self.deliverer.deliver(body, self.content_type).await?,
                None => return Ok(()),
            }
        }
    }

    async fn rollback(&mut self) {
        self.bodies = None;
    }
}
