//! How a chain behaves: its order, its errors, its end.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it was made")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pipeline_core::{
    Batch, Chain, CommitPhase, Emitter, Fence, Fetcher, Item, ItemStream, ItemTransform, OnError, ParsedItem,
    Parser, ParserOutput, Participant, RawItem, Record, RunContext, RunIdentity, RunOptions, RunOutcome,
    RunReport, SimClock, Sink, StageContext, StageError, Transform, fetcher, items, parser, sink,
};
use tokio_util::sync::CancellationToken;

type Trace = Arc<Mutex<Vec<String>>>;

fn say(trace: &Trace, line: impl Into<String>) {
    trace.lock().unwrap().push(line.into());
}

fn lines(trace: &Trace) -> Vec<String> {
    trace.lock().unwrap().clone()
}

fn options() -> RunOptions {
    RunOptions::new(RunIdentity {
        run_id: "run-1".into(),
        pipeline: "demo".into(),
        job_id: "pipeline_demo".into(),
        scheduled_for: DateTime::UNIX_EPOCH,
        attempt: 1,
    })
}

fn record(n: i64) -> ParsedItem {
    let content: Record = [("n", n)].into_iter().collect();
    ParsedItem { topic: "numbers".into(), content, discovered_at: DateTime::<Utc>::UNIX_EPOCH }
}

fn number(item: &Item) -> i64 {
    match item {
        Item::Parsed(item) => item.content.get("n").and_then(|n| n.as_i64()).unwrap(),
        _ => -1,
    }
}

/// Emits the numbers of a range.
struct Count(i64);

impl Fetcher for Count {
    async fn fetch(&mut self, _: &StageContext, out: &mut Emitter) -> Result<(), StageError> {
        for n in 0..self.0 {
            out.emit(record(n)).await;
        }
        Ok(())
    }
}

/// Fails on one number, or panics on it.
struct FailOn {
    number: i64,
    panic: bool,
}

impl ItemTransform for FailOn {
    fn apply(&mut self, item: Item, _: &StageContext, out: &mut Batch) -> Result<(), StageError> {
        if number(&item) == self.number {
            assert!(!self.panic, "number {} is unlucky", self.number);
            return Err(StageError::item("is unlucky").at(format!("number {}", self.number)).with_item(item));
        }
        out.emit(item);
        Ok(())
    }
}

/// Collects what it sees, takes part in the end, and tells all.
struct Collect {
    trace: Trace,
    seen: Arc<AtomicU64>,
    name: &'static str,
    fail_prepare: bool,
}

impl Collect {
    fn new(trace: &Trace, name: &'static str) -> Self {
        Self { trace: trace.clone(), seen: Arc::default(), name, fail_prepare: false }
    }
}

struct CollectCommit {
    trace: Trace,
    name: &'static str,
    fail_prepare: bool,
}

#[async_trait]
impl Participant for CollectCommit {
    fn name(&self) -> String {
        self.name.to_owned()
    }
    fn phase(&self) -> CommitPhase {
        if self.name == "state" { CommitPhase::State } else { CommitPhase::Sink }
    }
    async fn prepare(&mut self) -> Result<(), StageError> {
        say(&self.trace, format!("prepare {}", self.name));
        if self.fail_prepare { Err(StageError::fatal("the disk is full")) } else { Ok(()) }
    }
    async fn commit(&mut self) -> Result<(), StageError> {
        say(&self.trace, format!("commit {}", self.name));
        Ok(())
    }
    async fn rollback(&mut self) {
        say(&self.trace, format!("rollback {}", self.name));
    }
}

