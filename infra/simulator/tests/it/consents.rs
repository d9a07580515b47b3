//! Consents.

use reqwest::Method;
use serde_json::{Value, json};

use crate::receiver::{
    HandshakeReply, PATH as SUBSCRIPTIONS, start_receiver, subscribed_receiver, subscription_body,
};
use crate::sms::{send, sms_body};
use crate::test_simulator::{self, EXTENSION, TestSimulator, code, json_of};

const PATH: &str = "/restapi/v2/accounts/~/sms/consents";
const OWN: &str = "+14155550101";
const CUSTOMER: &str = "+16505550111";

#[tokio::test]
async fn keywords_and_api_calls_set_consents_and_only_the_recipient_reverts_a_keyword() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let (receiver, _) = subscribed_receiver(&sim, &login.access, &[PATH]).await;
    sim.control(Method::POST, "/inbound", json!({"from": CUSTOMER, "to": OWN, "text": "Unsubscribe"})).await;
    sim.simulator.idle().await;
    assert_eq!(receiver.events()[0].json()["body"]["records"][0]["optStatus"], "OptOut");
    let (_, list) = sim.get(&login.access, PATH).await;
    let record = &list["records"][0];
    assert_eq!(
        (&record["from"], &record["to"], &record["source"]),
        (&json!(OWN), &json!(CUSTOMER), &json!("Recipient"))
    );

    let records = json!({"records": [
        {"from": OWN, "to": CUSTOMER, "optStatus": "OptIn", "source": "Api", "coverage": "PhoneNumber"},
        {"from": OWN, "to": "+16505550112", "optStatus": "OptOut", "source": "Api", "coverage": "PhoneNumber"},
        {"from": "+19995550100", "to": CUSTOMER, "optStatus": "OptOut", "source": "Api", "coverage": "PhoneNumber"},
        {"from": "*", "to": "+16505550113", "optStatus": "OptOut", "source": "Api", "coverage": "PhoneNumber"},
    ]});
    let (status, reply) = sim.call(Method::PATCH, &login.access, PATH, records).await;
    assert_eq!(status, 200);
    let failed: Vec<_> =
        reply["failedRecords"].as_array().unwrap().iter().map(|r| r["error"]["errorCode"].clone()).collect();
    assert_eq!(failed, ["MSG-243", "CMN-102"]);

    let search = async |body| sim.call(Method::POST, &login.access, &format!("{PATH}/search"), body).await.1;
    assert_eq!(search(json!({"to": ["+16505550112"]})).await["records"][0]["source"], "Api");
    let page = search(json!({"perPage": 2})).await;
    assert_eq!(page["records"].as_array().unwrap().len(), 2);
    let rest = search(json!({"perPage": 2, "pageToken": page["paging"]["nextPageToken"]})).await;
    assert_eq!(rest["records"].as_array().unwrap().len(), 1);
    assert!(rest["paging"].get("nextPageToken").is_none());

    sim.control(Method::POST, "/inbound", json!({"from": CUSTOMER, "to": OWN, "text": "start"})).await;
    assert_eq!(
        search(json!({"to": [CUSTOMER], "optStatus": "OptIn"})).await["records"].as_array().unwrap().len(),
        1
    );
    let (_, history) = sim.get(&login.access, &format!("{PATH}/history?to=%2B16505550111")).await;
    assert_eq!(history["records"].as_array().unwrap().len(), 2);
    let other = sim.log_in_as(3).await;
    assert_eq!(sim.get(&other.access, PATH).await.1["records"], json!([]), "another account has no records");
}

async fn keyword(sim: &TestSimulator, to: &str, text: &str) {
    sim.control(Method::POST, "/inbound", json!({"from": CUSTOMER, "to": to, "text": text})).await;
}

/// The delivery error of a message to the customer.
async fn delivery_error(sim: &TestSimulator, access: &str, from: &str) -> Value {
    let (status, sent) = send(sim, access, sms_body(from, &[CUSTOMER], "hello")).await;
    assert_eq!(status, 200, "{sent}");
    sim.simulator.advance(5);
    sim.get(access, &format!("{EXTENSION}/message-store/{}", sent["id"])).await.1["deliveryErrorCode"].clone()
}

