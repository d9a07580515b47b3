//! What becomes of tokens when they are refreshed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::kit::{self, EXTENSION, Kit, Login, code};

async fn refreshed(kit: &Kit, login: &Login) -> Value {
    let (status, reply) = kit.refresh(&login.refresh).await;
    assert_eq!(status, 200, "{reply}");
    reply
}

fn text<'a>(reply: &'a Value, field: &str) -> &'a str {
    reply[field].as_str().unwrap()
}

#[tokio::test]
async fn the_old_access_token_dies_at_once() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let new = refreshed(&kit, &login).await;
    let (status, reply) = kit.get(&login.access, EXTENSION).await;
    assert_eq!(
        (status.as_u16(), code(&reply), &reply["errorCode"]),
        (401, "OAU-129", &json!("TokenInvalid"))
    );
    kit.simulator.advance(10);
    assert_eq!(code(&kit.get(&login.access, EXTENSION).await.1), "OAU-213");
    assert_eq!(kit.get(text(&new, "access_token"), EXTENSION).await.0, 200);
}

#[tokio::test]
async fn unused_the_new_pair_is_given_again_for_an_hour() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let new = refreshed(&kit, &login).await;
    kit.simulator.advance(3540);
    let again = refreshed(&kit, &login).await;
    assert_eq!(again["access_token"], new["access_token"]);
    assert_eq!(again["refresh_token"], new["refresh_token"]);
    assert!(again["expires_in"].as_i64().unwrap() < 60, "the remaining life, not a new one");
    let repeated: Vec<_> =
        kit.ledger_of("token_refreshed").await.iter().map(|e| e["repeated"].clone()).collect();
    assert_eq!(repeated, [json!(false), json!(true)]);
    kit.simulator.advance(60);
    let (status, reply) = kit.refresh(&login.refresh).await;
    assert_eq!((status.as_u16(), code(&reply)), (400, "OAU-213"));
}

#[tokio::test]
async fn ten_seconds_after_its_first_use_the_old_refresh_token_is_dead() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let new = refreshed(&kit, &login).await;
    assert_eq!(kit.get(text(&new, "access_token"), EXTENSION).await.0, 200);
    kit.simulator.advance(5);
    assert_eq!(refreshed(&kit, &login).await["access_token"], new["access_token"]);
    kit.simulator.advance(5);
    assert_eq!(code(&kit.refresh(&login.refresh).await.1), "OAU-213");
    let used = kit.ledger_of("token_first_used").await;
    assert_eq!(used.len(), 1);
    assert_eq!(used[0]["generation"], 2);
    // The chain goes on with the new refresh token.
    let next = Login { access: String::new(), refresh: text(&new, "refresh_token").to_owned() };
    assert_ne!(refreshed(&kit, &next).await["access_token"], new["access_token"]);
}

#[tokio::test]
async fn strict_means_single_use() {
    let kit = kit::start().await;
    kit.settings(json!({"refreshTokens": "strict"})).await;
    let login = kit.log_in().await;
    let new = refreshed(&kit, &login).await;
    assert_eq!(code(&kit.refresh(&login.refresh).await.1), "OAU-213");
    assert_eq!(kit.get(text(&new, "access_token"), EXTENSION).await.0, 200);
}

#[tokio::test]
async fn family_kill_ends_the_session_when_a_token_is_used_twice() {
    let kit = kit::start().await;
    kit.settings(json!({"refreshTokens": "family_kill"})).await;
    let login = kit.log_in().await;
    let new = refreshed(&kit, &login).await;
    assert_eq!(code(&kit.refresh(&login.refresh).await.1), "OAU-213");
    assert_eq!(kit.get(text(&new, "access_token"), EXTENSION).await.0, 401);
    assert_eq!(code(&kit.refresh(text(&new, "refresh_token")).await.1), "OAU-211");
    assert_eq!(kit.ledger_of("session_revoked").await[0]["reason"], "refresh_token_reuse");
}

#[tokio::test]
async fn tokens_expire() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    kit.simulator.advance(3600);
    assert_eq!(code(&kit.get(&login.access, EXTENSION).await.1), "OAU-128");
    kit.simulator.advance(604_800);
    let (status, reply) = kit.refresh(&login.refresh).await;
    assert_eq!((status.as_u16(), code(&reply), &reply["error"]), (400, "OAU-210", &json!("invalid_grant")));
}

#[tokio::test]
async fn a_refresh_token_belongs_to_its_app() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let public = kit.simulator.seed().public_client_id;
    let form = [("grant_type", "refresh_token"), ("refresh_token", &login.refresh), ("client_id", &public)];
    let reply = kit.request(Method::POST, "/restapi/oauth/token").form(&form).send().await.unwrap();
    assert_eq!(reply.status(), 400);
    assert_eq!(kit.refresh(&login.refresh).await.0, 200, "nothing was spent");
}

#[tokio::test]
async fn many_refreshes_at_once_give_one_pair() {
    let kit = kit::start().await;
    kit.settings(json!({"rateLimits": {"enabled": false}})).await;
    let login = kit.log_in().await;
    let replies = futures_util::future::join_all((0..10).map(|_| kit.refresh(&login.refresh))).await;
    for (status, reply) in &replies {
        assert_eq!(*status, 200);
        assert_eq!(reply["access_token"], replies[0].1["access_token"]);
    }
}
