//! Tokens and their refresh.

use reqwest::Method;
use serde_json::{Value, json};

use crate::test_simulator::{self, EXTENSION, Login, TestSimulator, code};

async fn refreshed(sim: &TestSimulator, login: &Login) -> Value {
    let (status, reply) = sim.refresh(&login.refresh).await;
    assert_eq!(status, 200, "{reply}");
    reply
}

fn text<'a>(reply: &'a Value, field: &str) -> &'a str {
    reply[field].as_str().unwrap()
}

#[tokio::test]
async fn a_refresh_invalidates_the_old_access_token_immediately() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let new = refreshed(&sim, &login).await;
    let (status, reply) = sim.get(&login.access, EXTENSION).await;
    assert_eq!(
        (status.as_u16(), code(&reply), &reply["errorCode"]),
        (401, "OAU-129", &json!("TokenInvalid"))
    );
    sim.simulator.advance(10);
    assert_eq!(code(&sim.get(&login.access, EXTENSION).await.1), "OAU-213");
    assert_eq!(sim.get(text(&new, "access_token"), EXTENSION).await.0, 200);
}

#[tokio::test]
async fn an_unused_new_pair_is_returned_again_for_an_hour() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let new = refreshed(&sim, &login).await;
    sim.simulator.advance(3540);
    let again = refreshed(&sim, &login).await;
    assert_eq!(again["access_token"], new["access_token"]);
    assert_eq!(again["refresh_token"], new["refresh_token"]);
    assert!(again["expires_in"].as_i64().unwrap() < 60, "the remaining lifetime, not a new one");
    let repeated: Vec<_> =
        sim.ledger_of("token_refreshed").await.iter().map(|e| e["repeated"].clone()).collect();
    assert_eq!(repeated, [json!(false), json!(true)]);
    sim.simulator.advance(60);
    let (status, reply) = sim.refresh(&login.refresh).await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "OAU-213"));
}

#[tokio::test]
async fn the_old_refresh_token_expires_ten_seconds_after_first_use_of_the_new_pair() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let new = refreshed(&sim, &login).await;
    assert_eq!(sim.get(text(&new, "access_token"), EXTENSION).await.0, 200);
    sim.simulator.advance(5);
    assert_eq!(refreshed(&sim, &login).await["access_token"], new["access_token"]);
    sim.simulator.advance(5);
    assert_eq!(code(&sim.refresh(&login.refresh).await.1), "OAU-213");
    let used = sim.ledger_of("token_first_used").await;
    assert_eq!(used.len(), 1);
    assert_eq!(used[0]["generation"], 2);
    // The new refresh token works.
    let next = Login { access: String::new(), refresh: text(&new, "refresh_token").to_owned() };
    assert_ne!(refreshed(&sim, &next).await["access_token"], new["access_token"]);
}

#[tokio::test]
async fn strict_refresh_tokens_can_be_used_once() {
    let sim = test_simulator::start().await;
    sim.settings(json!({"refreshTokens": "strict"})).await;
    let login = sim.log_in().await;
    let new = refreshed(&sim, &login).await;
    assert_eq!(code(&sim.refresh(&login.refresh).await.1), "OAU-213");
    assert_eq!(sim.get(text(&new, "access_token"), EXTENSION).await.0, 200);
}

#[tokio::test]
async fn family_kill_revokes_the_session_when_a_refresh_token_is_reused() {
    let sim = test_simulator::start().await;
    sim.settings(json!({"refreshTokens": "family_kill"})).await;
    let login = sim.log_in().await;
    let new = refreshed(&sim, &login).await;
    assert_eq!(code(&sim.refresh(&login.refresh).await.1), "OAU-213");
    assert_eq!(sim.get(text(&new, "access_token"), EXTENSION).await.0, 401);
    assert_eq!(code(&sim.refresh(text(&new, "refresh_token")).await.1), "OAU-211");
    assert_eq!(sim.ledger_of("session_revoked").await[0]["reason"], "refresh_token_reuse");
}

#[tokio::test]
async fn tokens_expire() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    sim.simulator.advance(3600);
    assert_eq!(code(&sim.get(&login.access, EXTENSION).await.1), "OAU-128");
    sim.simulator.advance(604_800);
    let (status, reply) = sim.refresh(&login.refresh).await;
    assert_eq!((status.as_u16(), code(&reply), &reply["error"]), (400, "OAU-210", &json!("invalid_grant")));
}

#[tokio::test]
async fn a_refresh_token_is_valid_only_for_its_app() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let public = sim.simulator.seed().public_client_id;
    let form = [("grant_type", "refresh_token"), ("refresh_token", &login.refresh), ("client_id", &public)];
    let reply = sim.request(Method::POST, "/restapi/oauth/token").form(&form).send().await.unwrap();
    assert_eq!(reply.status(), 400);
    assert_eq!(sim.refresh(&login.refresh).await.0, 200, "the token is still valid");
}

#[tokio::test]
async fn concurrent_refreshes_return_the_same_pair() {
    let sim = test_simulator::start().await;
    sim.settings(json!({"rateLimits": {"enabled": false}})).await;
    let login = sim.log_in().await;
    let replies = futures_util::future::join_all((0..10).map(|_| sim.refresh(&login.refresh))).await;
    for (status, reply) in &replies {
        assert_eq!(*status, 200);
        assert_eq!(reply["access_token"], replies[0].1["access_token"]);
    }
}