#[tokio::test]
async fn every_keyword_sets_the_consent() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let status = async || {
        let path = format!("{PATH}?optStatus=OptIn&optStatus=OptOut");
        sim.get(&login.access, &path).await.1["records"][0]["optStatus"].clone()
    };
    let opt_out = ["STOP", "unsubscribe", " Quit ", "CANCEL", "End"];
    let opt_in = ["START", "subscribe", "Resume", " continue", "UNSTOP"];
    for (stop, start) in opt_out.into_iter().zip(opt_in) {
        keyword(&sim, OWN, stop).await;
        assert_eq!(status().await, "OptOut", "{stop}");
        keyword(&sim, OWN, start).await;
        assert_eq!(status().await, "OptIn", "{start}");
    }
    for text in ["REVOKE", "OPT OUT", "STOPALL", "please stop", "stop."] {
        keyword(&sim, OWN, text).await;
        assert_eq!(status().await, "OptIn", "{text} is not a keyword of RingCentral");
    }
}

#[tokio::test]
async fn searches_select_by_status_coverage_and_campaign_type() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    keyword(&sim, OWN, "STOP").await;
    let records = json!({"records": [
        {"from": OWN, "to": "+16505550112", "optStatus": "OptIn", "coverage": "phoneNumber"},
        {"from": OWN, "to": "+16505550113", "optStatus": "OptOut", "coverage": "Account"},
        {"from": OWN, "to": "+16505550114", "optStatus": "OptOut", "coverage": "Planet"},
    ]});
    let (_, reply) = sim.call(Method::PATCH, &login.access, PATH, records).await;
    assert_eq!(reply["failedRecords"][0]["error"]["errorCode"], "CMN-101");
    let count = async |query: &str| {
        let (_, list) = sim.get(&login.access, &format!("{PATH}{query}")).await;
        list["records"].as_array().unwrap_or_else(|| panic!("{query}: {list}")).len()
    };
    assert_eq!(count("").await, 2, "only opt-outs by default");
    assert_eq!(count("?optStatus=OptOut&optStatus=OptIn").await, 3);
    assert_eq!(count("?coverage=Account").await, 1);
    assert_eq!(count("?coverage=CampaignType").await, 0);
    assert_eq!(count("?campaignType=Promotional").await, 0);
    assert_eq!(count("?coverage=VirtualSender").await, 0);
    for (query, parameter) in [
        ("?optStatus=Maybe", "optStatus"),
        ("?coverage=Planet", "coverage"),
        ("?campaignType=x", "campaignType"),
    ] {
        let (status, reply) = sim.get(&login.access, &format!("{PATH}{query}")).await;
        assert_eq!((status.as_u16(), &reply["parameterName"]), (400, &json!(parameter)), "{query}");
    }
    let search = format!("{PATH}/search");
    let (_, all) = sim.call(Method::POST, &login.access, &search, json!({"coverage": ["PhoneNumber"]})).await;
    assert_eq!(all["records"].as_array().unwrap().len(), 2, "a search has no default status");
    let too_many: Vec<String> = (0..21).map(|n| format!("+165055501{n:02}")).collect();
    let (status, reply) = sim.call(Method::POST, &login.access, &search, json!({"to": too_many})).await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "CMN-101"));
}

#[tokio::test]
async fn every_consent_reply_has_an_etag_and_the_export_is_csv() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    keyword(&sim, OWN, "STOP").await;
    let request = |method: Method, path: &str| {
        sim.request(method, &format!("{PATH}{path}"))
            .bearer_auth(&login.access)
            .header("content-type", "application/json")
    };
    let update = json!({"records": [{"from": OWN, "to": "+16505550112", "optStatus": "OptOut", "coverage": "Account"}]});
    for request in [
        request(Method::GET, ""),
        request(Method::GET, "/history"),
        request(Method::POST, "/search").body("{}"),
        request(Method::PATCH, "").body(update.to_string()),
        request(Method::GET, "/export"),
    ] {
        let reply = request.send().await.unwrap();
        assert_eq!(reply.status(), 200, "{}", reply.url());
        assert!(reply.headers()["etag"].to_str().unwrap().starts_with('"'), "{}", reply.url());
    }
    let export = request(Method::GET, "/export").send().await.unwrap();
    assert_eq!(export.headers()["content-type"], "text/csv");
    let text = export.text().await.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "External Party Number,Internal Party Number,Consent Status,Source,Coverage,Campaign Type,Notes,Last Modified Time"
    );
    assert!(
        lines[1].starts_with(&format!("{CUSTOMER},{OWN},OptOut,Recipient,PhoneNumber,,,20")),
        "{}",
        lines[1]
    );
    assert!(lines[2].starts_with(&format!("+16505550112,{OWN},OptOut,Api,Company,,,20")), "{}", lines[2]);
}

