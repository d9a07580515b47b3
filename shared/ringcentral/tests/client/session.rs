//! Staying signed in: one refresh for all, stored before it is used, and nothing lost on the way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use jiff::SignedDuration;
use ringbridge_ringcentral::store::{Replaced, StoreError};
use ringbridge_ringcentral::{
    FileStore, Grant, Kind, MemoryStore, Retry, Sent, Session, SessionBuilder, TokenSet, TokenStore,
};
use serde_json::{Value, json};

use crate::support::Rc;

fn quick(rc: &Rc) -> SessionBuilder {
    Session::builder(rc.client()).tries(3, Duration::ZERO)
}

/// Refreshes that RingCentral made, without repeats inside the grace window.
async fn rotations(rc: &Rc) -> usize {
    let entries = rc.ledger(&["token_refreshed"]).await;
    entries.iter().filter(|entry| entry["repeated"] != json!(true)).count()
}

/// Calls of the token endpoint with a refresh token.
async fn refresh_calls(rc: &Rc) -> usize {
    rc.ledger(&["token_refreshed"]).await.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tasks_at_expiry_cause_exactly_one_refresh() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    rc.advance(3600);
    let calls = (0..1000).map(|_| {
        let session = session.clone();
        async move { session.tokens().await.expect("renewed").access_token }
    });
    let tasks = calls.map(|call| tokio::task::JoinSet::from_iter([call]).join_all());
    let tokens: Vec<_> = join_all(tasks).await.into_iter().flatten().collect();
    assert_eq!(tokens.len(), 1000);
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!(refresh_calls(&rc).await, 1);
    assert!(session.extension().await.is_ok());
}

#[tokio::test]
async fn fifty_api_calls_at_expiry_share_one_refresh() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    rc.advance(3600);
    let answers = join_all((0..50).map(|_| session.extension())).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(refresh_calls(&rc).await, 1);
}

#[tokio::test]
async fn tokens_are_renewed_before_they_end() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    rc.advance(3400);
    session.extension().await.expect("answered");
    assert_eq!(refresh_calls(&rc).await, 0);
    rc.advance(90);
    session.extension().await.expect("answered");
    assert_eq!(refresh_calls(&rc).await, 1);
    assert_eq!(rc.count("token_refused").await, 0);
}

#[tokio::test]
async fn renewal_can_be_switched_off_and_done_by_hand() {
    let rc = Rc::start().await;
    let session = quick(&rc).automatic(false).build();
    session.adopt(rc.tokens().await).await.expect("adopted");
    rc.advance(3601);
    assert_eq!(session.extension().await.expect_err("expired").kind(), Kind::AccessToken);
    assert_eq!(refresh_calls(&rc).await, 0);
    session.refresh().await.expect("renewed");
    assert!(session.extension().await.is_ok());
}

/// A store that can be told to fail, and counts what it was asked.
#[derive(Default)]
struct Moody {
    inner: MemoryStore,
    fails: AtomicBool,
    writes: AtomicUsize,
}

impl Moody {
    fn check(&self) -> Result<(), StoreError> {
        if self.fails.load(Ordering::SeqCst) { Err("the disk is full".into()) } else { Ok(()) }
    }
}

impl TokenStore for Moody {
    fn load(&self) -> BoxFuture<'_, Result<Option<TokenSet>, StoreError>> {
        self.inner.load()
    }

    fn replace<'a>(
        &'a self,
        expected: Option<&'a TokenSet>,
        next: &'a TokenSet,
    ) -> BoxFuture<'a, Result<Replaced, StoreError>> {
        async move {
            self.writes.fetch_add(1, Ordering::SeqCst);
            self.check()?;
            self.inner.replace(expected, next).await
        }
        .boxed()
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.clear()
    }
}

#[tokio::test]
async fn a_store_that_fails_to_persist_keeps_the_old_token_in_use() {
    let rc = Rc::start().await;
    let store = Arc::new(Moody::default());
    let session = quick(&rc).shared_store(Arc::<Moody>::clone(&store)).build();
    session.adopt(rc.tokens().await).await.expect("adopted");
    session.extension().await.expect("the first token is used");
    let old = session.current().expect("tokens");

    rc.advance(3600);
    store.fails.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let error = session.extension().await.expect_err("not stored");
        assert_eq!((error.kind(), error.sent()), (Kind::Store, Sent::No));
    }
    assert_eq!(session.current(), Some(old.clone()), "the session still holds the old pair");
    assert_eq!(store.inner.load().await.expect("loaded"), Some(old));
    assert_eq!(refresh_calls(&rc).await, 1, "the pair that could not be stored is kept, not asked for again");
    assert_eq!(rc.count("token_first_used").await, 1, "and never used");

    store.fails.store(false, Ordering::SeqCst);
    session.extension().await.expect("stored, then used");
    assert_eq!(refresh_calls(&rc).await, 1);
    assert_eq!(store.inner.load().await.expect("loaded"), session.current());
}

