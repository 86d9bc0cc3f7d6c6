//! The outbox: in order for each target, batches that never change, nothing lost.

use std::time::Duration;

use jobstore::{
    ClaimMessages, End, JobStore, MessageFilter, MessageId, MessageSelection, MessageState, NewMessage,
    Outcome, Owner, SealedBatch, StoreError, TargetMessages,
};

use crate::harness::*;

fn message(target: &str, payload: &str) -> NewMessage {
    NewMessage {
        pipeline: "a".to_owned(),
        stage: "sink".to_owned(),
        run: None,
        target: target.to_owned(),
        kind: "discord".to_owned(),
        payload: payload.to_owned(),
    }
}

fn claim(owner: &str, seconds: i64) -> ClaimMessages {
    ClaimMessages {
        owner: Owner::from(owner),
        now: at(seconds),
        lease: Duration::from_secs(3600),
        targets: 10,
        per_target: 3,
        kinds: Vec::new(),
        except: Vec::new(),
    }
}

async fn enqueue(store: &dyn JobStore, target: &str, payloads: &[&str]) {
    let messages = payloads.iter().map(|payload| message(target, payload)).collect();
    store.enqueue_messages(messages, at(0)).await.unwrap();
}

fn payloads(claimed: &[TargetMessages]) -> Vec<String> {
    claimed
        .iter()
        .map(|target| {
            let texts: Vec<&str> = target.messages.iter().map(|message| message.payload.as_str()).collect();
            format!("{}: {}", target.target, texts.join(" "))
        })
        .collect()
}

fn ids(claimed: &[TargetMessages]) -> Vec<MessageId> {
    claimed.iter().flat_map(|target| target.messages.iter().map(|message| message.id)).collect()
}

fn me() -> Owner {
    Owner::from("me")
}

