//! The state of stages in SQLite files.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use pipeline_core::{
    ItemStream, StageContext, StageError, StageState, StateScope, StateStore, StateWrite, Transform,
};
use serde_json::json;

use crate::keep::testing::{Bench, Ran};
use crate::sql::SqliteStateStore;

type Work = fn(Box<dyn StageState>) -> BoxFuture<'static, Result<(), StageError>>;

/// A stage that works on its state, when its input has ended.
struct Works {
    name: &'static str,
    work: Work,
}

impl Transform for Works {
    fn connect(self: Box<Self>, mut input: ItemStream, ctx: StageContext) -> ItemStream {
        ItemStream::generate(move |_| async move {
            while let Some(batch) = input.next_batch().await {
                batch?;
            }
            (self.work)(ctx.state(self.name).await?).await
        })
    }
}

fn works(bench: Bench, name: &'static str, work: Work) -> Bench {
    bench.own_stage(move || Box::new(Works { name, work }))
}

async fn run(bench: Bench) -> (Bench, Ran) {
    let ran = bench.run(json!([])).await;
    (bench.without_stages(), ran)
}

fn put(key: &'static str, value: &'static str) -> StateWrite {
    StateWrite::Put(Bytes::from_static(key.as_bytes()), Bytes::from_static(value.as_bytes()))
}

fn key(key: &'static str) -> Bytes {
    Bytes::from_static(key.as_bytes())
}

async fn values(state: &mut dyn StageState, keys: &[&'static str]) -> Vec<Option<String>> {
    let keys: Vec<_> = keys.iter().map(|key| Bytes::from_static(key.as_bytes())).collect();
    let values = state.get_many(&keys).await.unwrap();
    values.into_iter().map(|value| value.map(|value| String::from_utf8(value.into()).unwrap())).collect()
}

async fn untouched(
    state: &mut dyn StageState,
    prefix: &str,
    after: Option<&'static str>,
    limit: usize,
) -> Vec<String> {
    let found = state.untouched(prefix.as_bytes(), after.map(key), limit).await.unwrap();
    found.into_iter().map(|(key, _)| String::from_utf8(key.into()).unwrap()).collect()
}

#[tokio::test]
async fn a_run_reads_what_it_wrote_and_the_next_what_was_committed() {
    let bench = works(Bench::new(), "s", |mut state| {
        Box::pin(async move {
            state.write(vec![put("a1", "x"), put("a2", "y"), put("b1", "z"), put("a3", "")]).await?;
            state
                .write(vec![put("a1", "x2"), StateWrite::Delete(key("a2")), StateWrite::Touch(key("zz"))])
                .await?;
            assert_eq!(
                values(state.as_mut(), &["b1", "a2", "a1", "none", "zz", "a3"]).await,
                [Some("z".into()), None, Some("x2".into()), None, None, Some(String::new())]
            );
            assert_eq!(state.count(b"a").await?, 0, "nothing is committed yet");
            assert!(untouched(state.as_mut(), "", None, 9).await.is_empty());
            Ok(())
        })
    });
    let (bench, ran) = run(bench).await;
    ran.succeeded();
    let bench = works(bench, "s", |mut state| {
        Box::pin(async move {
            assert_eq!(
                values(state.as_mut(), &["a1", "a2", "a3", "zz"]).await,
                [Some("x2".into()), None, Some(String::new()), None]
            );
            assert_eq!((state.count(b"a").await?, state.count(b"").await?), (2, 3));
            assert_eq!(untouched(state.as_mut(), "a", None, 9).await, ["a1", "a3"]);
            assert_eq!(untouched(state.as_mut(), "", Some("a1"), 1).await, ["a3"]);
            state
                .write(vec![StateWrite::Touch(key("a1")), put("a5", "new"), StateWrite::Delete(key("b1"))])
                .await?;
            assert_eq!(untouched(state.as_mut(), "", None, 9).await, ["a3"]);
            assert_eq!((state.count(b"").await?, state.count_untouched(b"").await?), (3, 1));
            Ok(())
        })
    });
    let (bench, ran) = run(bench).await;
    ran.succeeded();
    // Another name is another state.
    let bench = works(bench, "s", |mut state| {
        Box::pin(async move {
            assert_eq!(untouched(state.as_mut(), "", None, 9).await, ["a1", "a3", "a5"]);
            Ok(())
        })
    });
    let bench = works(bench, "other", |mut state| {
        Box::pin(async move {
            assert_eq!(state.count(b"").await?, 0);
            Ok(())
        })
    });
    run(bench).await.1.succeeded();
}

#[tokio::test]
async fn prefixes_are_bytes() {
    let bench = works(Bench::new(), "s", |mut state| {
        Box::pin(async move {
            let keys: [&'static [u8]; 5] =
                [b"\xff", b"\xff\xff", b"\xff\xff\x01", b"\xfe\xff", b"\xfe\xff\xff"];
            state.write(keys.map(|key| StateWrite::Put(key.into(), Bytes::new())).to_vec()).await
        })
    });
    let (bench, ran) = run(bench).await;
    ran.succeeded();
    let bench = works(bench, "s", |mut state| {
        Box::pin(async move {
            let prefixes: [&[u8]; 5] = [b"\xff\xff", b"\xff", b"\xfe\xff", b"", b"\xfd"];
            for (prefix, count) in prefixes.into_iter().zip([2, 3, 2, 5, 0]) {
                assert_eq!(state.count(prefix).await?, count, "{prefix:?}");
            }
            Ok(())
        })
    });
    run(bench).await.1.succeeded();
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    let bench =
        works(Bench::new(), "s", |mut state| Box::pin(async move { state.write(vec![put("a", "b")]).await }));
    bench.run(json!([])).await.succeeded();
    bench.execute("state/p.db", "UPDATE scraper_state_format SET version = 2");
    let before = std::fs::read(bench.path("state/p.db")).unwrap();
    let error = bench.run(json!([])).await.error();
    assert!(error.contains("newer version") && error.contains("state/p.db"), "{error}");
    assert_eq!(std::fs::read(bench.path("state/p.db")).unwrap(), before);
}

#[tokio::test]
async fn values_may_be_large() {
    let bench = works(Bench::new(), "s", |mut state| {
        Box::pin(
            async move { state.write(vec![StateWrite::Put(key("page"), vec![7; 20 << 20].into())]).await },
        )
    });
    let (bench, ran) = run(bench).await;
    ran.succeeded();
    let bench = works(bench, "s", |mut state| {
        Box::pin(async move {
            let page = state.get_many(&[key("page")]).await?.remove(0).unwrap();
            assert_eq!((page.len(), page.iter().all(|byte| *byte == 7)), (20 << 20, true));
            Ok(())
        })
    });
    run(bench).await.1.succeeded();
}

#[tokio::test]
async fn names_of_pipelines_are_safe_file_names() {
    let store = SqliteStateStore::new("/s");
    assert_eq!(store.path("../x/y"), std::path::Path::new("/s/%2E.%2Fx%2Fy.db"));
    assert_eq!(SqliteStateStore::at("/a/b.db").path("p"), std::path::Path::new("/a/b.db"));
    // A state that is only read makes no file.
    let bench = Bench::new();
    let run = pipeline_core::RunContext::new(bench.options());
    let scope = StateScope { pipeline: "p".into(), name: "s".into() };
    let mut state = SqliteStateStore::new(bench.path("state")).open(scope, &run).await.unwrap();
    assert_eq!(values(state.as_mut(), &["a"]).await, [None]);
    assert!(bench.files().is_empty());
}
