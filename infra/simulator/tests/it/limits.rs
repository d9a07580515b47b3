//! Rate limits.

use reqwest::Method;
use serde_json::json;

use crate::kit::{self, EXTENSION, code};

#[tokio::test]
async fn every_reply_tells_its_group_and_what_is_left() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let reply = kit.request(Method::GET, EXTENSION).bearer_auth(&login.access).send().await.unwrap();
    let header = |name: &str| reply.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-rate-limit-group"), "light");
    assert_eq!(header("x-rate-limit-limit"), "50");
    assert_eq!(header("x-rate-limit-remaining"), "49");
    assert_eq!(header("x-rate-limit-window"), "60");
    kit.settings(json!({"rateLimitHeader": "X-RateLimit"})).await;
    let reply = kit.request(Method::GET, EXTENSION).bearer_auth(&login.access).send().await.unwrap();
    assert_eq!(reply.headers()["x-ratelimit-remaining"], "48");
}

#[tokio::test]
async fn an_excess_starts_a_penalty_that_further_calls_restart() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let list = "/restapi/v1.0/account/~/phone-number";
    for _ in 0..10 {
        assert_eq!(kit.get(&login.access, list).await.0, 200);
    }
    let refused = kit.request(Method::GET, list).bearer_auth(&login.access).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "60");
    assert_eq!(refused.headers()["x-rate-limit-group"], "heavy");
    assert_eq!(code(&kit::json_of(refused).await.1), "CMN-301");
    kit.simulator.advance(50);
    assert_eq!(kit.get(&login.access, list).await.0, 429, "too early: the penalty starts again");
    kit.simulator.advance(50);
    assert_eq!(kit.get(&login.access, list).await.0, 429);
    kit.simulator.advance(60);
    assert_eq!(kit.get(&login.access, list).await.0, 200);
    let limited = kit.ledger_of("rate_limited").await;
    assert_eq!(limited.iter().map(|e| e["restarted"].clone()).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(kit.get(&login.access, EXTENSION).await.0, 200, "other groups go on");
    let other = kit.log_in_as(3).await;
    assert_eq!(kit.get(&other.access, list).await.0, 200, "other users go on");
}

#[tokio::test]
async fn the_window_slides() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let list = "/restapi/v1.0/account/~/phone-number";
    for _ in 0..5 {
        kit.get(&login.access, list).await;
    }
    kit.simulator.advance(40);
    for _ in 0..5 {
        assert_eq!(kit.get(&login.access, list).await.0, 200);
    }
    kit.simulator.advance(21);
    for _ in 0..5 {
        assert_eq!(kit.get(&login.access, list).await.0, 200);
    }
    assert_eq!(kit.get(&login.access, list).await.0, 429);
}

#[tokio::test]
async fn token_calls_are_limited_per_user_and_if_wanted_per_app() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    for _ in 0..4 {
        assert_eq!(kit.refresh(&login.refresh).await.0, 200);
    }
    let (status, reply) = kit.refresh(&login.refresh).await;
    assert_eq!((status.as_u16(), code(&reply)), (429, "CMN-301"));
    kit.log_in_as(1).await;
    kit.simulator.advance(61);
    kit.settings(json!({"rateLimits": {"authPerApp": 2}})).await;
    kit.log_in_as(0).await;
    kit.log_in_as(1).await;
    let user = kit.user(2);
    let form = [("grant_type", "password"), ("username", &user.username), ("password", &user.password)];
    assert_eq!(kit.token(&form).await.0, 429);
    kit.settings(json!({"rateLimits": {"enabled": false}})).await;
    assert_eq!(kit.token(&form).await.0, 200);
}
