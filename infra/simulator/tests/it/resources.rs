//! Identity and phone numbers.

use reqwest::Method;
use serde_json::{Value, json};

use crate::kit::{self, EXTENSION, code};

#[tokio::test]
async fn a_call_without_a_good_token_is_refused() {
    let kit = kit::start().await;
    let plain = kit.request(Method::GET, EXTENSION).send().await.unwrap();
    assert_eq!(plain.headers()["www-authenticate"], "Bearer realm=\"RingCentral REST API\"");
    assert!(plain.headers().contains_key("rcrequestid"));
    assert_eq!(code(&kit::json_of(plain).await.1), "AGW-401");
    let odd = kit.request(Method::GET, EXTENSION).header("authorization", "Token x").send().await.unwrap();
    assert_eq!(code(&kit::json_of(odd).await.1), "AGW-402");
    let (status, reply) = kit.get("garbage", EXTENSION).await;
    assert_eq!((status.as_u16(), code(&reply)), (401, "OAU-149"));
    assert_eq!(kit.get("x", "/restapi/v1.0/no-such-thing").await.0, 404);
}

#[tokio::test]
async fn account_extension_and_userinfo_agree() {
    let kit = kit::start().await;
    let user = kit.user(0);
    let login = kit.log_in().await;
    let (_, extension) = kit.get(&login.access, EXTENSION).await;
    assert_eq!(extension["id"].to_string(), user.extension_id);
    assert_eq!(extension["account"]["id"], json!(user.account_id));
    assert_eq!((&extension["name"], &extension["extensionNumber"]), (&json!("Dana Sim"), &json!("101")));
    assert_eq!(extension["permissions"]["admin"]["enabled"], true);
    assert!(extension["uri"].as_str().unwrap().starts_with(&kit.url));
    let (_, account) = kit.get(&login.access, "/restapi/v1.0/account/~").await;
    assert_eq!(account["id"].to_string(), user.account_id);
    assert_eq!(account["mainNumber"], "+14155550100");
    let (_, info) = kit.get(&login.access, "/restapi/oauth/userinfo").await;
    assert_eq!((&info["sub"], &info["account_id"]), (&json!(user.extension_id), &json!(user.account_id)));
    let by_query = format!("{EXTENSION}?access_token={}", login.access);
    assert_eq!(kit.request(Method::GET, &by_query).send().await.unwrap().status(), 200);
    let lower =
        kit.request(Method::GET, EXTENSION).header("authorization", format!("bearer {}", login.access));
    assert_eq!(lower.send().await.unwrap().status(), 200);
    let (_, oidc) = kit.get("", "/.well-known/openid-configuration").await;
    assert_eq!(oidc["issuer"], json!(kit.url));
}

#[tokio::test]
async fn only_an_administrator_sees_other_extensions() {
    let kit = kit::start().await;
    let (admin, other) = (kit.log_in_as(0).await, kit.log_in_as(1).await);
    let path = |index: usize| format!("/restapi/v1.0/account/~/extension/{}", kit.user(index).extension_id);
    assert_eq!(kit.get(&admin.access, &path(1)).await.0, 200);
    let (status, reply) = kit.get(&other.access, &path(0)).await;
    assert_eq!((status.as_u16(), code(&reply)), (403, "CMN-404"));
    let (status, reply) = kit.get(&admin.access, &path(3)).await;
    assert_eq!((status.as_u16(), code(&reply)), (404, "CMN-102"), "another account's user is not there");
    assert_eq!(kit.get(&admin.access, "/restapi/v1.0/account/1/extension/~").await.0, 404);
    let (status, reply) = kit.get(&other.access, "/restapi/v1.0/account/~/phone-number").await;
    assert_eq!((status.as_u16(), code(&reply)), (403, "CMN-408"));
    assert_eq!(reply["errors"][0]["permissionName"], "ReadCompanyPhoneNumbers");
}

