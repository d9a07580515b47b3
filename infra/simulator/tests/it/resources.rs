//! Identity and phone numbers.

use reqwest::Method;
use serde_json::{Value, json};

use crate::test_simulator::{self, EXTENSION, code};

#[tokio::test]
async fn a_call_without_a_valid_token_is_refused() {
    let sim = test_simulator::start().await;
    let plain = sim.request(Method::GET, EXTENSION).send().await.unwrap();
    assert_eq!(plain.headers()["www-authenticate"], "Bearer realm=\"RingCentral REST API\"");
    assert!(plain.headers().contains_key("rcrequestid"));
    assert_eq!(code(&test_simulator::json_of(plain).await.1), "AGW-401");
    let odd = sim.request(Method::GET, EXTENSION).header("authorization", "Token x").send().await.unwrap();
    assert_eq!(code(&test_simulator::json_of(odd).await.1), "AGW-402");
    let (status, reply) = sim.get("garbage", EXTENSION).await;
    assert_eq!((status.as_u16(), code(&reply)), (401, "OAU-149"));
    assert_eq!(sim.get("x", "/restapi/v1.0/no-such-thing").await.0, 404);
}

#[tokio::test]
async fn account_extension_and_userinfo_agree() {
    let sim = test_simulator::start().await;
    let user = sim.user(0);
    let login = sim.log_in().await;
    let (_, extension) = sim.get(&login.access, EXTENSION).await;
    assert_eq!(extension["id"].to_string(), user.extension_id);
    assert_eq!(extension["account"]["id"], json!(user.account_id));
    assert_eq!((&extension["name"], &extension["extensionNumber"]), (&json!("Dana Sim"), &json!("101")));
    assert_eq!(extension["permissions"]["admin"]["enabled"], true);
    assert!(extension["uri"].as_str().unwrap().starts_with(&sim.url));
    let (_, account) = sim.get(&login.access, "/restapi/v1.0/account/~").await;
    assert_eq!(account["id"].to_string(), user.account_id);
    assert_eq!(account["mainNumber"], "+14155550100");
    let (_, info) = sim.get(&login.access, "/restapi/oauth/userinfo").await;
    assert_eq!((&info["sub"], &info["account_id"]), (&json!(user.extension_id), &json!(user.account_id)));
    let by_query = format!("{EXTENSION}?access_token={}", login.access);
    assert_eq!(sim.request(Method::GET, &by_query).send().await.unwrap().status(), 200);
    let lower =
        sim.request(Method::GET, EXTENSION).header("authorization", format!("bearer {}", login.access));
    assert_eq!(lower.send().await.unwrap().status(), 200);
    let (_, oidc) = sim.get("", "/.well-known/openid-configuration").await;
    assert_eq!(oidc["issuer"], json!(sim.url));
}

#[tokio::test]
async fn only_an_administrator_can_read_other_extensions() {
    let sim = test_simulator::start().await;
    let (admin, other) = (sim.log_in_as(0).await, sim.log_in_as(1).await);
    let path = |index: usize| format!("/restapi/v1.0/account/~/extension/{}", sim.user(index).extension_id);
    assert_eq!(sim.get(&admin.access, &path(1)).await.0, 200);
    let (status, reply) = sim.get(&other.access, &path(0)).await;
    assert_eq!((status.as_u16(), code(&reply)), (403, "CMN-404"));
    let (status, reply) = sim.get(&admin.access, &path(3)).await;
    assert_eq!((status.as_u16(), code(&reply)), (404, "CMN-102"), "users of another account are not found");
    assert_eq!(sim.get(&admin.access, "/restapi/v1.0/account/1/extension/~").await.0, 404);
    let (status, reply) = sim.get(&other.access, "/restapi/v1.0/account/~/phone-number").await;
    assert_eq!((status.as_u16(), code(&reply)), (403, "CMN-408"));
    assert_eq!(reply["errors"][0]["permissionName"], "ReadCompanyPhoneNumbers");
}