on_every_store! {
    async fn messages_are_claimed_in_order_for_each_target(stage: Stage) {
        enqueue(&*stage, "x", &["1", "2", "3", "4"]).await;
        enqueue(&*stage, "y", &["5"]).await;
        let first = stage.claim_messages(claim("me", 1)).await.unwrap();
        assert_eq!(payloads(&first), ["x: 1 2 3", "y: 5"]);
        assert_eq!(payloads(&stage.claim_messages(claim("other", 1)).await.unwrap()), [] as [&str; 0], "one sender for a target");
        assert_eq!(payloads(&stage.claim_messages(claim("me", 1)).await.unwrap()), [] as [&str; 0], "also within a process");
        stage.messages_sent(&me(), &ids(&first)).await.unwrap();
        assert_eq!(payloads(&stage.claim_messages(claim("me", 1)).await.unwrap()), ["x: 4"]);
        assert_eq!(stage.messages(MessageFilter::default()).await.unwrap().len(), 1);
    }

    async fn a_sealed_batch_stays_what_it_is(stage: Stage) {
        enqueue(&*stage, "x", &["1", "2", "3"]).await;
        let claimed = stage.claim_messages(claim("me", 1)).await.unwrap();
        let two = SealedBatch { batch: "b1".to_owned(), nonce: "n1".to_owned(), ids: ids(&claimed)[..2].to_vec() };
        assert_eq!(stage.seal_messages(&me(), vec![two.clone()]).await.unwrap(), []);
        assert_eq!(stage.seal_messages(&me(), vec![two.clone()]).await.unwrap(), [], "repeated");
        let regrouped = SealedBatch { batch: "b2".to_owned(), nonce: "n2".to_owned(), ids: ids(&claimed) };
        assert_eq!(stage.seal_messages(&me(), vec![regrouped.clone()]).await.unwrap(), [regrouped]);
        assert_eq!(stage.seal_messages(&Owner::from("other"), vec![two.clone()]).await.unwrap(), std::slice::from_ref(&two));
        stage.messages_failed(&me(), &two.ids, "503", at(100)).await.unwrap();
        stage.release_messages(&me()).await.unwrap();
        enqueue(&*stage, "x", &["4"]).await;
        assert_eq!(payloads(&stage.claim_messages(claim("other", 99)).await.unwrap()), [] as [&str; 0], "those behind it wait");
        assert_eq!(stage.next_message_at().await.unwrap(), Some(at(100)));
        let again = stage.claim_messages(ClaimMessages { per_target: 1, ..claim("other", 100) }).await.unwrap();
        assert_eq!(payloads(&again), ["x: 1 2"], "whole, whatever the limit");
        let head = &again[0].messages[0];
        assert_eq!((head.batch.as_deref(), head.nonce.as_deref(), head.attempts, head.error.as_deref()), (Some("b1"), Some("n1"), 1, Some("503")));
        assert_eq!(head.state, MessageState::Sending);
        stage.messages_sent(&me(), &two.ids).await.unwrap();
        assert_eq!(stage.messages(MessageFilter::default()).await.unwrap().len(), 4, "the word of who does not hold them counts nothing");
        stage.messages_sent(&Owner::from("other"), &two.ids).await.unwrap();
        assert_eq!(payloads(&stage.claim_messages(claim("me", 101)).await.unwrap()), ["x: 3 4"]);
    }

    async fn a_claim_that_has_run_out_can_be_taken(stage: Stage) {
        enqueue(&*stage, "x", &["1"]).await;
        let short = ClaimMessages { lease: Duration::ZERO, ..claim("dead", 1) };
        let claimed = stage.claim_messages(short).await.unwrap();
        let sealed = SealedBatch { batch: "b".to_owned(), nonce: "n".to_owned(), ids: ids(&claimed) };
        stage.seal_messages(&Owner::from("dead"), vec![sealed]).await.unwrap();
        let taken = stage.claim_messages(claim("me", 2)).await.unwrap();
        assert_eq!(taken[0].messages[0].nonce.as_deref(), Some("n"), "with the nonce of the first attempt");
        stage.forget_process(&me()).await.unwrap();
        assert_eq!(payloads(&stage.claim_messages(claim("next", 2)).await.unwrap()), ["x: 1"], "a process that ends lets go");
    }

    async fn the_dead_are_kept_until_somebody_decides(stage: Stage) {
        enqueue(&*stage, "x", &["1", "2"]).await;
        let claimed = stage.claim_messages(ClaimMessages { per_target: 1, ..claim("me", 1) }).await.unwrap();
        let sealed = SealedBatch { batch: "b".to_owned(), nonce: "n".to_owned(), ids: ids(&claimed) };
        stage.seal_messages(&me(), vec![sealed]).await.unwrap();
        stage.messages_dead(&me(), &ids(&claimed), "404").await.unwrap();
        assert_eq!(payloads(&stage.claim_messages(claim("me", 2)).await.unwrap()), ["x: 2"], "those behind it go on");
        let dead = MessageFilter { state: Some(MessageState::Dead), ..MessageFilter::default() };
        let listed = stage.messages(dead.clone()).await.unwrap();
        assert_eq!((listed.len(), listed[0].error.as_deref(), listed[0].created_at), (1, Some("404"), at(0)));
        let counts = stage.counts(at(2)).await.unwrap();
        assert_eq!((counts.messages_waiting, counts.messages_dead), (1, 1));
        assert_eq!(stage.retry_messages(MessageSelection::State(MessageState::Dead), at(3)).await.unwrap(), 1);
        let back = &stage.messages(MessageFilter::default()).await.unwrap()[0];
        assert_eq!((back.state, back.attempts, back.nonce.as_deref(), back.next_at), (MessageState::Sending, 0, Some("n"), at(3)));
        assert_eq!(stage.purge_messages(MessageSelection::Ids(ids(&claimed))).await.unwrap(), 1);
        assert_eq!(stage.purge_messages(MessageSelection::All).await.unwrap(), 1);
        assert_eq!(stage.next_message_at().await.unwrap(), None);
    }

    async fn claims_can_be_narrowed(stage: Stage) {
        enqueue(&*stage, "x", &["1"]).await;
        enqueue(&*stage, "y", &["2"]).await;
        enqueue(&*stage, "z", &["3"]).await;
        let except = ClaimMessages { except: vec!["x".to_owned()], targets: 1, ..claim("me", 1) };
        assert_eq!(payloads(&stage.claim_messages(except).await.unwrap()), ["y: 2"]);
        let kinds = ClaimMessages { kinds: vec!["mail".to_owned()], ..claim("me", 1) };
        assert_eq!(payloads(&stage.claim_messages(kinds).await.unwrap()), [] as [&str; 0]);
    }

    async fn staged_messages_leave_with_the_success(stage: Stage) {
        for (pipeline, outcome, expected) in [("a", Outcome::Failed, 0), ("b", Outcome::Succeeded, 2)] {
            put(&*stage, vec![job(pipeline, pipeline, 60, "")]).await;
            let run = go(&*stage, 60, 1).await.started.remove(0);
            let key = key(&run, "me");
            stage.stage_messages(&key, vec![message("x", "1"), message("x", "2")]).await.unwrap();
            assert_eq!(stage.messages(MessageFilter::default()).await.unwrap().len(), 0);
            end(&*stage, 61, vec![ended(key.clone(), 61, End::Finish(outcome))]).await;
            let sent = stage.messages(MessageFilter { run: Some(run.id), ..MessageFilter::default() }).await.unwrap();
            assert_eq!(sent.len(), expected, "{outcome}");
            let late = stage.stage_messages(&key, vec![message("x", "3")]).await.unwrap_err();
            assert!(matches!(late, StoreError::NotHeld { attempt: 1, .. }), "{late}");
        }
        assert_eq!(payloads(&stage.claim_messages(claim("me", 62)).await.unwrap()), ["x: 1 2"]);
    }
}
