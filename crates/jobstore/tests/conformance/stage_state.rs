//! What stages keep: aside until the attempt succeeds, and only for the attempt that holds its run.

use std::time::Duration;

use jobstore::{
    AttemptKey, AttemptOutcome, End, JobStore, Outcome, StageScope, StateOp, StateWrite, StoreError, Turn,
};

use crate::harness::*;

fn scope() -> StageScope {
    StageScope { pipeline: "a".to_owned(), stage: "diff".to_owned() }
}

fn writes(text: &str) -> Vec<StateWrite> {
    text.split_whitespace()
        .map(|word| {
            let (key, op) = match word.split_once('=') {
                Some((key, value)) => (key, StateOp::Put(value.as_bytes().to_vec())),
                None => match word.strip_prefix('-') {
                    Some(key) => (key, StateOp::Delete),
                    None => (word, StateOp::Touch),
                },
            };
            StateWrite { key: key.as_bytes().to_vec(), op }
        })
        .collect()
}

async fn stage_writes(store: &dyn JobStore, key: &AttemptKey, text: &str) {
    store.state_stage(key, &scope(), writes(text)).await.unwrap();
}

async fn get(store: &dyn JobStore, key: Option<&AttemptKey>, keys: &str) -> Vec<String> {
    let keys = keys.split_whitespace().map(|key| key.as_bytes().to_vec()).collect();
    let values = store.state_get(key, &scope(), keys).await.unwrap();
    values.into_iter().map(|value| value.map_or("-".to_owned(), |v| String::from_utf8(v).unwrap())).collect()
}

async fn scan(store: &dyn JobStore, key: Option<&AttemptKey>, prefix: &str) -> Vec<String> {
    let entries = store.state_scan(key, &scope(), prefix.as_bytes(), None, 100).await.unwrap();
    assert_eq!(store.state_count(key, &scope(), prefix.as_bytes()).await.unwrap(), entries.len() as u64);
    entries
        .into_iter()
        .map(|entry| {
            format!("{}={}", String::from_utf8(entry.key).unwrap(), String::from_utf8(entry.value).unwrap())
        })
        .collect()
}

/// An attempt of pipeline a that begins at these seconds.
async fn attempt(store: &dyn JobStore, seconds: i64) -> AttemptKey {
    put(store, vec![job("1", "a", seconds, "attempts=9")]).await;
    key(&go(store, seconds, 1).await.started[0], "me")
}

async fn finish(store: &dyn JobStore, key: &AttemptKey, seconds: i64, outcome: Outcome) {
    end(store, seconds, vec![ended(key.clone(), seconds, End::Finish(outcome))]).await;
}

