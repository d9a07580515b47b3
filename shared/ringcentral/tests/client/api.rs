//! Identity, numbers and subscriptions.

use ringbridge_ringcentral::events::{VALIDATION_TOKEN, VERIFICATION_TOKEN};
use ringbridge_ringcentral::subscriptions::{
    INBOUND_SMS, NewSubscription, SubscriptionChange, SubscriptionStatus,
};
use ringbridge_ringcentral::{ErrorKind, ExtensionStatus, Feature, Id, PhoneNumber};
use serde_json::json;

use crate::support::Rc;

#[tokio::test]
async fn extension_account_and_userinfo_identify_the_user() {
    let rc = Rc::start().await;
    let api = rc.client().api(&rc.tokens().await.access_token);
    let user = rc.user("101");
    let extension = api.extension().await.expect("succeeds");
    assert_eq!(extension.id.to_string(), user.extension_id);
    assert_eq!(extension.account_id().map(|id| id.to_string()), Some(user.account_id.clone()));
    assert_eq!(extension.status, Some(ExtensionStatus::Enabled));
    assert!(extension.is_admin());
    let account = api.account().await.expect("succeeds");
    assert_eq!(account.id.to_string(), user.account_id);
    assert!(account.main_number.is_some());
    let claims = api.userinfo().await.expect("succeeds");
    assert_eq!((claims.sub, claims.account_id), (extension.id, Some(account.id)));
    assert_eq!(api.for_extension(extension.id).extension().await.expect("succeeds").id, extension.id);
}

#[tokio::test]
async fn numbers_have_features_and_a_registration() {
    let rc = Rc::start().await;
    let api = rc.client().api(&rc.tokens().await.access_token);
    let numbers = api.extension_phone_numbers().await.expect("succeeds");
    let mut sms: Vec<_> = numbers.iter().filter(|n| n.can_send_sms()).map(PhoneNumber::e164).collect();
    let mut expected = rc.user("101").numbers.clone();
    sms.sort();
    expected.sort();
    assert_eq!(sms, expected);
    let number = numbers.iter().find(|n| n.can_send_mms()).expect("one with MMS");
    assert!(number.has(&Feature::CallerId));
    let configuration = api.sms_configuration(number.id.expect("an id")).await.expect("succeeds");
    assert!(configuration.is_confirmed(), "{configuration:?}");
    assert_eq!(api.sms_configuration(Id(1)).await.expect_err("none").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn the_account_number_list_requires_a_permission() {
    let rc = Rc::start().await;
    let api = rc.client().api(&rc.tokens().await.access_token);
    let all = api.account_phone_numbers().await.expect("an administrator");
    assert!(all.len() > api.extension_phone_numbers().await.expect("succeeds").len());
    let jwt = rc.user("102").jwt.as_str().into();
    let tokens = rc.client().sign_in_with_jwt(&jwt, &Default::default()).await.expect("signed in");
    let error = rc.client().api(&tokens.access_token).account_phone_numbers().await.expect_err("a user");
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(error.codes().iter().any(|code| code.permission.is_some()), "{error:?}");
    assert!(error.request_id().is_some());
}

#[tokio::test]
async fn a_list_of_several_pages_is_read_completely() {
    let rc = Rc::start().await;
    let numbers: Vec<_> = (0..1203).map(|_| json!({})).collect();
    let account = rc.control(reqwest::Method::POST, "accounts", json!({"numbers": numbers})).await;
    let jwt = account["users"][0]["jwt"].as_str().expect("a JWT").into();
    let tokens = rc.client().sign_in_with_jwt(&jwt, &Default::default()).await.expect("signed in");
    let api = rc.client().api(&tokens.access_token);
    let all = api.account_phone_numbers().await.expect("succeeds");
    let mut ids: Vec<_> = all.iter().filter_map(|number| number.id).collect();
    ids.sort();
    ids.dedup();
    assert!(ids.len() >= 1204, "{}", ids.len());
}

/// The verification tokens and bodies that a webhook has received.
type Received = tokio::sync::mpsc::UnboundedReceiver<(Option<String>, String)>;

/// A webhook that responds to the handshake and forwards the events.
pub async fn webhook() -> (String, Received, tokio::task::JoinSet<()>) {
    let (sender, received) = tokio::sync::mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let handler = move |headers: axum::http::HeaderMap, body: String| async move {
        let token = headers.get(VERIFICATION_TOKEN).and_then(|value| value.to_str().ok());
        // The test may have dropped the receiver.
        let _ = sender.send((token.map(str::to_owned), body));
        let mut response = axum::http::HeaderMap::new();
        response.insert("content-type", axum::http::HeaderValue::from_static("application/json"));
        if let Some(token) = headers.get(VALIDATION_TOKEN) {
            response.insert("validation-token", token.clone());
        }
        response
    };
    let routes = axum::Router::new().fallback(handler);
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move { axum::serve(listener, routes).await.expect("served") });
    (address, received, server)
}

#[tokio::test]
async fn a_subscription_is_created_renewed_changed_and_deleted() {
    let rc = Rc::start().await;
    let api = rc.client().api(&rc.tokens().await.access_token);
    let (address, _events, _server) = webhook().await;
    let new = NewSubscription {
        event_filters: vec![INBOUND_SMS.to_owned()],
        address: address.clone(),
        verification_token: Some("CANARY-hook".into()),
        expires_in_seconds: Some(86_400),
    };
    let created = api.create_subscription(&new).await.expect("created");
    assert!(created.is_active() && created.address() == Some(address.as_str()));
    assert!(!created.event_filters[0].contains('~'), "{:?}", created.event_filters);
    let expires_at = created.expiration_time.expect("an expiration time");
    assert!((86_300..=86_400).contains(&expires_at.duration_since(rc.now()).as_secs()));

    assert_eq!(api.subscriptions().await.expect("listed").len(), 1);
    rc.advance(600);
    let renewed = api.renew_subscription(&created.id).await.expect("refreshed");
    assert!(renewed.expiration_time > created.expiration_time);
    let change = SubscriptionChange { expires_in_seconds: Some(172_800), ..Default::default() };
    let longer = api.update_subscription(&created.id, &change).await.expect("changed");
    assert!(longer.expiration_time > renewed.expiration_time);

    rc.control(reqwest::Method::POST, &format!("subscriptions/{}/blacklist", created.id), json!({})).await;
    let blacklisted = api.subscription(&created.id).await.expect("read");
    assert_eq!(blacklisted.status, Some(SubscriptionStatus::Blacklisted));
    assert!(blacklisted.blacklisted_data.is_some_and(|data| data.reason.is_some()));

    api.delete_subscription(&created.id).await.expect("deleted");
    assert_eq!(api.subscription(&created.id).await.expect_err("gone").kind(), ErrorKind::NotFound);
    assert_eq!(api.delete_subscription(&created.id).await.expect_err("gone").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_failed_handshake_is_reported_by_its_code() {
    let rc = Rc::start().await;
    let api = rc.client().api(&rc.tokens().await.access_token);
    let new = NewSubscription {
        event_filters: vec![INBOUND_SMS.to_owned()],
        address: format!("{}/nothing-here", rc.simulator.url()),
        verification_token: None,
        expires_in_seconds: None,
    };
    let error = api.create_subscription(&new).await.expect_err("rejected");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.code().is_some_and(|code| code.starts_with("SUB-52")), "{error}");
}
