//! Noticing what others have done.

use std::time::Duration;

use jobstore::{Changes, StoreError};

use crate::harness::*;

/// Whether a change is told within the time that a test is patient.
async fn told(changes: &mut Changes) -> bool {
    tokio::time::timeout(Duration::from_secs(10), changes.changed()).await.is_ok()
}

/// Whether nothing is told for a few looks at the database.
async fn quiet(changes: &mut Changes) -> bool {
    tokio::time::timeout(Duration::from_millis(150), changes.changed()).await.is_err()
}

on_every_store! {
    async fn edits_of_this_process_are_told(stage: Stage) {
        let mut changes = stage.changes();
        assert!(quiet(&mut changes).await);
        put(&*stage, vec![job("1", "a", 60, "")]).await;
        assert!(told(&mut changes).await);
        assert!(quiet(&mut changes).await, "once");
        go(&*stage, 60, 0).await;
        assert!(quiet(&mut changes).await, "its own turns are no news");
        let asked = request("b", 61, "");
        stage.request_run(asked.clone(), at(61)).await.unwrap();
        assert!(told(&mut changes).await);
        stage.request_cancel(asked.id, None, at(62)).await.unwrap();
        assert!(told(&mut changes).await, "a change between two waits is not lost");
    }
}

on_shared_stores! {
    async fn edits_of_others_are_told(stage: Stage) {
        let other = stage.another("default").await;
        let stranger = stage.another("stranger").await;
        let (mut changes, mut strange) = (stage.changes(), stranger.changes());
        put(&*other, vec![job("1", "a", 60, ""), job("2", "b", 60, "")]).await;
        assert!(told(&mut changes).await);
        assert!(quiet(&mut changes).await);
        assert!(quiet(&mut strange).await, "another namespace is not concerned");
        go(&*other, 60, 1).await;
        assert!(told(&mut changes).await, "a run was left for whoever has a slot");
        assert_eq!(started(&run_turn(&*stage, a_turn("here", 60, 1)).await), ["b@60"]);
        put(&*other, vec![job("1", "a", 120, "")]).await;
        assert!(told(&mut changes).await);
        go(&*other, 120, 1).await;
        assert!(quiet(&mut changes).await, "what another process does alone is no news");
    }

    async fn a_closed_store_says_so(stage: Stage) {
        let store = stage.another("default").await;
        store.ping().await.unwrap();
        store.close().await;
        assert!(matches!(store.ping().await, Err(StoreError::Closed)));
        stage.ping().await.unwrap();
    }
}
