//! The stage.

use std::sync::Arc;

use pipeline_core::{
    BuildContext, BuildErrors, Definition, Item, ParsedItem, Sink, StageContext, StageError, Topic,
    Transform, sink,
};

use super::embed;
use super::kwargs::{Destination, DiscordSinkKwargs, When};
use super::participant::{Held, Required, Staged, insist, new_message};
use super::payload::{Form, Payload};
use super::render::{self, MESSAGES};
use super::service::DiscordService;
use super::target::Target;
use super::template::Template;
use crate::outbox::{Attempt, NewMessage};
use crate::text::{beginning, length};

/// Messages that are kept before they are handed to the outbox, by number and by bytes.
const BUFFERED: (usize, usize) = (200, 1024 * 1024);
/// The longest JSON of an item that is kept for a file.
const LONGEST_ITEM: usize = 128 * 1024;
/// The longest text of one item.
const LONGEST_TEXT: usize = 512 * 1024;

/// `core.infra.discord_sink.DiscordSink`: tells of items in Discord, and passes them on.
pub struct DiscordSink {
    look: Look,
    topics: Option<Vec<Topic>>,
    target: Target,
    stage: String,
    required: bool,
    when: When,
    /// What a required sink holds back until all stages are done.
    held: Arc<Held>,
    buffer: Vec<NewMessage>,
    /// The bytes of the buffer.
    buffered: usize,
    /// Whether it was told that the template fails.
    told: bool,
    sent: u64,
}

/// How items are shown.
struct Look {
    max_length: usize,
    template: Option<Template>,
    embed: bool,
}

/// Made once for a run, however many sinks it has.
struct Enlisted;

impl Definition for DiscordSink {
    const CLASS: &'static str = "core.infra.discord_sink.DiscordSink";
    const ALIASES: &'static [&'static str] = &["discord.DiscordSink"];
    const SUMMARY: &'static str =
        "Tells of items in a Discord channel or through a webhook, and passes them on.";
    const EXAMPLE: &'static str = "\
class: core.infra.discord_sink.DiscordSink
kwargs: {channel_id: 123456789012345678, topics: [shop.book.diff]}
";

    type Kwargs = DiscordSinkKwargs;

    fn build(kwargs: Self::Kwargs, ctx: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        let destination = errors.collect(kwargs.destination());
        let max_length = errors.collect(kwargs.length());
        if kwargs.topics.as_ref().is_some_and(Vec::is_empty) {
            errors.push("topics", "an empty list is for no item at all; leave it out for all topics");
        }
        if kwargs.embed && kwargs.template.is_some() {
            errors.push("embed", "stands beside `template`; one of the two is enough");
        }
        let template = kwargs.template.as_deref().map(Template::compile).transpose();
        let template = errors.collect(template.map_err(|error| BuildErrors::at("template", error)));
        errors.clone().into_result()?;
        let (Some(destination), Some(max_length), Some(template)) = (destination, max_length, template)
        else {
            return Err(errors);
        };
        let stage = format!("{}-DiscordSink", ctx.stage);
        let target = destination.target(&ctx.pipeline, &stage);
        if let (Some(service), Destination::Webhook(url)) =
            (ctx.services.get::<DiscordService>(), destination)
        {
            service.learn(&ctx.pipeline, &stage, url);
        }
        Ok(sink(Self {
            look: Look { max_length, template, embed: kwargs.embed },
            topics: kwargs.topics,
            target,
            stage,
            required: kwargs.required,
            when: kwargs.when,
            held: Arc::default(),
            buffer: Vec::new(),
            buffered: 0,
            told: false,
            sent: 0,
        }))
    }
}

impl DiscordSink {
    fn service(ctx: &StageContext) -> Result<DiscordService, StageError> {
        let service = ctx.service::<DiscordService>();
        service.map(|s| (*s).clone()).ok_or_else(|| {
            StageError::fatal("this program has no Discord service").hint("it must hand one to its runs")
        })
    }

