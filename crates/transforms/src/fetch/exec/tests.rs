//! Commands that behave, fail, hang and leave children behind.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline_core::{
    Chain, Event, EventLevel, Item, LogLine, LogSink, OnError, Payload, RawItem, Record, RunContext,
    RunOptions, RunOutcome, Stopwatch,
};
use serde_json::{Value, json};

use crate::fetch::testing::{Done, build, build_error, options, options_in, parsed, run, run_chain, run_on};

const FETCHER: &str = "exec.CommandFetcher";
const TRANSFORM: &str = "exec.CommandTransform";

fn shell(script: &str) -> Value {
    json!(["sh", "-c", script])
}

async fn transform(items: Vec<Item>, script: &str) -> Done {
    run_on(items, TRANSFORM, json!({"command": shell(script)}), OnError::Fail, options()).await
}

/// Whether a process is gone, or only waits for its parent to notice.
fn is_gone(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim().starts_with('Z')))
}

/// Waits until a file has a whole line, and returns it.
async fn line_of(path: &Path) -> String {
    let wait = async {
        loop {
            match std::fs::read_to_string(path) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap()
}

async fn gone(pid: &str) {
    let wait = async {
        while !is_gone(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
}

#[tokio::test]
async fn output_is_one_payload_or_an_item_a_line() {
    let done = run(FETCHER, json!({"command": ["printf", "a\\nb"]})).await;
    done.succeeded();
    assert_eq!(done.raw().next().unwrap().source, "printf");
    assert_eq!(done.texts(), ["a\nb"]);

    let script = r#"
        echo '{"topic":"t","content":{"n":1}}'
        echo
        echo '{"source":"s","text":"body"}'
        printf '{"a":1}'"#;
    let done = run(FETCHER, json!({"command": shell(script), "format": "jsonl"})).await;
    done.succeeded();
    assert_eq!(done.contents(), [r#"{"n":1}"#]);
    assert_eq!(done.texts(), ["body", r#"{"a":1}"#]);
}

#[tokio::test]
async fn a_command_knows_its_run() {
    let script =
        "echo $SCRAPER_RUN_ID $SCRAPER_PIPELINE $SCRAPER_JOB_ID $SCRAPER_SCHEDULED_FOR $SCRAPER_ATTEMPT";
    let done = run(FETCHER, json!({"command": shell(script)})).await;
    assert_eq!(done.texts(), ["run-1 test pipeline_test 1970-01-01T00:00:00Z 2\n"]);
}

#[tokio::test]
async fn a_failure_is_told_with_the_last_words() {
    let cases = [
        (
            shell("echo wasted; echo first >&2; echo why >&2; exit 3"),
            "exit code 3; its last words were: first | why",
        ),
        (shell("kill -s KILL $$"), "sh: the command was killed by signal 9"),
        (json!(["/no/such/program"]), "/no/such/program: the command cannot be started"),
        (json!(["no-such-program"]), "is it installed, and on the PATH?"),
    ];
    for (command, expected) in cases {
        let done = run(FETCHER, json!({"command": command})).await;
        assert!(done.error().contains(expected), "{}", done.error());
        assert_eq!(done.raw().count(), 0, "output of a failed command must not pass");
        let done = run_on(vec![], TRANSFORM, json!({"command": command}), OnError::Skip, options()).await;
        assert!(done.error().contains(expected), "{}", done.error());
    }
}

#[tokio::test]
async fn a_failing_fetch_obeys_on_error() {
    let kwargs = json!({"command": ["false"]});
    let chain = Chain::new().stage_with("x", build(FETCHER, kwargs), OnError::Skip);
    let done = run_chain(chain, RunContext::new(options())).await;
    done.succeeded();
    assert_eq!(done.report.note.as_deref(), Some("1 item skipped"));
}

#[tokio::test]
async fn long_output_is_read_as_it_comes() {
    let long = "head -c 3000000 /dev/zero | tr '\\0' x";
    // Nobody reads it: the command is ended, and that is no fault.
    let chain = Chain::new().stage("x", build(FETCHER, json!({"command": shell(long)})));
    let report = chain.run(RunContext::new(options()), None).await;
    assert_eq!(report.outcome, RunOutcome::Succeeded, "{:?}", report.error);

    for (script, ok) in [(long.to_owned(), true), (format!("{long}; exit 4"), false)] {
        let chain = Chain::new()
            .stage("x", build(FETCHER, json!({"command": shell(&script)})))
            .stage("count", build(TRANSFORM, json!({"command": ["sh", "-c", "wc -c >&2"]})));
        let done = run_chain(chain, RunContext::new(options())).await;
        if ok {
            done.succeeded();
        } else {
            assert!(done.error().contains("exit code 4"), "{}", done.error());
        }
    }
}

#[tokio::test]
async fn lines_wait_for_their_reader() {
    // Endless output: it must neither fill memory nor keep the run from ending with its reader.
    let kwargs = json!({"command": ["yes", "{\"topic\":\"t\",\"content\":{}}"], "format": "jsonl", "timeout": "300ms"});
    let done = run(FETCHER, kwargs).await;
    assert!(done.error().contains("yes: the command timed out after 300ms"), "{}", done.error());
    assert!(done.parsed().count() > 0);
}

#[tokio::test]
async fn a_timeout_ends_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let script = format!("sleep 1000 & echo $$ $! > {}; wait", file.display());
    for class in [FETCHER, TRANSFORM] {
        let kwargs = json!({"command": shell(&script), "timeout": "200ms"});
        let done = run_on(vec![], class, kwargs, OnError::Fail, options()).await;
        assert!(done.error().contains("timed out after 200ms"), "{}", done.error());
        for pid in line_of(&file).await.split_whitespace() {
            gone(pid).await;
        }
    }
}

#[tokio::test]
async fn children_that_stay_behind_are_ended() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}; echo out", file.display());
    let done = run(FETCHER, json!({"command": shell(&script)})).await;
    done.succeeded();
    assert_eq!(done.texts(), ["out\n"]);
    gone(&line_of(&file).await).await;
}

#[tokio::test]
async fn a_deaf_command_is_killed_when_the_run_is_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!("trap '' TERM; echo $$ > {}; while :; do sleep 0.05; done", file.display());
    let options = options();
    let cancel = options.cancel.clone();
    let chain = Chain::new().stage("x", build(FETCHER, json!({"command": shell(&script)})));
    let run = tokio::spawn(run_chain(chain, RunContext::new(options)));
    let pid = line_of(&file).await;
    let watch = Stopwatch::start();
    cancel.cancel();
    let done = run.await.unwrap();
    assert_eq!(done.report.outcome, RunOutcome::Cancelled);
    assert!(is_gone(&pid), "the run must not end before its command");
    assert!(watch.elapsed() >= Duration::from_secs(5), "it had no time to end by itself");
    assert!(watch.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_command_does_not_outlive_its_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let script = format!("sleep 1000 & echo $$ $! > {}; wait", file.display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pids = runtime.block_on(async {
        let chain = Chain::new().stage("x", build(FETCHER, json!({"command": shell(&script)})));
        tokio::spawn(run_chain(chain, RunContext::new(options())));
        line_of(&file).await
    });
    drop(runtime);
    let watching = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    watching.block_on(async {
        for pid in pids.split_whitespace() {
            gone(pid).await;
        }
    });
}

#[tokio::test]
async fn a_watchdog_ends_the_group_of_a_process_that_died() {
    use std::os::unix::process::CommandExt;
    let spawn = || {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "sleep 1000 & wait"]).process_group(0).spawn().unwrap()
    };
    let ctx = pipeline_core::StageContext::new(RunContext::new(options()), 1, "x");
    for farewell in [false, true] {
        let mut child = spawn();
        let group = rustix::process::Pid::from_child(&child);
        let watchdog = super::watchdog::Watchdog::over(group, &ctx).unwrap();
        if farewell {
            watchdog.dismiss().await;
            assert!(child.try_wait().unwrap().is_none(), "a farewell spares the group");
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        } else {
            // As when this process dies: the pipe closes without a word.
            drop(watchdog);
        }
        let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }
}

#[tokio::test]
async fn items_go_through_a_command() {
    let raw = RawItem {
        source: "s".into(),
        payload: Payload::from(vec![0xff, 0x00]),
        fetched_at: chrono::DateTime::UNIX_EPOCH,
        metadata: Record::new(),
    };
    let event = Event {
        level: EventLevel::Info,
        message: "m".into(),
        source: String::new(),
        timestamp: chrono::DateTime::UNIX_EPOCH,
        metadata: Record::new(),
    };
    let items = vec![parsed("t", json!({"n": 1})), raw.into(), event.into()];
    let done = transform(items, "cat").await;
    done.succeeded();
    assert_eq!(done.contents(), [r#"{"n":1}"#]);
    assert_eq!(done.events().count(), 1);
    let Some(Item::Raw(raw)) = done.items.into_iter().nth(1) else { panic!("no payload") };
    assert_eq!(&raw.payload.into_bytes(9).unwrap()[..], [0xff, 0x00]);
}

#[tokio::test]
async fn many_items_stream_both_ways() {
    let items = (0..20_000).map(|n| parsed("t", json!({"n": n, "text": "some text to fill the pipes"})));
    let done = transform(items.collect(), "cat").await;
    done.succeeded();
    let numbers: Vec<_> =
        done.parsed().map(|item| item.content.get("n").unwrap().as_i64().unwrap()).collect();
    assert_eq!(numbers, (0..20_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_command_works_on_after_the_end_of_its_input() {
    let script = r#"n=$(wc -l); echo '{"topic":"sum","content":{"n":'$n'}}'"#;
    let items = (0..3).map(|n| parsed("t", json!({"n": n}))).collect();
    let done = transform(items, script).await;
    done.succeeded();
    assert_eq!(done.contents(), [r#"{"n":3}"#]);
}

#[tokio::test]
async fn a_stray_print_is_an_error_of_its_line() {
    let cases =
        [("echo hello", "sh: line 1: not a JSON line: `hello`"), ("echo '{}'", "sh: line 1: no item: `{}`")];
    for (script, expected) in cases {
        let done = transform(vec![], script).await;
        assert!(done.error().contains(expected), "{}", done.error());
        assert!(done.error().contains("messages belong to stderr"));
        let kwargs = json!({"command": shell(script)});
        run_on(vec![], TRANSFORM, kwargs, OnError::Skip, options()).await.succeeded();
    }
}

#[tokio::test]
async fn a_command_may_stop_reading() {
    let items = (0..50_000).map(|n| parsed("t", json!({"n": n}))).collect();
    let done = transform(items, "head -n 1").await;
    done.succeeded();
    assert_eq!(done.contents(), [r#"{"n":0}"#]);
    assert_eq!(done.report.stages[1].items_in, 50_000, "earlier stages see their whole input through");
}

#[tokio::test]
async fn a_command_that_fails_is_heard_before_the_input_ends() {
    /// Gives nothing and never ends.
    struct Endless;
    impl pipeline_core::Transform for Endless {
        fn connect(
            self: Box<Self>,
            input: pipeline_core::ItemStream,
            _: pipeline_core::StageContext,
        ) -> pipeline_core::ItemStream {
            pipeline_core::ItemStream::generate(|mut out| async move {
                let _input = input;
                out.emit_batch(vec![Item::Trigger].into()).await;
                std::future::pending().await
            })
        }
    }
    let chain = Chain::new()
        .stage("endless", Box::new(Endless))
        .stage("x", build(TRANSFORM, json!({"command": ["false"]})));
    let done = tokio::time::timeout(Duration::from_secs(20), run_chain(chain, RunContext::new(options())));
    assert!(done.await.unwrap().error().contains("exit code 1"));
}

#[tokio::test]
async fn stderr_goes_to_the_log_within_bounds() {
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<String>>>);
    impl LogSink for Kept {
        fn line(&self, line: LogLine) {
            self.0.lock().unwrap().push(line.message);
        }
    }
    let kept = Kept::default();
    let folder = tempfile::tempdir().unwrap();
    let options = RunOptions { log: Some(Arc::new(kept.clone())), ..options_in(folder.path()) };
    options.redactor.add("hush-hush");
    let script =
        "echo secret hush-hush >&2; i=0; while [ $i -lt 1500 ]; do echo line $i >&2; i=$((i+1)); done";
    let chain = Chain::new().stage("x", build(FETCHER, json!({"command": shell(script)})));
    run_chain(chain, RunContext::new(options)).await.succeeded();
    let lines = kept.0.lock().unwrap();
    assert_eq!(lines.len(), 1001);
    assert_eq!(lines[0], "stderr: secret [redacted]");
    assert_eq!(lines[1000], "stderr: 501 further lines were not logged");
}

#[test]
fn a_command_needs_a_program() {
    for (command, expected) in [
        (json!([]), "command: a command needs a program"),
        (json!([""]), "command[0]: the name of the program must not be empty"),
        (json!(["a", "\0"]), "command[1]: an argument cannot hold a NUL"),
    ] {
        for class in [FETCHER, TRANSFORM] {
            let error = build_error(class, json!({"command": command}));
            assert!(error.contains(expected), "{error}");
        }
    }
}
