//! Errors of calls without a usable response, and the limiter.

use std::time::Duration;

use ringbridge_ringcentral::{AppCredentials, Client, Error, ErrorKind, Limiter, Retry, Sent, Session, Sms};
use serde_json::json;

use crate::support::Rc;

fn sms(rc: &Rc) -> Sms {
    Sms::new(&rc.user("101").numbers[0], "+16505550111", "hello")
}

async fn failed_send(rc: &Rc, fault: serde_json::Value) -> Error {
    let api = rc.client().with_timeout(Duration::from_millis(1500)).api(&rc.tokens().await.access_token);
    rc.faults(json!([{"match": {"method": "POST", "path": "/sms"}, "times": 1, "do": fault}])).await;
    api.send_sms(&sms(rc)).await.expect_err("the fault")
}

#[tokio::test]
async fn a_call_that_may_have_had_its_effect_is_ambiguous() {
    let rc = Rc::start().await;
    for (fault, kind, sent) in [
        (json!({"hang": true}), ErrorKind::Timeout, Sent::Maybe),
        (json!({"delayMs": 5000}), ErrorKind::Timeout, Sent::Maybe),
        (json!({"reset": "after_body"}), ErrorKind::Interrupted, Sent::Maybe),
        (json!({"applyThenDrop": true}), ErrorKind::Interrupted, Sent::Maybe),
        (json!({"status": 200, "body": "<html>"}), ErrorKind::Unreadable, Sent::Yes),
        (json!({"status": 200, "body": {"id": "?"}}), ErrorKind::Unreadable, Sent::Yes),
        (json!({"status": 500}), ErrorKind::Unavailable, Sent::Yes),
        (json!({"status": 504}), ErrorKind::Unavailable, Sent::Yes),
    ] {
        let error = failed_send(&rc, fault.clone()).await;
        assert_eq!((error.kind(), error.sent()), (kind, sent), "{fault}: {error:?}");
        assert!(error.is_ambiguous(), "{fault}: {error:?}");
    }
}

#[tokio::test]
async fn a_rejected_call_is_not_ambiguous() {
    let rc = Rc::start().await;
    for (fault, kind, retry) in [
        (json!({"status": 400, "body": {"errorCode": "MSG-245"}}), ErrorKind::Invalid, Retry::Never),
        (json!({"status": 403, "body": {"errorCode": "MSG-304"}}), ErrorKind::Forbidden, Retry::Never),
        (
            json!({"status": 503, "headers": {"retry-after": "7"}}),
            ErrorKind::Unavailable,
            Retry::After(Duration::from_secs(7)),
        ),
        (json!({"status": 429}), ErrorKind::RateLimited, Retry::After(Duration::from_secs(30))),
        (
            json!({"status": 401, "body": {"errorCode": "TokenExpired"}}),
            ErrorKind::AccessToken,
            Retry::WithNewToken,
        ),
        (json!({"status": 401}), ErrorKind::Intermediary, Retry::Backoff),
        (json!({"status": 403, "body": "<h1>Blocked</h1>"}), ErrorKind::Intermediary, Retry::Backoff),
        (
            json!({"status": 302, "headers": {"location": "https://example.com/"}}),
            ErrorKind::Intermediary,
            Retry::Backoff,
        ),
    ] {
        let error = failed_send(&rc, fault.clone()).await;
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{fault}");
        assert!(!error.is_ambiguous() && error.sent() == Sent::Yes, "{fault}: {error:?}");
    }
}

#[tokio::test]
async fn a_failed_connection_sends_nothing() {
    // A port that was free a moment ago, and a name that does not exist.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let closed = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    for address in [closed.as_str(), "https://nowhere.invalid"] {
        let client = Client::builder(address, AppCredentials::public("id")).build().expect("a client");
        let error =
            client.api(&"token".into()).send_sms(&Sms::new("+1", "+2", "hi")).await.expect_err("none");
        assert_eq!((error.kind(), error.sent()), (ErrorKind::Connect, Sent::No), "{error:?}");
        assert!(!error.is_ambiguous());
    }
}