#[tokio::test]
async fn the_history_has_every_decision_with_its_time() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    for text in ["STOP", "START", "STOP"] {
        keyword(&sim, OWN, text).await;
        sim.simulator.advance(60);
    }
    let (_, history) = sim.get(&login.access, &format!("{PATH}/history?to=%2B16505550111&perPage=2")).await;
    let records = history["records"].as_array().unwrap();
    let statuses: Vec<&Value> = records.iter().map(|r| &r["optStatus"]).collect();
    assert_eq!(statuses, ["OptOut", "OptIn"]);
    assert!(records[0]["createdAt"].as_str() < records[1]["createdAt"].as_str());
    assert!(records[0].get("lastModifiedTime").is_none());
    let next = history["paging"]["nextPageToken"].as_str().unwrap();
    let (_, rest) = sim.get(&login.access, &format!("{PATH}/history?perPage=2&pageToken={next}")).await;
    assert_eq!(rest["records"].as_array().unwrap().len(), 1);
    let (_, other) = sim.get(&login.access, &format!("{PATH}/history?to=%2B16505550112")).await;
    assert_eq!(other["records"], json!([]));
}

#[tokio::test]
async fn a_keyword_can_cover_all_numbers_of_the_account() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    assert_eq!(delivery_error(&sim, &login.access, "+14155550100").await, Value::Null);
    sim.settings(json!({"consentCoverage": "Account"})).await;
    keyword(&sim, OWN, "STOP").await;
    let (_, list) = sim.get(&login.access, PATH).await;
    assert_eq!(
        (&list["records"][0]["coverage"], &list["records"][0]["from"]),
        (&json!("Account"), &json!(OWN))
    );
    assert_eq!(delivery_error(&sim, &login.access, OWN).await, "SMS-RC-413");
    assert_eq!(delivery_error(&sim, &login.access, "+14155550100").await, "SMS-RC-413");
    let alex = sim.log_in_as(3).await;
    assert_eq!(
        delivery_error(&sim, &alex.access, "+16505550121").await,
        Value::Null,
        "another account can send"
    );
    keyword(&sim, "+14155550100", "START").await;
    assert_eq!(delivery_error(&sim, &login.access, OWN).await, Value::Null, "any number lifts it");
    let reply = sim.request(Method::PUT, "/_sim/settings").json(&json!({"consentCoverage": "VirtualSender"}));
    let (status, reply) = json_of(reply.send().await.unwrap()).await;
    assert_eq!(status, 400);
    assert!(reply["error"].as_str().unwrap().starts_with("consentCoverage"), "{reply}");
}

