//! Runs chains of given items in tests.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use pipeline_core::{
    BuildContext, Chain, Clock, Item, ItemStream, OnError, ParsedItem, RunContext, RunIdentity, RunOptions,
    RunOutcome, RunReport, SimClock, StageContext, StageError, Transform,
};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use crate::output::{Console, Output};
use crate::sql::SqliteStateStore;

/// A folder and a clock in which one run follows the other.
pub(crate) struct Bench {
    folder: Arc<Folder>,
    pub(crate) clock: SimClock,
    pub(crate) cancel: CancellationToken,
    stages: Vec<(String, MakeStage, OnError)>,
    dry_run: bool,
    fails: bool,
    leaves_out: bool,
    console: Option<Console>,
}

enum Folder {
    Own(tempfile::TempDir),
    Others(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Others(folder) => folder,
        }
    }
}

type MakeStage = Box<dyn Fn() -> Box<dyn Transform>>;

/// How a run ended, and what came out of its chain.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) report: RunReport,
    pub(crate) items: Vec<ParsedItem>,
    pub(crate) printed: Vec<String>,
}

impl Ran {
    /// `[topic, content]` of what came out.
    pub(crate) fn contents(&self) -> Json {
        self.items.iter().map(|item| json!([item.topic, item.content])).collect()
    }

    pub(crate) fn error(&self) -> String {
        assert_eq!(self.report.outcome, RunOutcome::Failed, "{:?}", self.report);
        self.report.error.clone().unwrap_or_default()
    }

    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.report.outcome, RunOutcome::Succeeded, "{:?}", self.report);
        self
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            folder: Arc::new(Folder::Own(tempfile::tempdir().unwrap())),
            clock: SimClock::new("2026-01-02T03:04:05Z".parse().unwrap()),
            cancel: CancellationToken::new(),
            stages: Vec::new(),
            dry_run: false,
            fails: false,
            leaves_out: false,
            console: None,
        }
    }

    /// A bench in a folder that stays.
    pub(crate) fn within(folder: PathBuf) -> Self {
        Self { folder: Arc::new(Folder::Others(folder)), ..Self::new() }
    }

    /// Another bench in the same folder.
    pub(crate) fn same_folder(&self) -> Self {
        Self { folder: self.folder.clone(), ..Self::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The names in the folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Adds a stage; in its kwargs a leading `@` stands for the folder.
    pub(crate) fn stage(self, class: &str, kwargs: Json) -> Self {
        self.stage_with(class, kwargs, OnError::Fail)
    }

    pub(crate) fn stage_with(mut self, class: &str, kwargs: Json, on_error: OnError) -> Self {
        let kwargs = placed(kwargs, self.folder.path());
        let entry = *crate::registry().get(class).unwrap();
        let context = BuildContext { stage: self.stages.len() + 2, ..BuildContext::default() };
        let make = move || entry.build(kwargs.clone(), &context).unwrap_or_else(|e| panic!("{kwargs}: {e}"));
        self.stages.push((class.to_owned(), Box::new(make), on_error));
        self
    }

    /// Adds a stage that is no class.
    pub(crate) fn own_stage(mut self, make: impl Fn() -> Box<dyn Transform> + 'static) -> Self {
        self.stages.push(("test.Own".to_owned(), Box::new(make), OnError::Fail));
        self
    }

    /// The same folder, to run other stages in.
    pub(crate) fn without_stages(mut self) -> Self {
        self.stages.clear();
        self
    }

    /// Replaces the console, whose lines are otherwise collected.
    pub(crate) fn prints_to(mut self, output: impl Output + 'static) -> Self {
        self.console = Some(Console::new(output));
        self
    }

    pub(crate) fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Makes runs fail after their last item.
    pub(crate) fn fails(mut self, fails: bool) -> Self {
        self.fails = fails;
        self
    }

    /// Makes the source say that it left items out.
    pub(crate) fn leaves_out(mut self, leaves_out: bool) -> Self {
        self.leaves_out = leaves_out;
        self
    }

    /// Runs the chain over `[[topic, content], …]`.
    pub(crate) async fn run(&self, items: Json) -> Ran {
        let now = self.clock.now();
        let given = items.as_array().unwrap().iter().map(|item| ParsedItem {
            topic: item[0].as_str().unwrap().into(),
            content: serde_json::from_value(item[1].clone()).unwrap(),
            discovered_at: now,
        });
        self.run_items(given.map(Item::from).collect()).await
    }

    pub(crate) async fn run_items(&self, items: Vec<Item>) -> Ran {
        let printed = Printed::default();
        let mut options = self.options();
        let console = self.console.clone().unwrap_or_else(|| Console::new(printed.clone()));
        options.services.insert(console);
        let items = Given { items, leaves_out: self.leaves_out };
        let mut chain = Chain::new().stage("test.Given", Box::new(items));
        for (class, make, on_error) in &self.stages {
            chain = chain.stage_with(class.as_str(), make(), *on_error);
        }
        let collected = Arc::new(Mutex::new(Vec::new()));
        let end = End { collected: collected.clone(), fails: self.fails };
        chain = chain.stage("test.End", Box::new(end));
        let report = chain.run(RunContext::new(options), None).await;
        let items = std::mem::take(&mut *collected.lock().unwrap());
        let printed = std::mem::take(&mut *printed.0.lock().unwrap());
        Ran { report, items, printed }
    }

    pub(crate) fn options(&self) -> RunOptions {
        let identity = RunIdentity {
            run_id: "r1".into(),
            pipeline: "p".into(),
            job_id: "p".into(),
            scheduled_for: self.clock.now(),
            attempt: 1,
        };
        let state_dir = self.path("state");
        RunOptions {
            clock: Arc::new(self.clock.clone()),
            state: Arc::new(SqliteStateStore::new(&state_dir)),
            state_dir,
            cancel: self.cancel.clone(),
            dry_run: self.dry_run,
            ..RunOptions::new(identity)
        }
    }

    /// The rows of a query on a SQLite file of the folder.
    pub(crate) fn rows(&self, file: &str, query: &str) -> Json {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = rusqlite::Connection::open_with_flags(self.path(file), flags).unwrap();
        let mut select = connection.prepare(query).unwrap();
        let count = select.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let value = |at| crate::sql::column_value(row.get_ref(at).unwrap(), "");
            Ok((0..count).map(|at| Json::from(&value(at))).collect::<Json>())
        };
        let rows = select.query_map([], row).unwrap();
        rows.map(Result::unwrap).collect()
    }

    pub(crate) fn execute(&self, file: &str, sql: &str) {
        rusqlite::Connection::open(self.path(file)).unwrap().execute_batch(sql).unwrap();
    }
}