    fn payloads(&mut self, item: &ParsedItem, ctx: &StageContext) -> Result<Vec<Payload>, StageError> {
        let redactor = ctx.redactor();
        let max_length = self.look.max_length;
        let json = serde_json::to_string(item)
            .map_err(|e| StageError::item("cannot be written as JSON").caused_by(e))?;
        let json = redactor.redact(&json).into_owned();
        let whole = if json.len() > LONGEST_ITEM {
            let topic = serde_json::Value::from(item.topic.as_str());
            format!(
                r#"{{"topic":{topic},"content":null,"left_out":"the item is {} bytes long"}}"#,
                json.len()
            )
        } else {
            json
        };
        let payload = |form, item, own_text| Payload { form, max_length, item, own_text };
        if self.look.embed {
            let mut card = embed::item(item, ctx.run());
            for field in &mut card.fields {
                field.value = redactor.redact(&field.value).into_owned();
            }
            card.url = card
                .url
                .map(|url| redactor.redact(&url).into_owned())
                .filter(|url| url::Url::parse(url).is_ok());
            return Ok(vec![payload(Form::Embed(Box::new(card)), whole, false)]);
        }
        if let Some(template) = &self.look.template {
            match template.render(item, ctx.run()) {
                Ok(text) => {
                    let text = redactor.redact(beginning(&text, LONGEST_TEXT)).into_owned();
                    return Ok(own_text(&text, max_length, whole)
                        .into_iter()
                        .map(|(f, i)| payload(f, i, true))
                        .collect());
                }
                Err(error) if self.required => {
                    return Err(StageError::item(format!("the template cannot be filled: {error}")));
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.told, true) {
                        ctx.warn(format!(
                            "the template cannot be filled, so the item is sent as JSON: {error}"
                        ));
                    }
                }
            }
        }
        let pretty = serde_json::to_string_pretty(&item.content)
            .map_err(|e| StageError::item("cannot be written as JSON").caused_by(e))?;
        let text = render::item(item, &redactor.redact(&pretty), max_length);
        Ok(vec![payload(Form::Text(text), whole, false)])
    }

    async fn hand_over(&mut self, ctx: &StageContext) -> Result<(), StageError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let messages = std::mem::take(&mut self.buffer);
        self.buffered = 0;
        if ctx.is_dry_run() {
            return Ok(());
        }
        let service = Self::service(ctx)?;
        let outbox = service.outbox();
        if self.when == When::Immediately {
            ctx.may_act().await?;
            insist(ctx.run(), || outbox.enqueue(messages.clone())).await?;
            service.wake();
        } else {
            let attempt = attempt(ctx);
            insist(ctx.run(), || outbox.stage(&attempt, messages.clone())).await?;
        }
        Ok(())
    }
}

fn attempt(ctx: &StageContext) -> Attempt {
    let identity = ctx.identity();
    Attempt { run_id: identity.run_id.clone(), attempt: identity.attempt }
}

/// The author's text: one message, a few, or a file. The item goes with the first.
fn own_text(text: &str, max_length: usize, item: String) -> Vec<(Form, String)> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    if length(text) > max_length * MESSAGES {
        return vec![(Form::File(text.to_owned()), item)];
    }
    let parts = render::split(text, max_length);
    if parts.len() > MESSAGES {
        return vec![(Form::File(text.to_owned()), item)];
    }
    let mut item = Some(item);
    parts.into_iter().map(|part| (Form::Text(part), item.take().unwrap_or_default())).collect()
}

impl Sink for DiscordSink {
    fn accepts(&self, item: &Item) -> bool {
        match item {
            Item::Parsed(item) => self.topics.as_ref().is_none_or(|topics| topics.contains(&item.topic)),
            _ => false,
        }
    }

    async fn open(&mut self, ctx: &StageContext) -> Result<(), StageError> {
        if ctx.is_dry_run() {
            return Ok(());
        }
        let service = Self::service(ctx)?;
        if matches!(self.target, Target::Channel(_)) && !service.has_bot() {
            let why = "DISCORD_TOKEN is not set, so nothing can be sent to a channel";
            if self.required {
                return Err(
                    StageError::fatal(why).hint("the sink is `required`, so the run fails without it")
                );
            }
            ctx.warn(format!("{why}; the messages wait"));
        }
        // The first sink of a run commits for all of them.
        let first = std::sync::atomic::AtomicBool::new(false);
        ctx.run().resource(|| {
            first.store(true, std::sync::atomic::Ordering::Relaxed);
            Enlisted
        });
        if first.into_inner() {
            ctx.enlist(Staged { service: service.clone(), attempt: attempt(ctx) });
        }
        if self.required {
            if ctx.identity().attempt > 1 {
                // An attempt that crashed could not take back what it had handed over.
                let run_id = &ctx.identity().run_id;
                insist(ctx.run(), || service.outbox().withdraw(run_id, &self.stage)).await?;
            }
            let (run, stage, target) = (ctx.run().clone(), self.stage.clone(), self.target.clone());
            ctx.enlist(Required { service, run, stage, target, held: self.held.clone() });
        }
        Ok(())
    }

    async fn handle(&mut self, item: &Item, ctx: &StageContext) -> Result<(), StageError> {
        let Item::Parsed(item) = item else { return Ok(()) };
        for payload in self.payloads(item, ctx)? {
            if ctx.is_dry_run() {
                ctx.info(format!("would send to {}: {}", self.target, shown(&payload)));
                continue;
            }
            let payload = payload.to_json().map_err(StageError::item)?;
            self.sent += 1;
            if self.required && self.when == When::Success {
                let cannot =
                    |error: std::io::Error| StageError::fatal("a message cannot be kept").caused_by(error);
                self.held.push(&payload).map_err(cannot)?;
            } else {
                self.buffered += payload.len();
                self.buffer.push(new_message(ctx.run(), &self.stage, &self.target, payload));
            }
        }
        if self.buffer.len() >= BUFFERED.0 || self.buffered >= BUFFERED.1 {
            self.hand_over(ctx).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, ctx: &StageContext) -> Result<(), StageError> {
        if self.when == When::Immediately { self.hand_over(ctx).await } else { Ok(()) }
    }

    async fn finish(&mut self, ctx: &StageContext) -> Result<(), StageError> {
        self.hand_over(ctx).await?;
        if self.sent > 0 {
            ctx.debug(format!("{} messages for {}", self.sent, self.target));
        }
        Ok(())
    }
}

fn shown(payload: &Payload) -> String {
    match &payload.form {
        Form::Text(text) | Form::File(text) => text.clone(),
        Form::Embed(_) => payload.item.clone(),
    }
}
