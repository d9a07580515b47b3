//! Rate limits.

use reqwest::Method;
use serde_json::json;

use crate::test_simulator::{self, EXTENSION, code};

#[tokio::test]
async fn every_reply_has_the_rate_limit_headers() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let reply = sim.request(Method::GET, EXTENSION).bearer_auth(&login.access).send().await.unwrap();
    let header = |name: &str| reply.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-rate-limit-group"), "light");
    assert_eq!(header("x-rate-limit-limit"), "50");
    assert_eq!(header("x-rate-limit-remaining"), "49");
    assert_eq!(header("x-rate-limit-window"), "60");
    sim.settings(json!({"rateLimitHeader": "X-RateLimit"})).await;
    let reply = sim.request(Method::GET, EXTENSION).bearer_auth(&login.access).send().await.unwrap();
    assert_eq!(reply.headers()["x-ratelimit-remaining"], "48");
}

#[tokio::test]
async fn exceeding_a_limit_starts_a_penalty_that_further_calls_restart() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let list = "/restapi/v1.0/account/~/phone-number";
    for _ in 0..10 {
        assert_eq!(sim.get(&login.access, list).await.0, 200);
    }
    let refused = sim.request(Method::GET, list).bearer_auth(&login.access).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "60");
    assert_eq!(refused.headers()["x-rate-limit-group"], "heavy");
    assert_eq!(code(&test_simulator::json_of(refused).await.1), "CMN-301");
    sim.simulator.advance(50);
    assert_eq!(sim.get(&login.access, list).await.0, 429, "an early call restarts the penalty");
    sim.simulator.advance(50);
    assert_eq!(sim.get(&login.access, list).await.0, 429);
    sim.simulator.advance(60);
    assert_eq!(sim.get(&login.access, list).await.0, 200);
    let limited = sim.ledger_of("rate_limited").await;
    assert_eq!(limited.iter().map(|e| e["restarted"].clone()).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(sim.get(&login.access, EXTENSION).await.0, 200, "other groups are not limited");
    let other = sim.log_in_as(3).await;
    assert_eq!(sim.get(&other.access, list).await.0, 200, "other users are not limited");
}

#[tokio::test]
async fn the_rate_window_slides() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let list = "/restapi/v1.0/account/~/phone-number";
    for _ in 0..5 {
        sim.get(&login.access, list).await;
    }
    sim.simulator.advance(40);
    for _ in 0..5 {
        assert_eq!(sim.get(&login.access, list).await.0, 200);
    }
    sim.simulator.advance(21);
    for _ in 0..5 {
        assert_eq!(sim.get(&login.access, list).await.0, 200);
    }
    assert_eq!(sim.get(&login.access, list).await.0, 429);
}

#[tokio::test]
async fn token_calls_are_limited_per_user_and_optionally_per_app() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    for _ in 0..4 {
        assert_eq!(sim.refresh(&login.refresh).await.0, 200);
    }
    let (status, reply) = sim.refresh(&login.refresh).await;
    assert_eq!((status.as_u16(), code(&reply)), (429, "CMN-301"));
    sim.log_in_as(1).await;
    sim.simulator.advance(61);
    sim.settings(json!({"rateLimits": {"authPerApp": 2}})).await;
    sim.log_in_as(0).await;
    sim.log_in_as(1).await;
    let user = sim.user(2);
    let form = [("grant_type", "password"), ("username", &user.username), ("password", &user.password)];
    assert_eq!(sim.token(&form).await.0, 429);
    sim.settings(json!({"rateLimits": {"enabled": false}})).await;
    assert_eq!(sim.token(&form).await.0, 200);
}