fn placed(kwargs: Json, folder: &Path) -> Json {
    match kwargs {
        Json::String(text) => match text.strip_prefix('@') {
            Some(name) => folder.join(name).to_str().unwrap().into(),
            None => text.into(),
        },
        Json::Array(list) => list.into_iter().map(|value| placed(value, folder)).collect(),
        Json::Object(map) => map.into_iter().map(|(name, value)| (name, placed(value, folder))).collect(),
        other => other,
    }
}

#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<String>>>);

impl Output for Printed {
    fn line(&self, line: &str) -> std::io::Result<()> {
        self.0.lock().unwrap().push(line.to_owned());
        Ok(())
    }
}

struct Given {
    items: Vec<Item>,
    leaves_out: bool,
}

impl Transform for Given {
    fn connect(self: Box<Self>, mut input: ItemStream, ctx: StageContext) -> ItemStream {
        ItemStream::generate(move |mut out| async move {
            while let Some(batch) = input.next_batch().await {
                batch?;
            }
            // A seed among the given items is for a fetcher.
            for item in self.items {
                out.emit(item).await;
            }
            if self.leaves_out {
                ctx.mark_incomplete("a page was left out");
            }
            Ok(())
        })
    }
}

struct End {
    collected: Arc<Mutex<Vec<ParsedItem>>>,
    fails: bool,
}

impl Transform for End {
    fn connect(self: Box<Self>, mut input: ItemStream, _: StageContext) -> ItemStream {
        ItemStream::generate(move |_| async move {
            while let Some(batch) = input.next_batch().await {
                let parsed = batch?.items.into_iter().filter_map(|item| match item {
                    Item::Parsed(item) => Some(item),
                    _ => None,
                });
                self.collected.lock().unwrap().extend(parsed);
            }
            if self.fails { Err(StageError::fatal("it failed at the end")) } else { Ok(()) }
        })
    }
}
