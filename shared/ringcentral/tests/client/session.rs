//! Sessions: one refresh for all callers, tokens stored before use, and recovery from failures.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use jiff::SignedDuration;
use ringbridge_ringcentral::token_store::{ReplaceOutcome, StoreError};
use ringbridge_ringcentral::{
    ErrorKind, FileStore, Grant, MemoryStore, Retry, Sent, Session, SessionBuilder, TokenSet, TokenStore,
};
use serde_json::{Value, json};

use crate::support::Rc;

fn quick(rc: &Rc) -> SessionBuilder {
    Session::builder(rc.client()).refresh_attempts(3, Duration::ZERO)
}

/// The number of new pairs that were issued, without repeated responses.
async fn rotations(rc: &Rc) -> usize {
    let entries = rc.ledger(&["token_refreshed"]).await;
    entries.iter().filter(|entry| entry["repeated"] != json!(true)).count()
}

/// The number of token endpoint calls with a refresh token.
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
        async move { session.tokens().await.expect("refreshed").access_token }
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
    let results = join_all((0..50).map(|_| session.extension())).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(refresh_calls(&rc).await, 1);
}

#[tokio::test]
async fn tokens_are_refreshed_before_they_expire() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    rc.advance(3400);
    session.extension().await.expect("succeeds");
    assert_eq!(refresh_calls(&rc).await, 0);
    rc.advance(90);
    session.extension().await.expect("succeeds");
    assert_eq!(refresh_calls(&rc).await, 1);
    assert_eq!(rc.count("token_refused").await, 0);
}

#[tokio::test]
async fn automatic_refresh_can_be_switched_off() {
    let rc = Rc::start().await;
    let session = quick(&rc).manual_refresh().build();
    session.set_tokens(rc.tokens().await).await.expect("stored");
    rc.advance(3601);
    assert_eq!(session.extension().await.expect_err("expired").kind(), ErrorKind::AccessToken);
    assert_eq!(refresh_calls(&rc).await, 0);
    session.refresh().await.expect("refreshed");
    assert!(session.extension().await.is_ok());
}

/// A store that can be made to fail.
#[derive(Default)]
struct UnreliableStore {
    inner: MemoryStore,
    fails: AtomicBool,
    writes: AtomicUsize,
}

impl UnreliableStore {
    fn check(&self) -> Result<(), StoreError> {
        if self.fails.load(Ordering::SeqCst) { Err("the disk is full".into()) } else { Ok(()) }
    }
}

impl TokenStore for UnreliableStore {
    fn load(&self) -> BoxFuture<'_, Result<Option<TokenSet>, StoreError>> {
        self.inner.load()
    }

    fn replace<'a>(
        &'a self,
        expected: Option<&'a TokenSet>,
        next: &'a TokenSet,
    ) -> BoxFuture<'a, Result<ReplaceOutcome, StoreError>> {
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

/// A session that has refreshed its tokens, but could not store the new pair.
async fn session_whose_refresh_was_not_stored(rc: &Rc) -> (Session, Arc<UnreliableStore>) {
    let store = Arc::new(UnreliableStore::default());
    let session = quick(rc).shared_store(Arc::<UnreliableStore>::clone(&store)).build();
    session.set_tokens(rc.tokens().await).await.expect("stored");
    rc.advance(3600);
    store.fails.store(true, Ordering::SeqCst);
    session.tokens().await.expect_err("not stored");
    (session, store)
}

