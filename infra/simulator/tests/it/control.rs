//! The control API and the saved state.

use reqwest::Method;
use serde_json::json;

use crate::test_simulator::{self, EXTENSION, json_of};

#[tokio::test]
async fn the_control_api_accepts_only_local_requests() {
    let sim = test_simulator::start().await;
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1:9410", 200),
        ("[::1]:9410", 200),
        ("rc.localhost:9410", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:80", 403),
    ] {
        let reply = sim.request(Method::GET, "/_sim/settings").header("host", host).send().await.unwrap();
        assert_eq!(reply.status(), status, "{host}");
    }
    for (origin, status) in [("http://127.0.0.1:9400", 200), ("https://evil.example", 403), ("null", 403)] {
        let reply = sim.request(Method::GET, "/_sim/settings").header("origin", origin).send().await.unwrap();
        assert_eq!(reply.status(), status, "{origin}");
    }
    let page = sim.request(Method::GET, "/").header("host", "evil.example").send().await.unwrap();
    assert_eq!(page.status(), 403);
}

#[tokio::test]
async fn settings_are_merged_and_an_error_names_the_field() {
    let sim = test_simulator::start().await;
    let after = sim
        .control(Method::PUT, "/settings", json!({"graceUsedSeconds": 20, "scopes": "SMS ReadAccounts"}))
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
        let reply = sim.request(Method::PUT, "/_sim/settings").json(&patch).send().await.unwrap();
        let (status, reply) = json_of(reply).await;
        assert_eq!(status, 400);
        assert!(reply["error"].as_str().unwrap().contains(field), "{reply}");
    }
}

#[tokio::test]
async fn an_account_can_be_added() {
    let sim = test_simulator::start().await;
    let body = json!({"name": "New Co", "users": [
        {"name": "Ann Admin", "numbers": [{}, {"features": ["CallerId"]}]},
        {"name": "Ben Basic", "password": "pw", "numbers": [{"phoneNumber": "+12125550199", "campaign": "Submitted"}]},
    ]});
    let made = sim.control(Method::POST, "/accounts", body.clone()).await;
    let ben = &made["users"][1];
    assert_eq!((&ben["username"], &ben["numbers"]), (&json!("+12125550199"), &json!(["+12125550199"])));
    assert_eq!(ben["accountId"], made["accountId"]);
    let form = [("grant_type", "password"), ("username", "+12125550199"), ("password", "pw")];
    let (status, reply) = sim.token(&form).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(sim.get(reply["access_token"].as_str().unwrap(), EXTENSION).await.1["name"], "Ben Basic");
    let again = sim.request(Method::POST, "/_sim/accounts").json(&body).send().await.unwrap();
    let (status, reply) = json_of(again).await;
    assert_eq!(status, 400);
    assert!(reply["error"].as_str().unwrap().contains("phoneNumber"));
    let typo = sim
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
async fn the_ledger_continues_after_the_last_entry_read() {
    let sim = test_simulator::start().await;
    sim.log_in().await;
    let first = sim.control(Method::GET, "/ledger?since=0", json!({})).await;
    assert_eq!(first["entries"].as_array().unwrap().len(), 1);
    let entry = &first["entries"][0];
    assert_eq!((&entry["kind"], &entry["seq"]), (&json!("token_issued"), &json!(1)));
    assert_eq!(entry["extensionId"], json!(sim.user(0).extension_id));
    assert!(!first.to_string().contains("CANARY"), "the ledger holds no secret");
    sim.log_in_as(1).await;
    let second = sim.control(Method::GET, &format!("/ledger?since={}", first["next"]), json!({})).await;
    assert_eq!(second["entries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn reset_restores_the_seed() {
    let sim = test_simulator::start().await;
    let seed = json!(sim.simulator.seed());
    let login = sim.log_in().await;
    sim.control(Method::POST, "/accounts", json!({})).await;
    sim.control(Method::POST, "/clock", json!({"advanceSeconds": 86_400})).await;
    sim.settings(json!({"refreshTokens": "strict"})).await;
    sim.control(Method::POST, "/reset", json!({})).await;
    assert_eq!(json!(sim.simulator.seed()), seed);
    assert_eq!(sim.simulator.clock_offset(), 0);
    assert!(sim.ledger().await.is_empty());
    assert_eq!(sim.get(&login.access, EXTENSION).await.0, 401);
}

#[tokio::test]
async fn the_clock_only_advances_and_has_a_limit() {
    let sim = test_simulator::start().await;
    for body in [json!({"advanceSeconds": -1}), json!({"advanceSeconds": i64::MAX}), json!({"advance": 1})] {
        let reply = sim.request(Method::POST, "/_sim/clock").json(&body).send().await.unwrap();
        let (status, reply) = json_of(reply).await;
        assert_eq!(status, 400, "{body}");
        assert!(reply["error"].as_str().unwrap().starts_with("advance"), "{reply}");
    }
    assert_eq!(sim.simulator.clock_offset(), 0);
}

#[tokio::test]
async fn state_survives_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let sim = test_simulator::start_in(Some(folder.path().to_owned())).await;
    let login = sim.log_in().await;
    sim.control(Method::POST, "/clock", json!({"advanceSeconds": 600})).await;
    sim.simulator.stop().await.unwrap();

    let sim = test_simulator::start_in(Some(folder.path().to_owned())).await;
    assert_eq!(sim.simulator.clock_offset(), 600);
    assert_eq!(sim.get(&login.access, EXTENSION).await.0, 200);
    assert_eq!(sim.refresh(&login.refresh).await.0, 200);
    assert_eq!(sim.ledger_of("token_issued").await.len(), 1);
    sim.simulator.stop().await.unwrap();

    std::fs::write(folder.path().join("ringcentral.json"), "{\"broken").unwrap();
    let listener = simulator::listen(0).await.unwrap();
    let public_url = simulator::public_url(&listener).unwrap();
    let options = simulator::SimulatorOptions {
        listener,
        public_url,
        redirect_uris: vec![],
        data: Some(folder.path().to_owned()),
    };
    let error = format!("{:#}", simulator::Simulator::start(options).await.unwrap_err());
    assert!(error.contains("can't be restored; delete"), "{error}");
}

#[tokio::test]
async fn state_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let sim = test_simulator::start_in(Some(folder.path().to_owned())).await;
    let login = sim.log_in().await;
    let message = json!({"from": "+16505550111", "to": "+14155550101", "text": "before the kill"});
    sim.control(Method::POST, "/inbound", message).await;
    // The file as it is after a kill: the first simulator is not stopped.
    let file = folder.path().join("ringcentral.json");
    while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains("before the kill")) {
        tokio::task::yield_now().await;
    }
    let other = tempfile::tempdir().unwrap();
    std::fs::copy(&file, other.path().join("ringcentral.json")).unwrap();
    let sim = test_simulator::start_in(Some(other.path().to_owned())).await;
    let (status, list) = sim.get(&login.access, &format!("{EXTENSION}/message-store")).await;
    assert_eq!((status.as_u16(), &list["records"][0]["subject"]), (200, &json!("before the kill")));
}