#[tokio::test]
async fn a_process_that_dies_before_the_write_recovers_with_the_old_refresh_token() {
    let rc = Rc::start().await;
    let store = Arc::new(Moody::default());
    let session = quick(&rc).shared_store(Arc::<Moody>::clone(&store)).build();
    session.adopt(rc.tokens().await).await.expect("adopted");
    rc.advance(3600);
    store.fails.store(true, Ordering::SeqCst);
    session.tokens().await.expect_err("not stored");
    drop(session);

    store.fails.store(false, Ordering::SeqCst);
    rc.advance(1800);
    let reborn = quick(&rc).shared_store(store).build();
    reborn.extension().await.expect("recovered");
    assert_eq!(rotations(&rc).await, 1);
    assert_eq!(refresh_calls(&rc).await, 2);
}

#[tokio::test]
async fn a_lost_reply_is_recovered_with_the_same_refresh_token() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    rc.advance(3600);
    rc.token_fault(1, json!({"applyThenDrop": true})).await;
    session.extension().await.expect("recovered");
    let entries = rc.ledger(&["token_refreshed", "token_first_used", "token_refused"]).await;
    let kinds: Vec<_> = entries.iter().map(|e| (e["kind"].as_str(), e["repeated"] == json!(true))).collect();
    assert_eq!(
        kinds,
        [
            (Some("token_refreshed"), false),
            (Some("token_refreshed"), true),
            (Some("token_first_used"), false),
        ]
    );
}

#[tokio::test]
async fn a_broken_or_late_answer_is_recovered_too() {
    let rc = Rc::start().await;
    for fault in [
        json!({"truncateJson": true}),
        json!({"status": 500, "body": "<html>"}),
        json!({"status": 200, "body": "<html>"}),
        json!({"reset": "before_body"}),
        json!({"reset": "after_body"}),
    ] {
        let session = rc.session().await;
        rc.advance(3600);
        rc.token_fault(2, fault.clone()).await;
        session.extension().await.unwrap_or_else(|error| panic!("{fault}: {error}"));
    }
}

#[tokio::test]
async fn no_token_is_dropped_for_a_network_error() {
    let rc = Rc::start().await;
    let session = quick(&rc).tries(1, Duration::ZERO).build();
    session.adopt(rc.tokens().await).await.expect("adopted");
    let old = session.current();
    rc.advance(3500);
    rc.token_fault(100, json!({"reset": "after_body"})).await;
    session.extension().await.expect("the old token still lives");
    rc.advance(100);
    let error = session.extension().await.expect_err("it ended");
    assert_eq!((error.kind(), error.sent()), (Kind::Interrupted, Sent::No));
    assert_eq!(session.current(), old);
    rc.faults(json!([])).await;
    session.extension().await.expect("recovered");
}

#[tokio::test]
async fn a_429_is_followed_by_silence_and_the_old_token() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    rc.advance(3500);
    rc.token_fault(1, json!({"rateLimit": {"retryAfter": 60, "penaltyRestarts": true}})).await;
    for _ in 0..20 {
        session.extension().await.expect("the old token still lives");
    }
    rc.advance(100);
    let error = session.extension().await.expect_err("it ended");
    assert_eq!(error.kind(), Kind::RateLimited);
    assert!(matches!(error.retry(), Retry::After(wait) if wait >= Duration::from_secs(59)));
    let forced = session.refresh().await.expect_err("no call in a penalty, not even by hand");
    assert_eq!(forced.kind(), Kind::RateLimited);
    let faults = rc.control(reqwest::Method::GET, "faults", Value::Null).await;
    assert_eq!(faults[0]["fired"], json!(1), "{faults}");
    assert!(session.current().is_some());
}

