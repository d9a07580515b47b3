//! Faults on the wire.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::kit::{self, EXTENSION, json_of};

fn fault(matches: Value, act: Value, times: Value) -> Value {
    json!([{"match": matches, "times": times, "do": act}])
}

#[tokio::test]
async fn an_answer_can_be_made_up_a_number_of_times() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let act = json!({"status": 503, "headers": {"Retry-After": "7"}, "body": {"errorCode": "CMN-201"}});
    kit.faults(fault(json!({"method": "GET", "path": "/extension/~"}), act, json!(2))).await;
    for _ in 0..2 {
        let reply = kit.request(Method::GET, EXTENSION).bearer_auth(&login.access).send().await.unwrap();
        assert_eq!(reply.status(), 503);
        assert_eq!(reply.headers()["retry-after"], "7");
        assert_eq!(json_of(reply).await.1["errorCode"], "CMN-201");
    }
    assert_eq!(kit.get(&login.access, EXTENSION).await.0, 200);
    let list = kit.sim(Method::GET, "/faults", json!({})).await;
    assert_eq!(list[0]["fired"], 2);
    kit.sim(Method::DELETE, "/faults", json!({})).await;
    assert_eq!(kit.sim(Method::GET, "/faults", json!({})).await, json!([]));
}

#[tokio::test]
async fn a_fault_can_be_for_one_user() {
    let kit = kit::start().await;
    let (dana, robin) = (kit.log_in_as(0).await, kit.log_in_as(1).await);
    let user: i64 = kit.user(1).extension_id.parse().unwrap();
    kit.faults(fault(json!({"user": user}), json!({"status": 500}), Value::Null)).await;
    assert_eq!(kit.get(&dana.access, EXTENSION).await.0, 200);
    assert_eq!(kit.get(&robin.access, EXTENSION).await.0, 500);
    assert_eq!(kit.refresh(&dana.refresh).await.0, 200);
    assert_eq!(kit.refresh(&robin.refresh).await.0, 500, "a token call is of the user whose token it shows");
}

#[tokio::test]
async fn apply_then_drop_acts_and_says_nothing() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    kit.faults(fault(json!({"path": "/oauth/token"}), json!({"applyThenDrop": true}), json!(1))).await;
    let seed = kit.simulator.seed();
    let request = kit
        .request(Method::POST, "/restapi/oauth/token")
        .basic_auth(seed.client_id, Some(seed.client_secret));
    let form = [("grant_type", "refresh_token"), ("refresh_token", login.refresh.as_str())];
    assert!(request.form(&form).send().await.is_err());
    assert_eq!(kit.ledger_of("token_refreshed").await.len(), 1);
    assert_eq!(kit.refresh(&login.refresh).await.0, 200);
    assert_eq!(kit.ledger_of("token_refreshed").await[1]["repeated"], true);
}

#[tokio::test]
async fn a_reset_acts_on_nothing() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    for place in ["before_body", "after_body"] {
        kit.faults(fault(json!({"path": "/oauth/token"}), json!({"reset": place}), json!(1))).await;
        let request =
            kit.request(Method::POST, "/restapi/oauth/token").form(&[("refresh_token", &login.refresh)]);
        assert!(request.send().await.is_err(), "{place}");
        assert_eq!(kit.sim(Method::GET, "/faults", json!({})).await[0]["fired"], 1);
    }
    assert_eq!(kit.ledger().await.len(), 1, "only the login");
}