#[tokio::test]
async fn a_consent_can_cover_the_campaigns_of_a_type_or_a_virtual_sender() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    sim.settings(json!({"consentCoverage": "CampaignType"})).await;
    keyword(&sim, OWN, "STOP").await;
    let (_, list) = sim.get(&login.access, PATH).await;
    let record = &list["records"][0];
    assert_eq!(
        (&record["coverage"], &record["campaignType"]),
        (&json!("CampaignType"), &json!("Conversational"))
    );
    assert_eq!(
        delivery_error(&sim, &login.access, "+14155550100").await,
        "SMS-RC-413",
        "the same campaign type"
    );
    sim.settings(json!({"campaignType": "Promotional"})).await;
    assert_eq!(delivery_error(&sim, &login.access, OWN).await, Value::Null, "another campaign type");
    let update = |coverage: &str, campaign: Option<&str>| {
        let mut record = json!({"from": OWN, "to": CUSTOMER, "optStatus": "OptOut", "coverage": coverage});
        if let Some(campaign) = campaign {
            record["campaignType"] = json!(campaign);
        }
        json!({"records": [record]})
    };
    let patch = async |records: Value| sim.call(Method::PATCH, &login.access, PATH, records).await.1;
    for wrong in [
        update("CampaignType", None),
        update("CampaignType", Some("Loud")),
        update("Account", Some("Promotional")),
    ] {
        let reply = patch(wrong.clone()).await;
        assert_eq!(reply["failedRecords"][0]["error"]["errorCode"], "CMN-101", "{wrong}");
    }
    assert_eq!(patch(update("VirtualSender", None)).await, json!({}));
    assert_eq!(delivery_error(&sim, &login.access, OWN).await, Value::Null, "SMS has another sender");
    assert_eq!(patch(update("CampaignType", Some("Promotional"))).await, json!({}));
    assert_eq!(delivery_error(&sim, &login.access, OWN).await, "SMS-RC-413");
    let (_, list) = sim.get(&login.access, &format!("{PATH}?campaignType=Promotional")).await;
    assert_eq!(list["records"].as_array().unwrap().len(), 1);
    let (_, list) = sim.get(&login.access, &format!("{PATH}?coverage=VirtualSender")).await;
    assert_eq!(list["records"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_api_call_lifts_a_keyword_opt_out_only_if_the_setting_allows_it() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    keyword(&sim, OWN, "STOP").await;
    let records = json!({"records": [{"from": OWN, "to": CUSTOMER, "optStatus": "OptIn"}]});
    let (_, reply) = sim.call(Method::PATCH, &login.access, PATH, records.clone()).await;
    assert_eq!(reply["failedRecords"][0]["error"]["errorCode"], "MSG-243");
    sim.settings(json!({"apiLiftsKeywordOptOut": true})).await;
    assert_eq!(sim.call(Method::PATCH, &login.access, PATH, records).await.1, json!({}));
    assert_eq!(delivery_error(&sim, &login.access, OWN).await, Value::Null);
}

#[tokio::test]
async fn keywords_are_confirmed_if_the_setting_is_on() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let outbound = async || {
        let path = format!("{EXTENSION}/message-store?direction=Outbound");
        sim.get(&login.access, &path).await.1["records"].as_array().unwrap().clone()
    };
    keyword(&sim, OWN, "STOP").await;
    assert!(outbound().await.is_empty());
    sim.settings(json!({"keywordReplies": true})).await;
    keyword(&sim, OWN, "STOP").await;
    sim.simulator.advance(5);
    let replies = outbound().await;
    assert_eq!(replies.len(), 1);
    assert!(replies[0]["subject"].as_str().unwrap().contains("opted out"));
    assert_eq!(
        (&replies[0]["messageStatus"], &replies[0]["to"][0]["phoneNumber"]),
        (&json!("Delivered"), &json!(CUSTOMER))
    );
    keyword(&sim, OWN, "START").await;
    assert!(outbound().await[0]["subject"].as_str().unwrap().contains("opted in"));
    let changes = sim.ledger_of("consent_changed").await.len();
    keyword(&sim, OWN, "help").await;
    assert!(outbound().await[0]["subject"].as_str().unwrap().contains("help"));
    assert_eq!(sim.ledger_of("consent_changed").await.len(), changes, "HELP is no decision");
    assert!(sim.ledger_of("sms_accepted").await.is_empty(), "the app sent nothing");
}

#[tokio::test]
async fn consent_events_go_to_every_subscription_of_the_account() {
    let sim = test_simulator::start().await;
    let (dana, robin, alex) = (sim.log_in_as(0).await, sim.log_in_as(1).await, sim.log_in_as(3).await);
    let (first, _) = subscribed_receiver(&sim, &dana.access, &[PATH]).await;
    let (second, _) = subscribed_receiver(&sim, &robin.access, &[PATH]).await;
    let (foreign, _) = subscribed_receiver(&sim, &alex.access, &[PATH]).await;
    keyword(&sim, OWN, "STOP").await;
    sim.simulator.idle().await;
    assert!(foreign.events().is_empty());
    for receiver in [&first, &second] {
        let event = receiver.events()[0].json();
        let filter = format!("/restapi/v2/accounts/{}/sms/consents", sim.user(0).account_id);
        assert_eq!(event["event"], json!(filter));
        let record = event["body"]["records"][0].as_object().unwrap().clone();
        let fields: Vec<&str> = record.keys().map(String::as_str).collect();
        assert_eq!(fields, ["from", "lastModifiedTime", "optStatus", "source", "to"]);
    }
    sim.settings(json!({"consentEvents": false})).await;
    let receiver = start_receiver(HandshakeReply::Good).await;
    let mut body = subscription_body(&receiver.url);
    body["eventFilters"] = json!([PATH]);
    let (status, reply) = sim.call(Method::POST, &dana.access, SUBSCRIPTIONS, body).await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "SUB-508"));
}
