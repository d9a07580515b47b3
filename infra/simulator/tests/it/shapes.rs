//! Replies and events have the shapes of RingCentral's specification: no unknown field and no field of another type.
//!
//! `shapes.json` restates the part of the specification that the simulator implements. A field is written as
//! `"name": type`; `name!` is required; `name+` is not in the specification but in RingCentral's guide or in observed
//! replies. A type is a primitive, another shape, a list of one of these, or words separated by `|`.

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::receiver::{INSTANT, PATH, subscribed_receiver};
use crate::sms::{send, sms_body};
use crate::test_simulator::{self, EXTENSION};

struct ShapeChecker(Map<String, Value>);

impl ShapeChecker {
    fn load() -> Self {
        Self(serde_json::from_str(include_str!("shapes.json")).unwrap())
    }

    fn check(&self, shape: &str, value: &Value) {
        let mut problems = Vec::new();
        self.object(shape, value, shape, &mut problems);
        assert!(problems.is_empty(), "{problems:#?}\n{value:#}");
    }

    fn object(&self, shape: &str, value: &Value, at: &str, problems: &mut Vec<String>) {
        let Some(object) = value.as_object() else {
            return problems.push(format!("{at}: not an object"));
        };
        let fields = self.0[shape].as_object().unwrap();
        let known =
            |name: &str| fields.iter().find(|(f, _)| f.trim_end_matches(['!', '+']) == name).map(|(_, t)| t);
        for (name, inner) in object {
            let at = format!("{at}.{name}");
            match known(name) {
                Some(kind) => self.kind(kind, inner, &at, problems),
                None => problems.push(format!("{at}: unknown")),
            }
        }
        for field in fields.keys().filter_map(|f| f.strip_suffix('!')) {
            if !object.contains_key(field) {
                problems.push(format!("{at}.{field}: missing"));
            }
        }
    }

    fn kind(&self, kind: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
        if let Some(inner) = kind.as_array() {
            match value.as_array() {
                Some(list) => list.iter().for_each(|v| self.kind(&inner[0], v, &format!("{at}[]"), problems)),
                None => problems.push(format!("{at}: not a list")),
            }
            return;
        }
        let kind = kind.as_str().unwrap();
        let text = value.as_str();
        let good = match kind {
            "any" => true,
            "string" => text.is_some(),
            "boolean" => value.is_boolean(),
            "int32" => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            "int64" => value.is_i64(),
            "uri" => text.is_some_and(|t| url::Url::parse(t).is_ok()),
            "email" => text.is_some_and(|t| t.contains('@')),
            "date-time" => text.is_some_and(|t| t.len() == 24 && simulator::parse_time(t).is_some()),
            shape if self.0.contains_key(shape) => return self.object(shape, value, at, problems),
            words => text.is_some_and(|t| words.split('|').any(|w| w == t)),
        };
        if !good {
            problems.push(format!("{at}: {value} is not {kind}"));
        }
    }
}

#[tokio::test]
async fn identity_and_number_replies_match_the_specification() {
    let (sim, shapes) = (test_simulator::start().await, ShapeChecker::load());
    let user = sim.user(0);
    let form = [("grant_type", "password"), ("username", &user.username), ("password", &user.password)];
    let (_, token) = sim.token(&form).await;
    shapes.check("TokenInfo", &token);
    let access = token["access_token"].as_str().unwrap();
    let numbers = sim.get(access, &format!("{EXTENSION}/phone-number")).await.1;
    let id =
        &numbers["records"].as_array().unwrap().iter().find(|r| r["phoneNumber"] == "+14155550101").unwrap()
            ["id"];
    for (shape, path) in [
        ("UserInfoResource", "/restapi/oauth/userinfo".to_owned()),
        ("OpenIdDiscovery", "/.well-known/openid-configuration".to_owned()),
        ("GetAccountInfoResponse", "/restapi/v1.0/account/~".to_owned()),
        ("GetExtensionInfoResponse", EXTENSION.to_owned()),
        ("GetExtensionListResponse", "/restapi/v1.0/account/~/extension?perPage=3".to_owned()),
        ("GetExtensionPhoneNumbersResponse", format!("{EXTENSION}/phone-number")),
        ("GetExtensionPhoneNumbersResponse", format!("{EXTENSION}/phone-number?perPage=1&page=2")),
        ("AccountPhoneNumbers", "/restapi/v1.0/account/~/phone-number".to_owned()),
        ("AccountPhoneNumberList", "/restapi/v2/accounts/~/phone-numbers?perPage=3".to_owned()),
        ("SmsConfigurationResource", format!("{EXTENSION}/phone-number/{id}/sms-configuration")),
        ("ApiErrorResponseModel", "/restapi/v1.0/account/1".to_owned()),
        ("ApiErrorResponseModel", "/restapi/v1.0/nothing".to_owned()),
    ] {
        shapes.check(shape, &sim.get(access, &path).await.1);
    }
}

