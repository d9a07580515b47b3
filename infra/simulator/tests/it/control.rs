//! The control API and the state on disk.

use reqwest::Method;
use serde_json::json;

use crate::kit::{self, EXTENSION, json_of};

#[tokio::test]
async fn only_this_machine_under_its_own_name_may_control() {
    let kit = kit::start().await;
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1:9410", 200),
        ("[::1]:9410", 200),
        ("rc.localhost:9410", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:80", 403),
    ] {
        let reply = kit.request(Method::GET, "/_sim/settings").header("host", host).send().await.unwrap();
        assert_eq!(reply.status(), status, "{host}");
    }
    for (origin, status) in [("http://127.0.0.1:9400", 200), ("https://evil.example", 403), ("null", 403)] {
        let reply = kit.request(Method::GET, "/_sim/settings").header("origin", origin).send().await.unwrap();
        assert_eq!(reply.status(), status, "{origin}");
    }
    let page = kit.request(Method::GET, "/").header("host", "evil.example").send().await.unwrap();
    assert_eq!(page.status(), 403);
}

#[tokio::test]
async fn settings_merge_and_a_typo_is_named() {
    let kit = kit::start().await;
    let after = kit
        .sim(Method::PUT, "/settings", json!({"graceUsedSeconds": 20, "scopes": "SMS ReadAccounts"}))
        .await;
    assert_eq!((&after["graceUsedSeconds"], &after["graceUnusedSeconds"]), (&json!(20), &json!(3600)));
    assert_eq!(after["scopes"], json!(["SMS", "ReadAccounts"]));
    for (patch, field) in [
        (json!({"graceUsed": 20}), "graceUsed"),
        (json!({"refreshTokens": "lax"}), "refreshTokens"),
        (json!({"hooks": {"dropp": 1}}), "dropp"),
        (json!({"hooks": {"drop": 2}}), "hooks.drop"),
        (json!({"finalStatus": "Lost"}), "finalStatus"),
    ] {
        let reply = kit.request(Method::PUT, "/_sim/settings").json(&patch).send().await.unwrap();
        let (status, reply) = json_of(reply).await;
        assert_eq!(status, 400);
        assert!(reply["error"].as_str().unwrap().contains(field), "{reply}");
    }
}

#[tokio::test]
async fn an_account_can_be_added() {
    let kit = kit::start().await;
    let body = json!({"name": "New Co", "users": [
        {"name": "Ann Admin", "numbers": [{}, {"features": ["CallerId"]}]},
        {"name": "Ben Basic", "password": "pw", "numbers": [{"phoneNumber": "+12125550199", "campaign": "Submitted"}]},
    ]});
    let made = kit.sim(Method::POST, "/accounts", body.clone()).await;
    let ben = &made["users"][1];
    assert_eq!((&ben["username"], &ben["numbers"]), (&json!("+12125550199"), &json!(["+12125550199"])));
    assert_eq!(ben["accountId"], made["accountId"]);
    let form = [("grant_type", "password"), ("username", "+12125550199"), ("password", "pw")];
    let (status, reply) = kit.token(&form).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(kit.get(reply["access_token"].as_str().unwrap(), EXTENSION).await.1["name"], "Ben Basic");
    let again = kit.request(Method::POST, "/_sim/accounts").json(&body).send().await.unwrap();
    let (status, reply) = json_of(again).await;
    assert_eq!(status, 400);
    assert!(reply["error"].as_str().unwrap().contains("phoneNumber"));
    let typo = kit
        .request(Method::POST, "/_sim/accounts")
        .json(&json!({"users": [{"nmae": "x"}]}))
        .send()
        .await
        .unwrap();
    let (status, reply) = json_of(typo).await;
    assert_eq!(status, 400);
    assert!(reply["error"].as_str().unwrap().contains("nmae"), "{reply}");
}