#[tokio::test]
async fn while_the_store_fails_the_old_tokens_are_kept() {
    let rc = Rc::start().await;
    let store = Arc::new(UnreliableStore::default());
    let session = quick(&rc).shared_store(Arc::<UnreliableStore>::clone(&store)).build();
    session.set_tokens(rc.tokens().await).await.expect("stored");
    session.extension().await.expect("succeeds with the first token");
    let old = session.current_tokens().expect("tokens");

    rc.advance(3600);
    store.fails.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let error = session.extension().await.expect_err("not stored");
        assert_eq!((error.kind(), error.sent()), (ErrorKind::Store, Sent::No));
    }
    assert_eq!(session.current_tokens(), Some(old.clone()), "the session keeps the old pair");
    assert_eq!(store.inner.load().await.expect("loaded"), Some(old));
    assert_eq!(refresh_calls(&rc).await, 1, "the unsaved pair is kept, not requested again");
    assert_eq!(rc.count("token_first_used").await, 1, "and not used");

    store.fails.store(false, Ordering::SeqCst);
    session.extension().await.expect("stored, then used");
    assert_eq!(refresh_calls(&rc).await, 1);
    assert_eq!(store.inner.load().await.expect("loaded"), session.current_tokens());
}

#[tokio::test]
async fn a_process_that_crashed_before_the_write_recovers_with_the_old_refresh_token() {
    let rc = Rc::start().await;
    let (session, store) = session_whose_refresh_was_not_stored(&rc).await;
    drop(session);

    store.fails.store(false, Ordering::SeqCst);
    rc.advance(1800);
    let restarted = quick(&rc).shared_store(store).build();
    restarted.extension().await.expect("recovered");
    assert_eq!(rotations(&rc).await, 1);
    assert_eq!(refresh_calls(&rc).await, 2);
}

#[tokio::test]
async fn after_a_lost_response_the_refresh_is_repeated_with_the_same_token() {
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
async fn after_an_unreadable_response_the_refresh_is_repeated() {
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
async fn a_network_error_discards_no_tokens() {
    let rc = Rc::start().await;
    let session = quick(&rc).refresh_attempts(1, Duration::ZERO).build();
    session.set_tokens(rc.tokens().await).await.expect("stored");
    let old = session.current_tokens();
    rc.advance(3500);
    rc.token_fault(100, json!({"reset": "after_body"})).await;
    session.extension().await.expect("the old token is still valid");
    rc.advance(100);
    let error = session.extension().await.expect_err("expired");
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Interrupted, Sent::No));
    assert_eq!(session.current_tokens(), old);
    rc.faults(json!([])).await;
    session.extension().await.expect("recovered");
}

#[tokio::test]
async fn after_a_429_no_refresh_is_made_and_the_old_token_is_used() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    rc.advance(3500);
    rc.token_fault(1, json!({"rateLimit": {"retryAfter": 60, "penaltyRestarts": true}})).await;
    for _ in 0..20 {
        session.extension().await.expect("the old token is still valid");
    }
    rc.advance(100);
    let error = session.extension().await.expect_err("expired");
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(matches!(error.retry(), Retry::After(wait) if wait >= Duration::from_secs(59)));
    let forced = session.refresh().await.expect_err("no explicit refresh during a penalty");
    assert_eq!(forced.kind(), ErrorKind::RateLimited);
    let faults = rc.control(reqwest::Method::GET, "faults", Value::Null).await;
    assert_eq!(faults[0]["fired"], json!(1), "{faults}");
    assert!(session.current_tokens().is_some());
}

#[tokio::test]
async fn after_a_401_a_call_is_repeated_once_and_only_with_another_token() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    session.refresh().await.expect("refreshed");
    // Another process refreshes, which ends the access token at once.
    let refresh = session.current_tokens().and_then(|tokens| tokens.refresh_token).expect("one");
    rc.client().refresh(&refresh, &Default::default()).await.expect("refreshed elsewhere");
    let error = session.extension().await.expect_err("a token issued just now is not refreshed after a 401");
    assert_eq!(error.kind(), ErrorKind::AccessToken);
    assert_eq!(refresh_calls(&rc).await, 2);

    // A session that loads its tokens from the store does not know their age.
    let restarted = quick(&rc).store(MemoryStore::with(session.current_tokens().expect("tokens"))).build();
    restarted.extension().await.expect("refreshed and repeated");
    assert_eq!(refresh_calls(&rc).await, 3);
    assert_eq!(rotations(&rc).await, 2);
}