#[tokio::test]
async fn message_subscription_and_event_shapes_match_the_specification() {
    let (sim, shapes) = (test_simulator::start().await, ShapeChecker::load());
    let login = sim.log_in().await;
    let access = &login.access;
    let store = format!("{EXTENSION}/message-store");
    let (receiver, id) = subscribed_receiver(&sim, access, &[INSTANT, &store]).await;
    let own = "+14155550101";
    let (_, sent) = send(&sim, access, sms_body(own, &["+16505550111", "+16505550112"], "hi")).await;
    shapes.check("GetSMSMessageInfoResponse", &sent);
    sim.settings(json!({"finalStatus": "DeliveryFailed"})).await;
    send(&sim, access, sms_body(own, &["+16505550111"], "fails")).await;
    let media = json!([{"contentType": "image/gif", "fileName": "a.gif"}]);
    sim.control(
        Method::POST,
        "/inbound",
        json!({"from": "+16505550111", "to": own, "text": "pic", "media": media}),
    )
    .await;
    sim.control(Method::POST, "/inbound", json!({"from": "+16505550119", "to": own, "text": "STOP"})).await;
    sim.simulator.advance(10);
    sim.simulator.idle().await;
    let consents = "/restapi/v2/accounts/~/sms/consents";
    for (shape, path) in [
        ("GetMessageList", store.clone()),
        ("GetMessageList", format!("{store}?perPage=1&page=2")),
        ("GetMessageInfoResponse", format!("{store}/{}", sent["id"])),
        ("GetMessageSyncResponse", format!("{EXTENSION}/message-sync?syncType=FSync")),
        ("SubscriptionListResource", PATH.to_owned()),
        ("SubscriptionInfo", format!("{PATH}/{id}")),
        ("OptRecordList", consents.to_owned()),
        ("ConsentHistoryRecordList", format!("{consents}/history")),
        ("ApiErrorResponseModel", format!("{store}/1")),
    ] {
        shapes.check(shape, &sim.get(access, &path).await.1);
    }
    let records = json!({"records": [{"from": "+19995550100", "to": "+16505550111", "optStatus": "OptIn"}]});
    let (_, summary) = sim.call(Method::PATCH, access, consents, records).await;
    shapes.check("OptRecordsModificationSummary", &summary);
    sim.control(Method::POST, &format!("/subscriptions/{id}/blacklist"), json!({})).await;
    shapes.check("SubscriptionInfo", &sim.get(access, &format!("{PATH}/{id}")).await.1);
    let events = receiver.events();
    assert_eq!(events.len(), 10, "2 instant events, 4 new messages, 4 status changes");
    for event in events {
        let event = event.json();
        let instant = event["event"].as_str().unwrap().contains("instant");
        shapes.check(if instant { "InstantMessageEvent" } else { "MessageEvent" }, &event);
    }
}

#[test]
fn a_wrong_shape_is_reported() {
    let shapes = ShapeChecker::load();
    let mut problems = Vec::new();
    let value = json!({"id": 1, "uri": "nowhere", "color": "red", "status": "Tired"});
    shapes.object("SubscriptionInfo", &value, "s", &mut problems);
    for part in ["s.id: 1 is not string", "s.uri", "s.color: unknown", "s.status", "s.deliveryMode: missing"]
    {
        assert!(problems.iter().any(|p| p.contains(part)), "{part}: {problems:?}");
    }
}