#[tokio::test]
async fn an_unfinished_tls_handshake_sends_nothing() {
    // It accepts connections and sends nothing, so the TLS handshake does not finish.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("https://{}", listener.local_addr().expect("an address"));
    let app = AppCredentials::public("id");
    // First the connect timeout (2 s) ends the call, then the timeout of the whole call.
    for (timeout, kind) in [(10_000, ErrorKind::Connect), (200, ErrorKind::Timeout)] {
        let client = Client::builder(&address, app.clone()).timeout(Duration::from_millis(timeout));
        let api = client.build().expect("a client").api(&"token".into());
        let error = api.send_sms(&Sms::new("+1", "+2", "hi")).await.expect_err("none");
        assert_eq!((error.kind(), error.sent()), (kind, Sent::No), "{error:?}");
    }
}

#[tokio::test]
async fn an_invalid_call_is_refused_before_it_is_sent() {
    let rc = Rc::start().await;
    let api = rc.client().api(&"bad\ntoken".into());
    let error = api.extension().await.expect_err("not a header");
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Refused, Sent::No));
    let api = rc.client().api(&rc.tokens().await.access_token);
    for id in ["", "../token", "a/b", "a?b"] {
        assert_eq!(api.subscription(id).await.expect_err("no id").kind(), ErrorKind::Refused, "{id}");
    }
}

#[tokio::test]
async fn the_limiter_follows_the_headers_and_does_not_exceed_the_limit() {
    let rc = Rc::start().await;
    rc.settings(json!({"rateLimits": {"heavy": 4}})).await;
    let limiter = Limiter::with_max_wait(Duration::ZERO);
    let token = rc.tokens().await.access_token;
    let api = rc.client().api(&token).with_limiter(&limiter, "dana");
    for _ in 0..4 {
        api.account_phone_numbers().await.expect("below the limit");
    }
    let error = api.account_phone_numbers().await.expect_err("limited");
    assert_eq!((error.kind(), error.status()), (ErrorKind::RateLimited, None));
    assert!(matches!(error.retry(), Retry::After(wait) if wait > Duration::from_secs(50)));
    assert_eq!(rc.count("rate_limited").await, 0);
    api.extension().await.expect("another group");

    let error = api
        .without_limiter()
        .account_phone_numbers()
        .await
        .expect_err("without the limiter, the call is made");
    assert_eq!((error.kind(), error.status()), (ErrorKind::RateLimited, Some(429)));
    let reported = error.rate_limit().expect("headers");
    assert_eq!((reported.group.as_str(), reported.limit, reported.remaining), ("heavy", 4, 0));
    assert_eq!(rc.count("rate_limited").await, 1);
}

#[tokio::test]
async fn the_limiter_counts_the_calls_of_a_user_and_of_the_token_endpoint() {
    let rc = Rc::start().await;
    rc.settings(json!({"rateLimits": {"heavy": 3}})).await;
    let limiter = Limiter::with_max_wait(Duration::ZERO);
    let session = Session::builder(rc.client()).limiter(limiter.clone()).build();
    session.set_tokens(rc.tokens().await).await.expect("stored");
    // Two sessions of one user share the limit, because they share the limiter.
    let other = Session::builder(rc.client()).limiter(limiter).build();
    other.set_tokens(rc.tokens().await).await.expect("stored");
    session.account_phone_numbers().await.expect("below the limit");
    other.account_phone_numbers().await.expect("below the limit");
    session.account_phone_numbers().await.expect("below the limit");
    for limited in [&session, &other] {
        let error = limited.account_phone_numbers().await.expect_err("limited");
        assert_eq!((error.kind(), error.status()), (ErrorKind::RateLimited, None));
    }
    // Five calls of the token endpoint a minute; its responses report the two sign-ins above.
    for _ in 0..3 {
        session.refresh().await.expect("below the limit");
    }
    let error = other.refresh().await.expect_err("limited");
    assert_eq!((error.kind(), error.status()), (ErrorKind::RateLimited, None));
    assert_eq!(rc.count("rate_limited").await, 0);
}

#[tokio::test]
async fn no_call_is_made_during_a_penalty() {
    let rc = Rc::start().await;
    rc.settings(json!({"rateLimits": {}})).await;
    let token = rc.tokens().await.access_token;
    let plain = rc.client().api(&token);
    let limiter = Limiter::with_max_wait(Duration::ZERO);
    let api = plain.with_limiter(&limiter, "dana");
    // Another process exhausts the limit.
    for _ in 0..10 {
        plain.account_phone_numbers().await.expect("below the limit");
    }
    assert_eq!(api.account_phone_numbers().await.expect_err("penalty").status(), Some(429));
    for _ in 0..10 {
        assert_eq!(api.account_phone_numbers().await.expect_err("limited").status(), None);
    }
    assert_eq!(rc.count("rate_limited").await, 1);
}
