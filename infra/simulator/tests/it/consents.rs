//! Consents.

use reqwest::Method;
use serde_json::json;

use crate::receiver::subscribed_receiver;
use crate::test_simulator;

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