#[tokio::test]
async fn hang_ends_with_the_client_and_with_the_simulator() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    kit.faults(fault(json!({}), json!({"hang": true}), Value::Null)).await;
    let request =
        kit.request(Method::GET, EXTENSION).bearer_auth(&login.access).timeout(Duration::from_millis(100));
    assert!(request.send().await.unwrap_err().is_timeout());
    let hanging = tokio::spawn(kit.request(Method::GET, EXTENSION).bearer_auth(&login.access).send());
    while kit.sim(Method::GET, "/faults", json!({})).await[0]["fired"] != 2 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    kit.simulator.stop().await.unwrap();
    assert!(hanging.await.unwrap().is_err());
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn delays_come_before_or_after_the_act() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    for act in [json!({"delayMs": 300}), json!({"delayBeforeMs": 300})] {
        kit.faults(fault(json!({"path": "/extension"}), act.clone(), json!(1))).await;
        let began = Instant::now();
        assert_eq!(kit.get(&login.access, EXTENSION).await.0, 200);
        assert!(began.elapsed() >= Duration::from_millis(300), "{act}");
    }
}

#[tokio::test]
async fn truncated_json_does_not_parse() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    kit.faults(fault(json!({}), json!({"truncateJson": true}), json!(1))).await;
    let reply = kit.request(Method::GET, EXTENSION).bearer_auth(&login.access).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert!(serde_json::from_str::<Value>(&reply.text().await.unwrap()).is_err());
}

#[tokio::test]
async fn a_rate_limit_fault_lasts_and_may_restart() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    for (restarts, after_60) in [(true, 429), (false, 200)] {
        let act = json!({"rateLimit": {"retryAfter": 60, "penaltyRestarts": restarts}});
        kit.faults(fault(json!({"path": "/extension"}), act, json!(1))).await;
        let first = kit.request(Method::GET, EXTENSION).bearer_auth(&login.access).send().await.unwrap();
        assert_eq!((first.status().as_u16(), first.headers()["retry-after"].to_str().unwrap()), (429, "60"));
        kit.simulator.advance(30);
        assert_eq!(kit.get(&login.access, EXTENSION).await.0, 429);
        kit.simulator.advance(31);
        assert_eq!(kit.get(&login.access, EXTENSION).await.0, after_60, "restarts: {restarts}");
    }
    kit.faults(fault(json!({}), json!({"rateLimit": {}}), json!(1))).await;
    let bare = kit.request(Method::GET, EXTENSION).bearer_auth(&login.access).send().await.unwrap();
    assert_eq!(bare.status(), 429);
    assert!(
        !bare.headers().contains_key("retry-after") && !bare.headers().contains_key("x-rate-limit-group")
    );
}

#[tokio::test]
async fn a_typo_in_a_fault_is_named() {
    let kit = kit::start().await;
    for (list, field) in [
        (fault(json!({"pth": "/x"}), json!({"hang": true}), json!(1)), "pth"),
        (fault(json!({}), json!({"delayMS": 1}), json!(1)), "delayMS"),
        (fault(json!({}), json!({"reset": "later"}), json!(1)), "reset"),
        (fault(json!({}), json!({}), json!(1)), "do"),
        (fault(json!({}), json!({"hang": true, "status": 500}), json!(1)), "do"),
        (fault(json!({}), json!({"hang": true, "delayMs": 5}), json!(1)), "a delay goes with"),
        (fault(json!({}), json!({"reset": "after_body", "delayBeforeMs": 5}), json!(1)), "a delay goes with"),
        (fault(json!({}), json!({"rateLimit": {}, "delayMs": 5}), json!(1)), "a delay goes with"),
        (fault(json!({"method": "get"}), json!({"hang": true}), json!(1)), "match.method"),
        (fault(json!({}), json!({"hang": true}), json!("many")), "times"),
        (fault(json!({}), json!({"rateLimit": {"retry": 1}}), json!(1)), "retry"),
        (json!({"match": {}}), "array"),
        (json!([{"times": 1}]), "do"),
    ] {
        let (status, reply) =
            json_of(kit.request(Method::PUT, "/_sim/faults").json(&list).send().await.unwrap()).await;
        assert_eq!(status, 400, "{list}");
        assert!(reply["error"].as_str().unwrap().contains(field), "{list}: {reply}");
    }
}