#[tokio::test]
async fn the_ledger_goes_on_where_the_last_look_ended() {
    let kit = kit::start().await;
    kit.log_in().await;
    let first = kit.sim(Method::GET, "/ledger?since=0", json!({})).await;
    assert_eq!(first["entries"].as_array().unwrap().len(), 1);
    let entry = &first["entries"][0];
    assert_eq!((&entry["kind"], &entry["seq"]), (&json!("token_issued"), &json!(1)));
    assert_eq!(entry["extensionId"], json!(kit.user(0).extension_id));
    assert!(!first.to_string().contains("CANARY"), "the ledger holds no secret");
    kit.log_in_as(1).await;
    let second = kit.sim(Method::GET, &format!("/ledger?since={}", first["next"]), json!({})).await;
    assert_eq!(second["entries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn reset_goes_back_to_the_seed() {
    let kit = kit::start().await;
    let seed = json!(kit.simulator.seed());
    let login = kit.log_in().await;
    kit.sim(Method::POST, "/accounts", json!({})).await;
    kit.sim(Method::POST, "/clock", json!({"advanceSeconds": 86_400})).await;
    kit.settings(json!({"refreshTokens": "strict"})).await;
    kit.sim(Method::POST, "/reset", json!({})).await;
    assert_eq!(json!(kit.simulator.seed()), seed);
    assert_eq!(kit.simulator.clock_offset(), 0);
    assert!(kit.ledger().await.is_empty());
    assert_eq!(kit.get(&login.access, EXTENSION).await.0, 401);
}

#[tokio::test]
async fn the_clock_goes_forward_alone_and_not_without_a_bound() {
    let kit = kit::start().await;
    for order in [json!({"advanceSeconds": -1}), json!({"advanceSeconds": i64::MAX}), json!({"advance": 1})] {
        let reply = kit.request(Method::POST, "/_sim/clock").json(&order).send().await.unwrap();
        let (status, reply) = json_of(reply).await;
        assert_eq!(status, 400, "{order}");
        assert!(reply["error"].as_str().unwrap().starts_with("advance"), "{reply}");
    }
    assert_eq!(kit.simulator.clock_offset(), 0);
}

#[tokio::test]
async fn state_outlives_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let kit = kit::start_in(Some(folder.path().to_owned())).await;
    let login = kit.log_in().await;
    kit.sim(Method::POST, "/clock", json!({"advanceSeconds": 600})).await;
    kit.simulator.stop().await.unwrap();

    let kit = kit::start_in(Some(folder.path().to_owned())).await;
    assert_eq!(kit.simulator.clock_offset(), 600);
    assert_eq!(kit.get(&login.access, EXTENSION).await.0, 200);
    assert_eq!(kit.refresh(&login.refresh).await.0, 200);
    assert_eq!(kit.ledger_of("token_issued").await.len(), 1);
    kit.simulator.stop().await.unwrap();

    std::fs::write(folder.path().join("ringcentral.json"), "{\"broken").unwrap();
    let listener = simulator::listen(0).await.unwrap();
    let public_url = simulator::public_url(&listener).unwrap();
    let options = simulator::Options {
        listener,
        public_url,
        redirect_uris: vec![],
        data: Some(folder.path().to_owned()),
    };
    let error = format!("{:#}", simulator::Simulator::start(options).await.unwrap_err());
    assert!(error.contains("can't be restored; delete"), "{error}");
}

#[tokio::test]
async fn state_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let kit = kit::start_in(Some(folder.path().to_owned())).await;
    let login = kit.log_in().await;
    let message = json!({"from": "+16505550111", "to": "+14155550101", "text": "before the kill"});
    kit.sim(Method::POST, "/inbound", message).await;
    // What is on disk soon after is what a kill leaves behind: nobody is told to stop.
    let file = folder.path().join("ringcentral.json");
    while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains("before the kill")) {
        tokio::task::yield_now().await;
    }
    let other = tempfile::tempdir().unwrap();
    std::fs::copy(&file, other.path().join("ringcentral.json")).unwrap();
    let kit = kit::start_in(Some(other.path().to_owned())).await;
    let (status, list) = kit.get(&login.access, &format!("{EXTENSION}/message-store")).await;
    assert_eq!((status.as_u16(), &list["records"][0]["subject"]), (200, &json!("before the kill")));
}
