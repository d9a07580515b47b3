//! Identity, numbers, subscriptions.

use ringbridge_ringcentral::events::{VALIDATION_TOKEN, VERIFICATION_TOKEN};
use ringbridge_ringcentral::subscriptions::{
    INBOUND_SMS, NewSubscription, SubscriptionChange, SubscriptionStatus,
};
use ringbridge_ringcentral::{ExtensionStatus, Feature, Id, Kind, PhoneNumber};
use serde_json::json;

use crate::support::Rc;

#[tokio::test]
async fn the_user_is_learnt_from_extension_account_and_userinfo() {
    let rc = Rc::start().await;
    let api = rc.client().api(&rc.tokens().await.access_token);
    let user = rc.user("101");
    let extension = api.extension().await.expect("answered");
    assert_eq!(extension.id.to_string(), user.extension_id);
    assert_eq!(extension.account_id().map(|id| id.to_string()), Some(user.account_id.clone()));
    assert_eq!(extension.status, Some(ExtensionStatus::Enabled));
    assert!(extension.is_admin());
    let account = api.account().await.expect("answered");
    assert_eq!(account.id.to_string(), user.account_id);
    assert!(account.main_number.is_some());
    let claims = api.userinfo().await.expect("answered");
    assert_eq!((claims.sub, claims.account_id), (extension.id, Some(account.id)));
    assert_eq!(api.of_extension(extension.id).extension().await.expect("answered").id, extension.id);
}

#[tokio::test]
async fn numbers_come_with_features_and_registration() {
    let rc = Rc::start().await;
    let api = rc.client().api(&rc.tokens().await.access_token);
    let numbers = api.extension_phone_numbers().await.expect("answered");
    let mut sms: Vec<_> = numbers.iter().filter(|n| n.can_send_sms()).map(PhoneNumber::e164).collect();
    let mut expected = rc.user("101").numbers.clone();
    sms.sort();
    expected.sort();
    assert_eq!(sms, expected);
    let number = numbers.iter().find(|n| n.can_send_mms()).expect("one with MMS");
    assert!(number.has(&Feature::CallerId));
    let configuration = api.sms_configuration(number.id.expect("an id")).await.expect("answered");
    assert!(configuration.is_confirmed(), "{configuration:?}");
    assert_eq!(api.sms_configuration(Id(1)).await.expect_err("none").kind(), Kind::NotFound);
}

#[tokio::test]
async fn the_account_list_is_for_those_who_may() {
    let rc = Rc::start().await;
    let api = rc.client().api(&rc.tokens().await.access_token);
    let all = api.account_phone_numbers().await.expect("an administrator");
    assert!(all.len() > api.extension_phone_numbers().await.expect("answered").len());
    let jwt = rc.user("102").jwt.as_str().into();
    let tokens = rc.client().sign_in_with_jwt(&jwt, &Default::default()).await.expect("signed in");
    let error = rc.client().api(&tokens.access_token).account_phone_numbers().await.expect_err("a user");
    assert_eq!(error.kind(), Kind::Forbidden);
    assert!(error.codes().iter().any(|code| code.permission.is_some()), "{error:?}");
    assert!(error.request_id().is_some());
}

#[tokio::test]
async fn a_long_list_is_read_to_its_end() {
    let rc = Rc::start().await;
    let numbers: Vec<_> = (0..1203).map(|_| json!({})).collect();
    let account = rc.control(reqwest::Method::POST, "accounts", json!({"numbers": numbers})).await;
    let jwt = account["users"][0]["jwt"].as_str().expect("a JWT").into();
    let tokens = rc.client().sign_in_with_jwt(&jwt, &Default::default()).await.expect("signed in");
    let api = rc.client().api(&tokens.access_token);
    let all = api.account_phone_numbers().await.expect("answered");
    let mut ids: Vec<_> = all.iter().filter_map(|number| number.id).collect();
    ids.sort();
    ids.dedup();
    assert!(ids.len() >= 1204, "{}", ids.len());
}

/// What a webhook gets: the verification token, and the body.
type Received = tokio::sync::mpsc::UnboundedReceiver<(Option<String>, String)>;

/// A webhook that answers the handshake and hands on what arrives.
pub async fn webhook() -> (String, Received, tokio::task::JoinSet<()>) {
    let (sender, received) = tokio::sync::mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let handler = move |headers: axum::http::HeaderMap, body: String| async move {
        let token = headers.get(VERIFICATION_TOKEN).and_then(|value| value.to_str().ok());
        // Nobody may be listening.
        let _sent = sender.send((token.map(str::to_owned), body));
        let mut answer = axum::http::HeaderMap::new();
        answer.insert("content-type", axum::http::HeaderValue::from_static("application/json"));
        if let Some(token) = headers.get(VALIDATION_TOKEN) {
            answer.insert("validation-token", token.clone());
        }
        answer
    };
    let routes = axum::Router::new().fallback(handler);
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move { axum::serve(listener, routes).await.expect("served") });
    (address, received, server)
}

#[tokio::test]
async fn a_subscription_lives_its_life() {
    let rc = Rc::start().await;
    let api = rc.client().api(&rc.tokens().await.access_token);
    let (address, _events, _server) = webhook().await;
    let new = NewSubscription {
        event_filters: vec![INBOUND_SMS.to_owned()],
        address: address.clone(),
        verification_token: Some("CANARY-hook".into()),
        expires_in_seconds: Some(86_400),
    };
    let made = api.create_subscription(&new).await.expect("created");
    assert!(made.is_active() && made.address() == Some(address.as_str()));
    assert!(!made.event_filters[0].contains('~'), "{:?}", made.event_filters);
    let ends = made.expiration_time.expect("an end");
    assert!((86_300..=86_400).contains(&ends.duration_since(rc.now()).as_secs()));

    assert_eq!(api.subscriptions().await.expect("listed").len(), 1);
    rc.advance(600);
    let renewed = api.renew_subscription(&made.id).await.expect("renewed");
    assert!(renewed.expiration_time > made.expiration_time);
    let change = SubscriptionChange { expires_in_seconds: Some(172_800), ..Default::default() };
    let longer = api.update_subscription(&made.id, &change).await.expect("changed");
    assert!(longer.expiration_time > renewed.expiration_time);

    rc.control(reqwest::Method::POST, &format!("subscriptions/{}/blacklist", made.id), json!({})).await;
    let stopped = api.subscription(&made.id).await.expect("read");
    assert_eq!(stopped.status, Some(SubscriptionStatus::Blacklisted));
    assert!(stopped.blacklisted_data.is_some_and(|why| why.reason.is_some()));

    api.delete_subscription(&made.id).await.expect("deleted");
    assert_eq!(api.subscription(&made.id).await.expect_err("gone").kind(), Kind::NotFound);
    assert_eq!(api.delete_subscription(&made.id).await.expect_err("gone").kind(), Kind::NotFound);
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_told_by_code() {
    let rc = Rc::start().await;
    let api = rc.client().api(&rc.tokens().await.access_token);
    let new = NewSubscription {
        event_filters: vec![INBOUND_SMS.to_owned()],
        address: format!("{}/nothing-here", rc.simulator.url()),
        verification_token: None,
        expires_in_seconds: None,
    };
    let error = api.create_subscription(&new).await.expect_err("refused");
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.code().is_some_and(|code| code.starts_with("SUB-52")), "{error}");
}