#[tokio::test]
async fn a_401_with_a_valid_token_causes_one_repeat() {
    let rc = Rc::start().await;
    let session = quick(&rc).store(MemoryStore::with(rc.tokens().await)).build();
    rc.faults(json!([{"match": {"path": "/extension/~"}, "times": null, "do": {"status": 401, "body": {"errorCode": "TokenExpired"}}}]))
        .await;
    for _ in 0..5 {
        assert_eq!(session.extension().await.expect_err("401").kind(), ErrorKind::AccessToken);
    }
    assert_eq!(refresh_calls(&rc).await, 1);
    let faults = rc.control(reqwest::Method::GET, "faults", Value::Null).await;
    assert_eq!(faults[0]["fired"], json!(6), "five calls and one repeat: {faults}");
}

#[tokio::test]
async fn a_revoked_grant_is_reported_without_further_token_calls() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    rc.advance(3600);
    let path = format!("users/{}/revoke", rc.user("101").extension_id);
    rc.control(reqwest::Method::POST, &path, json!({})).await;
    for _ in 0..10 {
        let error = session.extension().await.expect_err("revoked");
        assert_eq!((error.kind(), error.sent()), (ErrorKind::Grant(Grant::Revoked), Sent::No));
        assert_eq!(error.operation(), "extension");
    }
    assert_eq!(rc.count("token_refused").await, 1);
    assert!(session.current_tokens().is_some(), "the tokens are kept");
    session.set_tokens(rc.tokens().await).await.expect("signed in again");
    session.extension().await.expect("succeeds");
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
            let is_stored = stored.as_ref() == Some(tokens);
            notes.lock().expect("not poisoned").push((tokens.access_token.digest(), is_stored));
        })
        .build();
    session.set_tokens(rc.tokens().await).await.expect("stored");
    rc.advance(3600);
    let tokens = session.tokens().await.expect("refreshed");
    let seen = seen.lock().expect("not poisoned").clone();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|(_, stored)| *stored));
    assert_eq!(seen[1].0, tokens.access_token.digest());
}

#[tokio::test]
async fn saved_tokens_are_loaded_into_another_session() {
    let rc = Rc::start().await;
    let saved = serde_json::to_string(&rc.session().await.tokens().await.expect("tokens").expose());
    let loaded: TokenSet = serde_json::from_str(&saved.expect("written")).expect("read");
    let other = quick(&rc).build();
    other.set_tokens(loaded).await.expect("stored");
    other.extension().await.expect("succeeds");
}

#[tokio::test]
async fn two_processes_share_one_file_and_one_refresh() {
    let rc = Rc::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = || FileStore::new(folder.path().join("tokens.json"));
    let (one, two) = (quick(&rc).store(store()).build(), quick(&rc).store(store()).build());
    one.set_tokens(rc.tokens().await).await.expect("stored");
    two.extension().await.expect("succeeds with the tokens of the file");
    for round in 1..=3 {
        rc.advance(3600);
        one.extension().await.expect("refreshed");
        rc.advance(60);
        two.extension().await.expect("succeeds with the tokens of the file");
        assert_eq!(refresh_calls(&rc).await, round);
    }
    // At the same time: RingCentral returns the same pair to both, and the store decides.
    rc.advance(3600);
    let (a, b) = tokio::join!(one.extension(), two.extension());
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(rotations(&rc).await, 4);
    assert_eq!(one.current_tokens(), two.current_tokens());
}

#[tokio::test]
async fn a_dropped_call_does_not_affect_the_next_one() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    rc.advance(3600);
    rc.token_fault(1, json!({"delayMs": 300})).await;
    let dropped = tokio::time::timeout(Duration::from_millis(100), session.extension()).await;
    assert!(dropped.is_err());
    session.extension().await.expect("the next caller continues");
    assert_eq!(rotations(&rc).await, 1);
}