impl Sink for Collect {
    async fn open(&mut self, ctx: &StageContext) -> Result<(), StageError> {
        let (trace, name) = (self.trace.clone(), self.name);
        ctx.enlist(CollectCommit { trace: trace.clone(), name, fail_prepare: self.fail_prepare });
        ctx.defer(async move { say(&trace, format!("clean up {name}")) });
        Ok(())
    }
    async fn handle(&mut self, _: &Item, _: &StageContext) -> Result<(), StageError> {
        self.seen.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    async fn finish(&mut self, _: &StageContext) -> Result<(), StageError> {
        say(&self.trace, format!("finish {} after {}", self.name, self.seen.load(Ordering::SeqCst)));
        Ok(())
    }
}

fn failing_chain(trace: &Trace, on_error: OnError, panic: bool) -> Chain {
    Chain::new()
        .stage("t.Count", fetcher(Count(10)))
        .stage_with("t.FailOn", items(FailOn { number: 7, panic }), on_error)
        .stage("t.Collect", sink(Collect::new(trace, "sink")))
}

async fn run(chain: Chain, options: RunOptions) -> RunReport {
    chain.run(RunContext::new(options), None).await
}

#[tokio::test]
async fn a_success_counts_commits_by_phase_and_cleans_up_in_reverse() {
    let trace = Trace::default();
    let chain = Chain::new()
        .stage("t.Count", fetcher(Count(1000)))
        .stage("t.State", sink(Collect::new(&trace, "state")))
        .stage("t.Sink", sink(Collect::new(&trace, "sink")));
    let report = run(chain, options()).await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    let counts: Vec<_> = report.stages.iter().map(|s| (s.items_in, s.items_out)).collect();
    assert_eq!(counts, [(0, 1000), (1000, 1000), (1000, 1000)]);
    assert_eq!(
        lines(&trace),
        [
            "finish state after 1000",
            "finish sink after 1000",
            "prepare state",
            "prepare sink",
            "commit sink",
            "commit state",
            "clean up sink",
            "clean up state",
        ]
    );
}

#[tokio::test]
async fn a_failed_item_fails_the_run_and_later_stages_never_see_an_end() {
    let trace = Trace::default();
    let report = run(failing_chain(&trace, OnError::Fail, false), options()).await;
    assert_eq!(report.outcome, RunOutcome::Failed);
    let error = report.error.unwrap();
    assert_eq!(error, "pipeline `demo`, stage 2 (t.FailOn): number 7: is unlucky");
    assert!(!lines(&trace).iter().any(|line| line.starts_with("finish") || line.starts_with("commit")));
}

#[tokio::test]
async fn a_panic_fails_the_run_and_names_the_stage() {
    let trace = Trace::default();
    let report = run(failing_chain(&trace, OnError::Skip, true), options()).await;
    assert_eq!(report.outcome, RunOutcome::Failed);
    let error = report.error.unwrap();
    assert_eq!(error, "pipeline `demo`, stage 2 (t.FailOn): the stage panicked: number 7 is unlucky");
}

/// Says what it knows of the stages before it when its input ends.
struct AskUpstream(Trace);

impl ItemTransform for AskUpstream {
    fn apply(&mut self, item: Item, _: &StageContext, out: &mut Batch) -> Result<(), StageError> {
        out.emit(item);
        Ok(())
    }
    fn finish(&mut self, ctx: &StageContext, _: &mut Batch) -> Result<(), StageError> {
        say(&self.0, format!("{:?}", ctx.upstream_incomplete()));
        Ok(())
    }
}

#[tokio::test]
async fn skipped_items_are_counted_told_and_known_to_later_stages() {
    let trace = Trace::default();
    let chain = Chain::new()
        .stage("t.Count", fetcher(Count(10)))
        .stage_with("t.FailOn", items(FailOn { number: 7, panic: false }), OnError::Skip)
        .stage("t.Ask", items(AskUpstream(trace.clone())));
    let report = run(chain, options()).await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    assert_eq!(report.note.as_deref(), Some("1 item skipped"));
    assert_eq!((report.stages[1].items_out, report.stages[1].errors), (9, 1));
    assert_eq!(lines(&trace), [r#"Some("stage 2 left out an item")"#]);
}

#[tokio::test]
async fn dead_letters_hold_the_item_and_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let trace = Trace::default();
    let mut options = options();
    options.state_dir = folder.path().to_owned();
    options.redactor.add("unlucky");
    let report = run(failing_chain(&trace, OnError::DeadLetter, false), options).await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    let text = std::fs::read_to_string(folder.path().join("dead_letters/demo.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(line["item"]["content"]["n"], 7);
    assert_eq!(line["stage"], 2);
    assert_eq!(line["class"], "t.FailOn");
    assert_eq!(line["error"], "number 7: is [redacted]");
    assert_eq!(line["run_id"], "run-1");
}

#[tokio::test]
async fn nothing_commits_when_one_cannot_prepare() {
    let trace = Trace::default();
    let mut second = Collect::new(&trace, "second");
    second.fail_prepare = true;
    let chain = Chain::new()
        .stage("t.Count", fetcher(Count(1)))
        .stage("t.First", sink(Collect::new(&trace, "first")))
        .stage("t.Second", sink(second));
    let report = run(chain, options()).await;
    assert_eq!(report.outcome, RunOutcome::Failed);
    assert_eq!(report.error.unwrap(), "pipeline `demo`: second: the disk is full");
    let lines = lines(&trace);
    assert_eq!(lines[4..], ["rollback second", "rollback first", "clean up second", "clean up first"]);
}

#[tokio::test]
async fn a_dry_run_commits_nothing() {
    let trace = Trace::default();
    let mut options = options();
    options.dry_run = true;
    let chain =
        Chain::new().stage("t.Count", fetcher(Count(1))).stage("t.Sink", sink(Collect::new(&trace, "sink")));
    let report = run(chain, options).await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    assert_eq!(lines(&trace), ["finish sink after 1", "rollback sink", "clean up sink"]);
}

/// Never ends, and says when it is dropped.
struct Hang(Trace);

struct SayDrop(Trace);

impl Drop for SayDrop {
    fn drop(&mut self) {
        say(&self.0, "dropped");
    }
}

impl Transform for Hang {
    fn connect(self: Box<Self>, _: ItemStream, _: StageContext) -> ItemStream {
        ItemStream::generate(move |mut out| async move {
            let _said = SayDrop(self.0);
            out.emit(record(1)).await;
            std::future::pending().await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_never_ends_is_timed_out_by_the_runs_clock() {
    let trace = Trace::default();
    let mut options = options();
    options.clock = Arc::new(SimClock::new(DateTime::UNIX_EPOCH));
    let chain = Chain::new().stage("t.Hang", Box::new(Hang(trace.clone())));
    let report = chain.run(RunContext::new(options), Some(Duration::from_secs(5400))).await;
    assert_eq!(report.outcome, RunOutcome::TimedOut);
    assert_eq!(report.error.unwrap(), "pipeline `demo`: timed out after 1h30m");
    assert_eq!(lines(&trace), ["dropped"]);
}

#[tokio::test]
async fn a_cancelled_run_drops_its_stages() {
    let trace = Trace::default();
    let mut options = options();
    let cancel = CancellationToken::new();
    options.cancel = cancel.clone();
    let chain = Chain::new()
        .stage("t.Hang", Box::new(Hang(trace.clone())))
        .stage("t.Cancel", items(CancelAtFirst(cancel)));
    let report = run(chain, options).await;
    assert_eq!(report.outcome, RunOutcome::Cancelled);
    assert_eq!(lines(&trace), ["dropped"]);
}

struct CancelAtFirst(CancellationToken);

impl ItemTransform for CancelAtFirst {
    fn apply(&mut self, item: Item, _: &StageContext, out: &mut Batch) -> Result<(), StageError> {
        self.0.cancel();
        out.emit(item);
        Ok(())
    }
}

struct Lost;

#[async_trait]
impl Fence for Lost {
    async fn check(&self) -> Result<(), StageError> {
        Err(StageError::fatal("the lease of this attempt has ended"))
    }
}

#[tokio::test]
async fn an_attempt_without_its_lease_commits_nothing() {
    let trace = Trace::default();
    let mut options = options();
    options.fence = Some(Arc::new(Lost));
    let chain =
        Chain::new().stage("t.Count", fetcher(Count(1))).stage("t.Sink", sink(Collect::new(&trace, "sink")));
    let report = run(chain, options).await;
    assert_eq!(report.outcome, RunOutcome::Failed);
    assert!(lines(&trace).contains(&"rollback sink".to_owned()));
    assert!(!lines(&trace).contains(&"commit sink".to_owned()));
}

#[tokio::test]
async fn an_early_end_succeeds_without_a_commit() {
    struct Unchanged;
    impl Fetcher for Unchanged {
        async fn fetch(&mut self, ctx: &StageContext, _: &mut Emitter) -> Result<(), StageError> {
            ctx.finish_early("unchanged");
            std::future::pending().await
        }
    }
    let trace = Trace::default();
    let chain = Chain::new()
        .stage("t.Unchanged", fetcher(Unchanged))
        .stage("t.Sink", sink(Collect::new(&trace, "s")));
    let report = run(chain, options()).await;
    assert_eq!((report.outcome, report.note.as_deref()), (RunOutcome::Succeeded, Some("unchanged")));
    assert_eq!(lines(&trace), [] as [&str; 0]);
}

/// Emits payloads of lines.
struct Pages(usize);

impl Fetcher for Pages {
    async fn fetch(&mut self, ctx: &StageContext, out: &mut Emitter) -> Result<(), StageError> {
        for page in 0..self.0 {
            let text: String = (0..300).map(|line| format!("{}\n", page * 300 + line)).collect();
            out.emit(RawItem {
                source: format!("page {page}"),
                payload: text.into(),
                fetched_at: ctx.now(),
                metadata: Record::new(),
            })
            .await;
        }
        Ok(())
    }
}

struct Lines {
    fail_page: Option<&'static str>,
}

impl Parser for Lines {
    fn parse(&self, raw: RawItem, _: &StageContext, out: &mut ParserOutput) -> Result<(), StageError> {
        if self.fail_page == Some(raw.source.as_str()) {
            return Err(StageError::item("is broken").at(raw.source));
        }
        let bytes = raw.payload.into_bytes(1 << 20).unwrap();
        for line in std::str::from_utf8(&bytes).unwrap().lines() {
            if !out.emit(record(line.parse().unwrap())) {
                break;
            }
        }
        Ok(())
    }
}

struct InOrder(i64);

impl ItemTransform for InOrder {
    fn apply(&mut self, item: Item, _: &StageContext, out: &mut Batch) -> Result<(), StageError> {
        let found = number(&item);
        if found < self.0 {
            return Err(StageError::fatal(format!("{found} after {}", self.0)));
        }
        self.0 = found;
        out.emit(item);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_are_parsed_side_by_side_and_come_in_order() {
    let chain = Chain::new()
        .stage("t.Pages", fetcher(Pages(50)))
        .stage("t.Lines", parser(Lines { fail_page: None }))
        .stage("t.InOrder", items(InOrder(0)));
    let report = run(chain, options()).await;
    assert_eq!(report.error, None);
    assert_eq!((report.stages[1].items_in, report.stages[2].items_out), (50, 15_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_cannot_be_parsed_is_the_item_at_fault() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options.state_dir = folder.path().to_owned();
    let chain = Chain::new().stage("t.Pages", fetcher(Pages(5))).stage_with(
        "t.Lines",
        parser(Lines { fail_page: Some("page 3") }),
        OnError::DeadLetter,
    );
    let report = run(chain, options).await;
    assert_eq!(report.stages[1].items_out, 1200);
    let text = std::fs::read_to_string(folder.path().join("dead_letters/demo.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(line["item"]["source"], "page 3");
    assert!(line["item"]["payload"].as_str().unwrap().starts_with("900\n"));
}

#[tokio::test]
async fn a_slow_sink_slows_the_fetcher() {
    struct Slow(Arc<AtomicU64>, u64);
    impl Sink for Slow {
        async fn handle(&mut self, _: &Item, ctx: &StageContext) -> Result<(), StageError> {
            let made = ctx.progress().stages()[0].items_out();
            self.1 += 1;
            self.0.fetch_max(made - self.1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(())
        }
    }
    let ahead = Arc::new(AtomicU64::new(0));
    let chain =
        Chain::new().stage("t.Count", fetcher(Count(10_000))).stage("t.Slow", sink(Slow(ahead.clone(), 0)));
    let report = run(chain, options()).await;
    assert_eq!(report.outcome, RunOutcome::Succeeded);
    assert!(ahead.load(Ordering::SeqCst) <= pipeline_core::BATCH as u64);
}

#[tokio::test]
async fn a_fetcher_that_returns_the_error_of_an_item_obeys_on_error() {
    struct Refused(bool);
    impl Fetcher for Refused {
        async fn fetch(&mut self, _: &StageContext, out: &mut Emitter) -> Result<(), StageError> {
            out.emit(record(1)).await;
            Err(if self.0 { StageError::fatal("refused") } else { StageError::item("refused") })
        }
    }
    for (fatal, outcome) in [(false, RunOutcome::Succeeded), (true, RunOutcome::Failed)] {
        let chain = Chain::new().stage_with("t.Refused", fetcher(Refused(fatal)), OnError::Skip);
        let report = run(chain, options()).await;
        assert_eq!(report.outcome, outcome, "{:?}", report.error);
        assert_eq!((report.stages[0].items_out, report.stages[0].errors), (1, u64::from(!fatal)));
    }
}

#[test]
fn the_boxed_traits_are_object_safe() {
    fn check<T: ?Sized>() {}
    check::<dyn Transform>();
    check::<dyn Participant>();
    check::<dyn Fence>();
    check::<dyn pipeline_core::Clock>();
    check::<dyn pipeline_core::StateStore>();
    check::<dyn pipeline_core::StageState>();
}

/// Keeps what is recorded in memory, and plays it back.
#[derive(Default)]
struct MemoryTape {
    kept: Mutex<Vec<(usize, String, i64)>>,
    playback: bool,
}

impl pipeline_core::tape::Tape for MemoryTape {
    fn is_playback(&self) -> bool {
        self.playback
    }
    fn record(&self, ctx: &StageContext, key: &str, item: Item) -> Result<Item, StageError> {
        self.kept.lock().unwrap().push((ctx.number(), key.to_owned(), number(&item)));
        Ok(item)
    }
    fn play(&self, ctx: &StageContext, key: &str) -> Result<Vec<Item>, StageError> {
        let kept = self.kept.lock().unwrap();
        let mine = kept.iter().filter(|(stage, of, _)| *stage == ctx.number() && of == key);
        Ok(mine.map(|(_, _, n)| record(*n).into()).collect())
    }
}

#[tokio::test]
async fn what_a_fetcher_got_is_recorded_and_played_back_without_it() {
    let tape = Arc::new(MemoryTape::default());
    let mut recording = options();
    recording.services.insert(pipeline_core::tape::TapeDeck(tape.clone()));
    /// Emits its numbers in one batch.
    struct Bulk(i64);
    impl Fetcher for Bulk {
        async fn fetch(&mut self, _: &StageContext, out: &mut Emitter) -> Result<(), StageError> {
            out.emit_batch((0..self.0).map(|n| record(n).into()).collect::<Vec<Item>>().into()).await;
            Ok(())
        }
    }
    let chain = |count| {
        // The second fetcher lets the items of the first pass: only its own are recorded for it.
        Chain::new().stage("t.Count", fetcher(Count(count))).stage("t.Bulk", fetcher(Bulk(2)))
    };
    let report = run(chain(3), recording).await;
    assert_eq!((report.stages[0].items_out, report.stages[1].items_out), (3, 5));
    let kept = std::mem::take(&mut *tape.kept.lock().unwrap());
    assert_eq!(
        kept.iter().map(|(stage, _, n)| (*stage, *n)).collect::<Vec<_>>(),
        [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    );
    let mut playing = options();
    let tape = MemoryTape { kept: Mutex::new(kept), playback: true };
    playing.services.insert(pipeline_core::tape::TapeDeck(Arc::new(tape)));
    let report = run(chain(100), playing).await;
    assert_eq!((report.stages[0].items_out, report.stages[1].items_out), (3, 5));
}

/// A sink that refuses negative numbers.
struct Refuse(Trace);

impl Sink for Refuse {
    async fn open(&mut self, _: &StageContext) -> Result<(), StageError> {
        say(&self.0, "open");
        Ok(())
    }

    async fn handle(&mut self, item: &Item, _: &StageContext) -> Result<(), StageError> {
        let n = number(item);
        if n < 0 { Err(StageError::item(format!("{n} is refused"))) } else { Ok(()) }
    }

    async fn finish(&mut self, _: &StageContext) -> Result<(), StageError> {
        say(&self.0, "finish");
        Ok(())
    }
}

/// Emits these numbers.
struct Given(Vec<i64>);

impl Fetcher for Given {
    async fn fetch(&mut self, _: &StageContext, out: &mut Emitter) -> Result<(), StageError> {
        for n in &self.0 {
            out.emit(record(*n)).await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_sink_is_opened_and_finished_also_when_nothing_comes() {
    let trace = Trace::default();
    let chain = Chain::new()
        .stage("test.Given", pipeline_core::fetcher(Given(Vec::new())))
        .stage("test.Refuse", pipeline_core::sink(Refuse(trace.clone())));
    assert_eq!(run(chain, options()).await.outcome, RunOutcome::Succeeded);
    assert_eq!(lines(&trace), ["open", "finish"]);
}

#[tokio::test]
async fn the_first_item_that_a_sink_refuses_is_the_one_that_is_told() {
    let chain = Chain::new()
        .stage("test.Given", pipeline_core::fetcher(Given(vec![1, -2, 3, -4])))
        .stage("test.Refuse", pipeline_core::sink(Refuse(Trace::default())));
    let error = run(chain, options()).await.error.unwrap_or_default();
    assert!(error.contains("-2 is refused"), "{error}");
}