#[tokio::test]
async fn a_401_is_repeated_once_and_only_with_another_token() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    session.refresh().await.expect("renewed");
    // Another process refreshes, which kills the access token at once.
    let refresh = session.current().and_then(|tokens| tokens.refresh_token).expect("one");
    rc.client().refresh(&refresh, &Default::default()).await.expect("refreshed elsewhere");
    let error = session.extension().await.expect_err("a token this new is not renewed for a 401");
    assert_eq!(error.kind(), Kind::AccessToken);
    assert_eq!(refresh_calls(&rc).await, 2);

    // The same in a session that found its tokens in the store: they may be of any age.
    let reborn = quick(&rc).store(MemoryStore::with(session.current().expect("tokens"))).build();
    reborn.extension().await.expect("renewed and repeated");
    assert_eq!(refresh_calls(&rc).await, 3);
    assert_eq!(rotations(&rc).await, 2);
}

#[tokio::test]
async fn a_401_that_has_nothing_to_do_with_the_token_ends_after_one_repeat() {
    let rc = Rc::start().await;
    let session = quick(&rc).store(MemoryStore::with(rc.tokens().await)).build();
    rc.faults(json!([{"match": {"path": "/extension/~"}, "times": null, "do": {"status": 401, "body": {}}}]))
        .await;
    for _ in 0..5 {
        assert_eq!(session.extension().await.expect_err("401").kind(), Kind::AccessToken);
    }
    assert_eq!(refresh_calls(&rc).await, 1);
    let faults = rc.control(reqwest::Method::GET, "faults", Value::Null).await;
    assert_eq!(faults[0]["fired"], json!(6), "five calls and one repeat: {faults}");
}

#[tokio::test]
async fn a_revoked_grant_is_told_and_the_endpoint_left_alone() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    rc.advance(3600);
    let path = format!("users/{}/revoke", rc.user("101").extension_id);
    rc.control(reqwest::Method::POST, &path, json!({})).await;
    for _ in 0..10 {
        let error = session.extension().await.expect_err("revoked");
        assert_eq!((error.kind(), error.sent()), (Kind::Grant(Grant::Revoked), Sent::No));
        assert_eq!(error.operation(), "extension");
    }
    assert_eq!(rc.count("token_refused").await, 1);
    assert!(session.current().is_some(), "the tokens are the caller's to forget");
    session.adopt(rc.tokens().await).await.expect("signed in again");
    session.extension().await.expect("answered");
}

#[tokio::test]
async fn new_tokens_are_observed_after_they_are_stored() {
    let rc = Rc::start().await;
    let store = Arc::new(MemoryStore::new());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (notes, observed) = (Arc::clone(&seen), Arc::clone(&store));
    let session = quick(&rc)
        .shared_store(Arc::<MemoryStore>::clone(&store))
        .on_new_tokens(move |tokens| {
            let stored = observed.load().now_or_never().and_then(Result::ok).flatten();
            let same = stored.as_ref() == Some(tokens);
            notes.lock().expect("not poisoned").push((tokens.access_token.digest(), same));
        })
        .build();
    session.adopt(rc.tokens().await).await.expect("adopted");
    rc.advance(3600);
    let tokens = session.tokens().await.expect("renewed");
    let seen = seen.lock().expect("not poisoned").clone();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|(_, stored)| *stored));
    assert_eq!(seen[1].0, tokens.access_token.digest());
}

#[tokio::test]
async fn tokens_move_to_another_client_instance_as_text() {
    let rc = Rc::start().await;
    let saved = serde_json::to_string(&rc.session().await.tokens().await.expect("tokens").expose());
    let loaded: TokenSet = serde_json::from_str(&saved.expect("written")).expect("read");
    let other = quick(&rc).build();
    other.adopt(loaded).await.expect("adopted");
    other.extension().await.expect("answered");
}

#[tokio::test]
async fn two_processes_share_one_file_and_one_refresh() {
    let rc = Rc::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = || FileStore::new(folder.path().join("tokens.json"));
    let (one, two) = (quick(&rc).store(store()).build(), quick(&rc).store(store()).build());
    one.adopt(rc.tokens().await).await.expect("adopted");
    two.extension().await.expect("found in the file");
    for round in 1..=3 {
        rc.advance(3600);
        one.extension().await.expect("renewed");
        rc.advance(60);
        two.extension().await.expect("found in the file");
        assert_eq!(refresh_calls(&rc).await, round);
    }
    // At the same moment: the grace window gives both the same pair, and the store decides.
    rc.advance(3600);
    let (a, b) = tokio::join!(one.extension(), two.extension());
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(rotations(&rc).await, 4);
    assert_eq!(one.current(), two.current());
}