on_every_store! {
    async fn writes_become_valid_with_the_success(stage: Stage) {
        let first = attempt(&*stage, 60).await;
        stage_writes(&*stage, &first, "k1=one k2=two").await;
        assert_eq!(get(&*stage, None, "k1 k2").await, ["-", "-"]);
        assert_eq!(get(&*stage, Some(&first), "k2 k1 k3").await, ["two", "one", "-"], "the attempt sees its own");
        finish(&*stage, &first, 61, Outcome::Succeeded).await;
        assert_eq!(get(&*stage, None, "k1 k2").await, ["one", "two"]);
        let second = attempt(&*stage, 120).await;
        stage_writes(&*stage, &second, "k1=changed -k2 k3=new").await;
        assert_eq!(get(&*stage, Some(&second), "k1 k2 k3").await, ["changed", "-", "new"]);
        finish(&*stage, &second, 121, Outcome::Failed).await;
        assert_eq!(scan(&*stage, None, "").await, ["k1=one", "k2=two"], "a failure repeats its diffs next time");
        let third = attempt(&*stage, 180).await;
        stage_writes(&*stage, &third, "k1=changed -k2 k3=new").await;
        finish(&*stage, &third, 181, Outcome::Succeeded).await;
        assert_eq!(scan(&*stage, None, "").await, ["k1=changed", "k3=new"]);
    }

    async fn later_writes_win_and_a_touch_changes_nothing(stage: Stage) {
        let key = attempt(&*stage, 60).await;
        stage_writes(&*stage, &key, "k=1 k=2 k m -m m=3 d=1 -d").await;
        assert_eq!(get(&*stage, Some(&key), "k m d").await, ["2", "3", "-"]);
        stage_writes(&*stage, &key, "k m d").await;
        assert_eq!(get(&*stage, Some(&key), "k m d").await, ["2", "3", "-"]);
        stage_writes(&*stage, &key, "k=4 -m").await;
        finish(&*stage, &key, 61, Outcome::Succeeded).await;
        assert_eq!(scan(&*stage, None, "").await, ["k=4"]);
    }

    async fn what_was_not_seen_is_found(stage: Stage) {
        let first = attempt(&*stage, 60).await;
        stage_writes(&*stage, &first, "t1/a=1 t1/b=2 t1/c=3 t2/a=4").await;
        assert_eq!(scan(&*stage, Some(&first), "").await, [] as [&str; 0]);
        finish(&*stage, &first, 61, Outcome::Succeeded).await;
        let second = attempt(&*stage, 120).await;
        stage_writes(&*stage, &second, "t1/a t1/b=5 t1/d=6").await;
        assert_eq!(scan(&*stage, Some(&second), "t1/").await, ["t1/c=3"]);
        assert_eq!(scan(&*stage, Some(&second), "").await, ["t1/c=3", "t2/a=4"]);
        assert_eq!(scan(&*stage, None, "t1/").await, ["t1/a=1", "t1/b=2", "t1/c=3"]);
        let page = stage.state_scan(None, &scope(), b"t1/", Some(b"t1/a".to_vec()), 1).await.unwrap();
        assert_eq!(page[0].key, b"t1/b");
        let other = StageScope { stage: "other".to_owned(), ..scope() };
        assert_eq!(stage.state_count(None, &other, b"").await.unwrap(), 0);
    }

    async fn odd_bytes_are_bytes(stage: Stage) {
        let key = attempt(&*stage, 60).await;
        let write = |key: &[u8]| StateWrite { key: key.to_vec(), op: StateOp::Put(vec![0, 255]) };
        let keys: [&[u8]; 5] = [b"", b"\xff", b"\xff\xff", b"\xff\x00", b"\x00"];
        stage.state_stage(&key, &scope(), keys.map(write).to_vec()).await.unwrap();
        finish(&*stage, &key, 61, Outcome::Succeeded).await;
        let values = stage.state_get(None, &scope(), keys.map(<[u8]>::to_vec).to_vec()).await.unwrap();
        assert_eq!(values, vec![Some(vec![0, 255]); 5]);
        assert_eq!(stage.state_count(None, &scope(), b"\xff").await.unwrap(), 3);
        let all = stage.state_scan(None, &scope(), b"", None, 9).await.unwrap();
        assert_eq!(all.iter().map(|entry| entry.key.as_slice()).collect::<Vec<_>>(), [&b""[..], b"\x00", b"\xff", b"\xff\x00", b"\xff\xff"]);
    }

    async fn only_the_holder_can_write(stage: Stage) {
        let key = attempt(&*stage, 60).await;
        stage_writes(&*stage, &key, "k=zombie").await;
        let stranger = AttemptKey { owner: "other".into(), ..key.clone() };
        let refused = |result: Result<(), StoreError>| matches!(result, Err(StoreError::NotHeld { .. }));
        assert!(refused(stage.state_stage(&stranger, &scope(), writes("k=x")).await));
        assert!(refused(stage.commit_staged(&stranger, at(61)).await));
        assert!(refused(stage.discard_staged(&stranger).await));
        assert!(!StoreError::NotHeld { run: key.run, attempt: 1 }.is_transient());
        let retry = End::Retry { outcome: AttemptOutcome::Failed, available_at: at(62) };
        end(&*stage, 61, vec![ended(key.clone(), 61, retry)]).await;
        assert!(refused(stage.commit_staged(&key, at(62)).await), "an attempt that has ended is nobody");
        let next = go(&*stage, 62, 1).await.started.remove(0);
        let next = crate::harness::key(&next, "me");
        assert_eq!(get(&*stage, Some(&next), "k").await, ["-"], "the next attempt begins with nothing");
        assert!(refused(stage.state_stage(&key, &scope(), writes("k=x")).await));
        finish(&*stage, &next, 63, Outcome::Succeeded).await;
        assert_eq!(scan(&*stage, None, "").await, [] as [&str; 0]);
    }

    async fn a_dead_attempts_writes_are_dropped(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "")]).await;
        let claim = Turn { lease: Duration::ZERO, ..a_turn("dead", 60, 1) };
        let dead = key(&run_turn(&*stage, claim).await.started[0], "dead");
        stage_writes(&*stage, &dead, "k=zombie").await;
        let next = go(&*stage, 70, 1).await.started.remove(0);
        assert!(matches!(stage.commit_staged(&dead, at(71)).await, Err(StoreError::NotHeld { .. })));
        finish(&*stage, &key(&next, "me"), 72, Outcome::Succeeded).await;
        assert_eq!(scan(&*stage, None, "").await, [] as [&str; 0]);
    }

    async fn an_attempt_can_commit_and_go_on(stage: Stage) {
        let key = attempt(&*stage, 60).await;
        stage_writes(&*stage, &key, "k=1").await;
        stage.commit_staged(&key, at(61)).await.unwrap();
        stage.commit_staged(&key, at(61)).await.unwrap();
        assert_eq!(scan(&*stage, None, "").await, ["k=1"]);
        stage_writes(&*stage, &key, "k=2").await;
        stage.discard_staged(&key).await.unwrap();
        stage_writes(&*stage, &key, "m=3").await;
        finish(&*stage, &key, 62, Outcome::Succeeded).await;
        assert_eq!(scan(&*stage, None, "").await, ["k=1", "m=3"]);
        assert_eq!(stage.state_clear("a", Some("other")).await.unwrap(), 0);
        assert_eq!(stage.state_clear("a", None).await.unwrap(), 2);
    }

    async fn many_keys_fit_into_a_call(stage: Stage) {
        let key = attempt(&*stage, 60).await;
        let many: Vec<StateWrite> = (0..3000)
            .map(|n| StateWrite { key: format!("{n:05}").into_bytes(), op: StateOp::Put(b"v".to_vec()) })
            .collect();
        let keys = many.iter().map(|write| write.key.clone()).collect();
        stage.state_stage(&key, &scope(), many).await.unwrap();
        finish(&*stage, &key, 61, Outcome::Succeeded).await;
        let values = stage.state_get(None, &scope(), keys).await.unwrap();
        assert!(values.len() == 3000 && values.iter().all(Option::is_some));
        assert_eq!(stage.state_count(None, &scope(), b"01").await.unwrap(), 1000);
    }

    async fn a_value_is_replaced_only_where_it_is_what_was_seen(stage: Stage) {
        let bytes = |text: &str| (text != "-").then(|| text.as_bytes().to_vec());
        // old, new, whether the new one is there, what is kept then
        for case in [
            "x a no -", "- a yes a", "- a yes a", "- b no a", "a b yes b", "a b yes b", "a c no b", "a - no b",
            "b - yes -", "b - yes -", "- - yes -",
        ] {
            let [old, new, expected, kept] = case.split(' ').collect::<Vec<_>>()[..] else { panic!("{case}") };
            let done = stage.state_replace(&scope(), b"k", bytes(old), bytes(new)).await.unwrap();
            assert_eq!((done, get(&*stage, None, "k").await), (expected == "yes", vec![kept.to_owned()]), "{case}");
        }
    }

    async fn of_many_who_replace_a_value_none_is_overlooked(stage: Stage) {
        let stage = &stage;
        let adding = (b'a'..=b'h').map(|letter| async move {
            loop {
                let seen = stage.state_get(None, &scope(), vec![b"sum".to_vec()]).await.unwrap().remove(0);
                let mut more = seen.clone().unwrap_or_default();
                more.push(letter);
                if stage.state_replace(&scope(), b"sum", seen, Some(more)).await.unwrap() {
                    return;
                }
            }
        });
        futures_util::future::join_all(adding).await;
        let mut letters: Vec<char> = get(&**stage, None, "sum").await.remove(0).chars().collect();
        letters.sort_unstable();
        assert_eq!(letters.iter().collect::<String>(), "abcdefgh");
    }
}