#[tokio::test]
async fn the_extension_list_has_every_extension_of_the_account_and_filters() {
    let sim = test_simulator::start().await;
    let path = "/restapi/v1.0/account/~/extension";
    let login = sim.log_in_as(1).await;
    let list = async |query: &str| sim.get(&login.access, &format!("{path}{query}")).await.1;
    let names = |list: &Value| -> Vec<String> {
        let records = list["records"].as_array().unwrap();
        records.iter().map(|r| r["name"].as_str().unwrap().to_owned()).collect()
    };
    let all = list("").await;
    assert_eq!(names(&all), ["Dana Sim", "Robin Vale", "Kim Quiet", "Support Queue"]);
    assert_eq!(all["records"][0]["id"].to_string(), sim.user(0).extension_id);
    assert_eq!(
        (&all["records"][3]["type"], &all["records"][3]["status"]),
        (&json!("Department"), &json!("Enabled"))
    );
    assert_eq!(names(&list("?type=User&status=Enabled&status=Disabled").await).len(), 3);
    assert_eq!(names(&list("?type=Department").await), ["Support Queue"]);
    assert_eq!(names(&list("?extensionNumber=102").await), ["Robin Vale"]);
    assert_eq!(names(&list("?email=KIM@example.com").await), ["Kim Quiet"]);
    assert_eq!(names(&list("?status=Disabled").await), Vec::<String>::new());
    let page = list("?perPage=3&page=2").await;
    assert_eq!(
        (names(&page), &page["paging"]["totalElements"]),
        (vec!["Support Queue".to_owned()], &json!(4))
    );
    assert_eq!(list("?status=Asleep").await["errors"][0]["parameterName"], "status");
    let reply = sim.request(Method::GET, path).bearer_auth(&login.access).send().await.unwrap();
    assert_eq!(reply.headers()["x-rate-limit-group"], "medium");
    assert_eq!(sim.get(&login.access, "/restapi/v1.0/account/1/extension").await.0, 404);
    sim.settings(json!({"scopes": "SMS"})).await;
    let limited = sim.log_in_as(1).await;
    let (status, reply) = sim.get(&limited.access, path).await;
    assert_eq!((status.as_u16(), code(&reply)), (403, "CMN-401"));
}