fn features(list: &Value, number: &str) -> Vec<String> {
    let record = list["records"].as_array().unwrap().iter().find(|r| r["phoneNumber"] == number).unwrap();
    record["features"].as_array().unwrap().iter().map(|f| f.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_number_has_the_sms_feature_for_one_extension_only() {
    let kit = kit::start().await;
    let path = format!("{EXTENSION}/phone-number");
    let (_, dana) = kit.get(&kit.log_in_as(0).await.access, &path).await;
    let (_, robin) = kit.get(&kit.log_in_as(1).await.access, &path).await;
    assert!(features(&dana, "+14155550100").contains(&"SmsSender".to_owned()));
    assert_eq!(features(&robin, "+14155550100"), ["CallerId"]);
    assert!(features(&robin, "+14155550102").contains(&"MmsSender".to_owned()));
    assert_eq!(features(&robin, "+14155550105"), ["CallerId"], "not registered for 10DLC");
    assert!(!dana["records"].as_array().unwrap().iter().any(|r| r["phoneNumber"] == "+14155550102"));
    assert_eq!(kit.user(0).numbers, ["+14155550100", "+14155550101"]);
    assert_eq!(kit.user(1).numbers, ["+14155550102"]);
    assert!(kit.user(2).numbers.is_empty());
}

#[tokio::test]
async fn lists_have_pages_and_filters() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let list = format!("{EXTENSION}/phone-number");
    let (_, all) = kit.get(&login.access, &list).await;
    let total = all["paging"]["totalElements"].as_u64().unwrap();
    let mut seen = Vec::new();
    let mut next = Some(format!("{}{list}?perPage=1", kit.url));
    while let Some(uri) = next {
        let reply = kit.http.get(&uri).bearer_auth(&login.access).send().await.unwrap();
        let (_, page) = kit::json_of(reply).await;
        seen.extend(page["records"].as_array().unwrap().clone());
        next = page["navigation"]["nextPage"]["uri"].as_str().map(str::to_owned);
    }
    assert_eq!(seen.len() as u64, total);
    assert_eq!(json!(seen), all["records"]);
    let (_, direct) = kit.get(&login.access, &format!("{list}?usageType=DirectNumber")).await;
    assert_eq!(direct["paging"]["totalElements"], 1);
    let (_, beyond) = kit.get(&login.access, &format!("{list}?page=9")).await;
    assert_eq!(beyond["records"], json!([]));
    assert!(beyond["paging"].get("pageStart").is_none());
    let (status, reply) = kit.get(&login.access, &format!("{list}?page=0")).await;
    assert_eq!((status.as_u16(), &reply["parameterName"]), (400, &json!("page")));
}

#[tokio::test]
async fn both_account_lists_show_every_number() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let (_, v1) = kit.get(&login.access, "/restapi/v1.0/account/~/phone-number").await;
    let (_, v2) = kit.get(&login.access, "/restapi/v2/accounts/~/phone-numbers").await;
    assert_eq!(v1["records"].as_array().unwrap().len(), 7);
    assert!(v1["records"][0]["id"].is_i64() && v2["records"][0]["id"].is_string());
    assert!(v1["records"][0].get("features").is_none());
    let free = v2["records"].as_array().unwrap().iter().find(|r| r["tollType"] == "TollFree").unwrap();
    assert_eq!(free["phoneNumber"], "+18005550107");
    kit.settings(json!({"accountNumberFeatures": true, "numberType": "VoiceAndFax"})).await;
    let (_, v1) = kit.get(&login.access, "/restapi/v1.0/account/~/phone-number").await;
    assert!(v1["records"][0]["features"].is_array());
    assert_eq!(v1["records"][0]["type"], "VoiceAndFax");
}

#[tokio::test]
async fn sms_configuration_tells_the_campaign() {
    let kit = kit::start().await;
    let configuration = async |index: usize, number: &str| {
        let login = kit.log_in_as(index).await;
        let (_, list) = kit.get(&login.access, &format!("{EXTENSION}/phone-number")).await;
        let record =
            list["records"].as_array().unwrap().iter().find(|r| r["phoneNumber"] == number).unwrap().clone();
        kit.get(&login.access, &format!("{EXTENSION}/phone-number/{}/sms-configuration", record["id"]))
            .await
            .1
    };
    assert_eq!(configuration(0, "+14155550101").await["smsCampaignInfo"]["status"], "Confirmed");
    let none = configuration(1, "+14155550105").await;
    assert!(none["phoneNumberId"].is_string() && none.get("smsCampaignInfo").is_none());
    assert_eq!(configuration(4, "+16505550123").await["smsCampaignInfo"]["status"], "CampaignSuspended");
}

#[tokio::test]
async fn the_second_host_name_is_an_environment_of_its_own() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let second = kit.url.replace("localhost", "127.0.0.1");
    for base in [&kit.url, &second] {
        for path in [EXTENSION, "/restapi/v1.0/account/~", &format!("{EXTENSION}/phone-number")] {
            let reply =
                kit.http.get(format!("{base}{path}")).bearer_auth(&login.access).send().await.unwrap();
            let (_, reply) = kit::json_of(reply).await;
            assert!(reply["uri"].as_str().unwrap().starts_with(base.as_str()), "{base}: {}", reply["uri"]);
        }
        let oidc = kit.http.get(format!("{base}/.well-known/openid-configuration")).send().await.unwrap();
        assert_eq!(kit::json_of(oidc).await.1["issuer"], json!(base));
    }
}