#[tokio::test]
async fn a_jwt_session_signs_in_when_there_is_no_refresh_token() {
    let rc = Rc::start().await;
    rc.settings(json!({"issueRefreshTokens": false})).await;
    let session = quick(&rc).jwt(rc.user("101").jwt.as_str()).build();
    session.extension().await.expect("signed in");
    rc.advance(3600);
    session.extension().await.expect("signed in again");
    assert_eq!(rc.count("token_issued").await, 2);
}

#[tokio::test]
async fn signing_out_revokes_and_removes_the_tokens() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    let tokens = session.tokens().await.expect("tokens");
    rc.faults(json!([{"match": {"path": "/oauth/revoke"}, "times": 1, "do": {"status": 503}}])).await;
    session.sign_out().await.expect_err("RingCentral is unavailable");
    session.extension().await.expect("the tokens are kept");
    session.sign_out().await.expect("signed out");
    assert_eq!(session.extension().await.expect_err("no tokens").kind(), ErrorKind::SignedOut);
    assert!(rc.client().api(&tokens.access_token).extension().await.is_err());
}

#[tokio::test]
async fn a_margin_longer_than_the_token_lifetime_does_not_refresh_with_every_call() {
    let rc = Rc::start().await;
    let session = quick(&rc).refresh_margin(SignedDuration::from_hours(2)).build();
    session.set_tokens(rc.tokens().await).await.expect("stored");
    for _ in 0..10 {
        session.extension().await.expect("succeeds");
    }
    assert_eq!(refresh_calls(&rc).await, 1);
}

#[tokio::test]
async fn a_zero_token_lifetime_does_not_refresh_with_every_call() {
    let rc = Rc::start().await;
    let session = rc.session().await;
    rc.advance(3600);
    let strange = json!({"access_token": "a", "token_type": "bearer", "expires_in": 0, "refresh_token": "r"});
    rc.token_fault(100, json!({"status": 200, "body": strange})).await;
    for _ in 0..5 {
        assert_eq!(session.extension().await.expect_err("an invalid token").kind(), ErrorKind::AccessToken);
    }
    let faults = rc.control(reqwest::Method::GET, "faults", Value::Null).await;
    assert_eq!(faults[0]["fired"], json!(1), "{faults}");
}

#[tokio::test]
async fn a_pair_that_expired_before_it_could_be_stored_is_refreshed_again() {
    let rc = Rc::start().await;
    let (session, store) = session_whose_refresh_was_not_stored(&rc).await;
    rc.advance(7200);
    store.fails.store(false, Ordering::SeqCst);
    session.extension().await.expect("stored, then refreshed");
    assert_eq!(rotations(&rc).await, 2);
}

#[tokio::test]
async fn a_platform_that_revokes_the_session_for_a_repeated_refresh_is_supported() {
    let rc = Rc::start().await;
    rc.settings(json!({"refreshTokens": "family_kill"})).await;
    let session = rc.session().await;
    for _ in 0..5 {
        rc.advance(3600);
        let results = join_all((0..50).map(|_| session.extension())).await;
        assert!(results.iter().all(Result::is_ok));
    }
    assert_eq!(refresh_calls(&rc).await, 5);
    assert_eq!(rc.count("session_revoked").await, 0);
}

#[tokio::test]
async fn if_only_one_of_two_simultaneous_refreshes_succeeds_the_other_process_uses_its_tokens() {
    let rc = Rc::start().await;
    rc.settings(json!({"refreshTokens": "strict"})).await;
    let folder = tempfile::tempdir().expect("a folder");
    let session = || quick(&rc).store(FileStore::new(folder.path().join("tokens.json"))).build();
    let sessions: Vec<_> = (0..8).map(|_| session()).collect();
    sessions[0].set_tokens(rc.tokens().await).await.expect("stored");
    for round in 1..=3 {
        rc.advance(3600);
        let results = join_all(sessions.iter().map(|session| session.extension())).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert_eq!(rotations(&rc).await, round);
    }
}