#[tokio::test]
async fn a_caller_who_gives_up_in_the_middle_harms_nobody() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    rc.advance(3600);
    rc.token_fault(1, json!({"delayMs": 300})).await;
    let given_up = tokio::time::timeout(Duration::from_millis(100), session.extension()).await;
    assert!(given_up.is_err());
    session.extension().await.expect("the next caller carries on");
    assert_eq!(rotations(&rc).await, 1);
}

#[tokio::test]
async fn a_jwt_credential_signs_in_when_there_is_nothing_to_refresh() {
    let rc = Rc::start().await;
    rc.settings(json!({"issueRefreshTokens": false})).await;
    let session = quick(&rc).jwt(rc.user("101").jwt.as_str()).build();
    session.extension().await.expect("signed in");
    rc.advance(3600);
    session.extension().await.expect("signed in again");
    assert_eq!(rc.count("token_issued").await, 2);
}

#[tokio::test]
async fn signing_out_revokes_and_forgets() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    let tokens = session.tokens().await.expect("tokens");
    rc.faults(json!([{"match": {"path": "/oauth/revoke"}, "times": 1, "do": {"status": 503}}])).await;
    session.sign_out().await.expect_err("RingCentral did not take it");
    session.extension().await.expect("nothing is forgotten");
    session.sign_out().await.expect("signed out");
    assert_eq!(session.extension().await.expect_err("no tokens").kind(), Kind::SignedOut);
    assert!(rc.client().api(&tokens.access_token).extension().await.is_err());
}

#[tokio::test]
async fn a_margin_longer_than_a_life_does_not_renew_with_every_call() {
    let rc = Rc::start().await;
    let session = quick(&rc).margin(SignedDuration::from_hours(2)).build();
    session.adopt(rc.tokens().await).await.expect("adopted");
    for _ in 0..10 {
        session.extension().await.expect("answered");
    }
    assert_eq!(refresh_calls(&rc).await, 1);
}

#[tokio::test]
async fn a_strange_life_does_not_renew_with_every_call() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    rc.advance(3600);
    let strange = json!({"access_token": "a", "token_type": "bearer", "expires_in": 0, "refresh_token": "r"});
    rc.token_fault(100, json!({"status": 200, "body": strange})).await;
    for _ in 0..5 {
        assert_eq!(session.extension().await.expect_err("no token of ours").kind(), Kind::AccessToken);
    }
    let faults = rc.control(reqwest::Method::GET, "faults", Value::Null).await;
    assert_eq!(faults[0]["fired"], json!(1), "{faults}");
}

#[tokio::test]
async fn a_pair_that_ended_before_it_could_be_stored_is_renewed_again() {
    let rc = Rc::start().await;
    let store = Arc::new(Moody::default());
    let session = quick(&rc).shared_store(Arc::<Moody>::clone(&store)).build();
    session.adopt(rc.tokens().await).await.expect("adopted");
    rc.advance(3600);
    store.fails.store(true, Ordering::SeqCst);
    session.tokens().await.expect_err("not stored");
    rc.advance(7200);
    store.fails.store(false, Ordering::SeqCst);
    session.extension().await.expect("stored, found too old, renewed");
    assert_eq!(rotations(&rc).await, 2);
}

#[tokio::test]
async fn a_platform_without_grace_is_served_too() {
    let rc = Rc::start().await;
    rc.settings(json!({"refreshTokens": "family_kill"})).await;
    let session = rc.session().await;
    for _ in 0..5 {
        rc.advance(3600);
        let answers = join_all((0..50).map(|_| session.extension())).await;
        assert!(answers.iter().all(Result::is_ok));
    }
    assert_eq!(refresh_calls(&rc).await, 5);
    assert_eq!(rc.count("session_revoked").await, 0);
}

#[tokio::test]
async fn where_only_one_of_two_simultaneous_refreshes_succeeds_the_other_process_adopts_it() {
    let rc = Rc::start().await;
    rc.settings(json!({"refreshTokens": "strict"})).await;
    let folder = tempfile::tempdir().expect("a folder");
    let session = || quick(&rc).store(FileStore::new(folder.path().join("tokens.json"))).build();
    let sessions: Vec<_> = (0..8).map(|_| session()).collect();
    sessions[0].adopt(rc.tokens().await).await.expect("adopted");
    for round in 1..=3 {
        rc.advance(3600);
        let answers = join_all(sessions.iter().map(|session| session.extension())).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(rotations(&rc).await, round);
    }
}