fn features(list: &Value, number: &str) -> Vec<String> {
    let record = list["records"].as_array().unwrap().iter().find(|r| r["phoneNumber"] == number).unwrap();
    record["features"].as_array().unwrap().iter().map(|f| f.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn one_extension_has_the_sms_feature_of_a_number() {
    let sim = test_simulator::start().await;
    let path = format!("{EXTENSION}/phone-number");
    let (_, dana) = sim.get(&sim.log_in_as(0).await.access, &path).await;
    let (_, robin) = sim.get(&sim.log_in_as(1).await.access, &path).await;
    assert!(features(&dana, "+14155550100").contains(&"SmsSender".to_owned()));
    assert_eq!(features(&robin, "+14155550100"), ["CallerId"]);
    assert!(features(&robin, "+14155550102").contains(&"MmsSender".to_owned()));
    assert_eq!(features(&robin, "+14155550105"), ["CallerId"], "not registered for 10DLC");
    assert!(!dana["records"].as_array().unwrap().iter().any(|r| r["phoneNumber"] == "+14155550102"));
    assert_eq!(sim.user(0).numbers, ["+14155550100", "+14155550101"]);
    assert_eq!(sim.user(1).numbers, ["+14155550102"]);
    assert!(sim.user(2).numbers.is_empty());
}

#[tokio::test]
async fn number_lists_have_pages_and_filters() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let list = format!("{EXTENSION}/phone-number");
    let (_, all) = sim.get(&login.access, &list).await;
    let total = all["paging"]["totalElements"].as_u64().unwrap();
    let mut seen = Vec::new();
    let mut next = Some(format!("{}{list}?perPage=1", sim.url));
    while let Some(uri) = next {
        let reply = sim.http.get(&uri).bearer_auth(&login.access).send().await.unwrap();
        let (_, page) = test_simulator::json_of(reply).await;
        seen.extend(page["records"].as_array().unwrap().clone());
        next = page["navigation"]["nextPage"]["uri"].as_str().map(str::to_owned);
    }
    assert_eq!(seen.len() as u64, total);
    assert_eq!(json!(seen), all["records"]);
    let (_, direct) = sim.get(&login.access, &format!("{list}?usageType=DirectNumber")).await;
    assert_eq!(direct["paging"]["totalElements"], 1);
    let (_, beyond) = sim.get(&login.access, &format!("{list}?page=9")).await;
    assert_eq!(beyond["records"], json!([]));
    assert!(beyond["paging"].get("pageStart").is_none());
    let (status, reply) = sim.get(&login.access, &format!("{list}?page=0")).await;
    assert_eq!((status.as_u16(), &reply["parameterName"]), (400, &json!("page")));
}

#[tokio::test]
async fn both_account_lists_have_every_number() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let (_, v1) = sim.get(&login.access, "/restapi/v1.0/account/~/phone-number").await;
    let (_, v2) = sim.get(&login.access, "/restapi/v2/accounts/~/phone-numbers").await;
    assert_eq!(v1["records"].as_array().unwrap().len(), 7);
    assert!(v1["records"][0]["id"].is_i64() && v2["records"][0]["id"].is_string());
    assert!(v1["records"][0].get("features").is_none());
    let free = v2["records"].as_array().unwrap().iter().find(|r| r["tollType"] == "TollFree").unwrap();
    assert_eq!(free["phoneNumber"], "+18005550107");
    sim.settings(json!({"accountNumberFeatures": true, "numberType": "VoiceAndFax"})).await;
    let (_, v1) = sim.get(&login.access, "/restapi/v1.0/account/~/phone-number").await;
    assert!(v1["records"][0]["features"].is_array());
    assert_eq!(v1["records"][0]["type"], "VoiceAndFax");
}

#[tokio::test]
async fn sms_configuration_has_the_campaign_status() {
    let sim = test_simulator::start().await;
    let configuration = async |index: usize, number: &str| {
        let login = sim.log_in_as(index).await;
        let (_, list) = sim.get(&login.access, &format!("{EXTENSION}/phone-number")).await;
        let record =
            list["records"].as_array().unwrap().iter().find(|r| r["phoneNumber"] == number).unwrap().clone();
        sim.get(&login.access, &format!("{EXTENSION}/phone-number/{}/sms-configuration", record["id"]))
            .await
            .1
    };
    assert_eq!(configuration(0, "+14155550101").await["smsCampaignInfo"]["status"], "Confirmed");
    let none = configuration(1, "+14155550105").await;
    assert!(none["phoneNumberId"].is_string() && none.get("smsCampaignInfo").is_none());
    assert_eq!(configuration(4, "+16505550123").await["smsCampaignInfo"]["status"], "CampaignSuspended");
}

#[tokio::test]
async fn the_second_host_name_is_a_separate_environment() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let second = sim.url.replace("localhost", "127.0.0.1");
    for base in [&sim.url, &second] {
        for path in [EXTENSION, "/restapi/v1.0/account/~", &format!("{EXTENSION}/phone-number")] {
            let reply =
                sim.http.get(format!("{base}{path}")).bearer_auth(&login.access).send().await.unwrap();
            let (_, reply) = test_simulator::json_of(reply).await;
            assert!(reply["uri"].as_str().unwrap().starts_with(base.as_str()), "{base}: {}", reply["uri"]);
        }
        let oidc = sim.http.get(format!("{base}/.well-known/openid-configuration")).send().await.unwrap();
        assert_eq!(test_simulator::json_of(oidc).await.1["issuer"], json!(base));
    }
}
