//! Runs single stages in tests.

use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use pipeline_core::{
    BuildContext, Chain, Event, Item, ItemStream, OnError, ParsedItem, RawItem, RunContext, RunIdentity,
    RunOptions, RunOutcome, RunReport, StageContext, Transform,
};

/// Keeps what arrives.
#[derive(Clone, Default)]
pub(crate) struct Collect(Arc<Mutex<Vec<Item>>>);

impl Collect {
    pub(crate) fn take(&self) -> Vec<Item> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Transform for Collect {
    fn connect(self: Box<Self>, input: ItemStream, _: StageContext) -> ItemStream {
        ItemStream::from_items(input.filter_map(move |item| {
            if let Ok(item) = item
                && !item.is_trigger()
            {
                self.0.lock().unwrap().push(item);
            }
            std::future::ready(None)
        }))
    }
}

/// Emits prepared items once.
pub(crate) struct Feed(pub(crate) Vec<Item>);

impl Transform for Feed {
    fn connect(self: Box<Self>, mut input: ItemStream, _: StageContext) -> ItemStream {
        ItemStream::generate(move |mut out| async move {
            while input.next_batch().await.is_some() {}
            out.emit_batch(vec![Item::Trigger].into()).await;
            for item in self.0 {
                out.emit(item).await;
            }
            Ok(())
        })
    }
}

/// What a run of a chain gave.
pub(crate) struct Done {
    pub(crate) report: RunReport,
    pub(crate) items: Vec<Item>,
}

impl Done {
    #[track_caller]
    pub(crate) fn succeeded(&self) {
        assert_eq!(self.report.outcome, RunOutcome::Succeeded, "{:?}", self.report.error);
    }

    #[track_caller]
    pub(crate) fn error(&self) -> &str {
        assert_ne!(self.report.outcome, RunOutcome::Succeeded);
        self.report.error.as_deref().unwrap()
    }

    pub(crate) fn parsed(&self) -> impl Iterator<Item = &ParsedItem> {
        self.items.iter().filter_map(|item| match item {
            Item::Parsed(item) => Some(item),
            _ => None,
        })
    }

    pub(crate) fn raw(&self) -> impl Iterator<Item = &RawItem> {
        self.items.iter().filter_map(|item| match item {
            Item::Raw(raw) => Some(&**raw),
            _ => None,
        })
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.items.iter().filter_map(|item| match item {
            Item::Event(event) => Some(&**event),
            _ => None,
        })
    }

    pub(crate) fn contents(&self) -> Vec<String> {
        self.parsed().map(|item| item.content.to_json()).collect()
    }

    /// The payloads as text, in order.
    pub(crate) fn texts(self) -> Vec<String> {
        let raws = self.items.into_iter().filter_map(|item| match item {
            Item::Raw(raw) => Some(raw),
            _ => None,
        });
        let text = |raw: Box<RawItem>| {
            let bytes = raw.payload.into_bytes(u64::MAX).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        raws.map(text).collect()
    }
}

pub(crate) fn identity() -> RunIdentity {
    RunIdentity {
        run_id: "run-1".into(),
        pipeline: "test".into(),
        job_id: "pipeline_test".into(),
        scheduled_for: chrono::DateTime::UNIX_EPOCH,
        attempt: 2,
    }
}

pub(crate) fn options() -> RunOptions {
    RunOptions::new(identity())
}

pub(crate) fn options_in(state_dir: &Path) -> RunOptions {
    RunOptions { state_dir: state_dir.to_owned(), ..options() }
}

pub(crate) fn build(class: &str, kwargs: serde_json::Value) -> Box<dyn Transform> {
    let registry = crate::registry();
    registry.get(class).unwrap().build(kwargs, &BuildContext::default()).unwrap()
}

#[track_caller]
pub(crate) fn build_error(class: &str, kwargs: serde_json::Value) -> String {
    let registry = crate::registry();
    match registry.get(class).unwrap().build(kwargs, &BuildContext::default()) {
        Ok(_) => panic!("it was built"),
        Err(errors) => errors.to_string(),
    }
}

pub(crate) async fn run(class: &str, kwargs: serde_json::Value) -> Done {
    let ctx = RunContext::new(options());
    run_chain(Chain::new().stage(class, build(class, kwargs)), ctx).await
}

/// Runs one stage behind prepared items.
pub(crate) async fn run_on(
    items: Vec<Item>,
    class: &str,
    kwargs: serde_json::Value,
    on_error: OnError,
    options: RunOptions,
) -> Done {
    let chain = Chain::new().stage("test.Feed", Box::new(Feed(items)));
    run_chain(chain.stage_with(class, build(class, kwargs), on_error), RunContext::new(options)).await
}

pub(crate) async fn run_chain(chain: Chain, ctx: RunContext) -> Done {
    let collect = Collect::default();
    let report = chain.stage("test.Collect", Box::new(collect.clone())).run(ctx, None).await;
    Done { report, items: collect.take() }
}

pub(crate) fn parsed(topic: &str, content: serde_json::Value) -> Item {
    let content = serde_json::from_value(content).unwrap();
    Item::Parsed(ParsedItem { topic: topic.into(), content, discovered_at: chrono::DateTime::UNIX_EPOCH })
}
