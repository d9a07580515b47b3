//! Injected faults.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::test_simulator::{self, EXTENSION, json_of};

fn fault(matches: Value, act: Value, times: Value) -> Value {
    json!([{"match": matches, "times": times, "do": act}])
}

#[tokio::test]
async fn a_reply_can_be_injected_a_number_of_times() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let act = json!({"status": 503, "headers": {"Retry-After": "7"}, "body": {"errorCode": "CMN-201"}});
    sim.faults(fault(json!({"method": "GET", "path": "/extension/~"}), act, json!(2))).await;
    for _ in 0..2 {
        let reply = sim.request(Method::GET, EXTENSION).bearer_auth(&login.access).send().await.unwrap();
        assert_eq!(reply.status(), 503);
        assert_eq!(reply.headers()["retry-after"], "7");
        assert_eq!(json_of(reply).await.1["errorCode"], "CMN-201");
    }
    assert_eq!(sim.get(&login.access, EXTENSION).await.0, 200);
    let list = sim.control(Method::GET, "/faults", json!({})).await;
    assert_eq!(list[0]["fired"], 2);
    sim.control(Method::DELETE, "/faults", json!({})).await;
    assert_eq!(sim.control(Method::GET, "/faults", json!({})).await, json!([]));
}

#[tokio::test]
async fn a_fault_can_apply_to_one_user() {
    let sim = test_simulator::start().await;
    let (dana, robin) = (sim.log_in_as(0).await, sim.log_in_as(1).await);
    let user: i64 = sim.user(1).extension_id.parse().unwrap();
    sim.faults(fault(json!({"user": user}), json!({"status": 500}), Value::Null)).await;
    assert_eq!(sim.get(&dana.access, EXTENSION).await.0, 200);
    assert_eq!(sim.get(&robin.access, EXTENSION).await.0, 500);
    assert_eq!(sim.refresh(&dana.refresh).await.0, 200);
    assert_eq!(
        sim.refresh(&robin.refresh).await.0,
        500,
        "a token call belongs to the user of its refresh token"
    );
}

#[tokio::test]
async fn apply_then_drop_processes_the_request_without_a_reply() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    sim.faults(fault(json!({"path": "/oauth/token"}), json!({"applyThenDrop": true}), json!(1))).await;
    let seed = sim.simulator.seed();
    let request = sim
        .request(Method::POST, "/restapi/oauth/token")
        .basic_auth(seed.client_id, Some(seed.client_secret));
    let form = [("grant_type", "refresh_token"), ("refresh_token", login.refresh.as_str())];
    assert!(request.form(&form).send().await.is_err());
    assert_eq!(sim.ledger_of("token_refreshed").await.len(), 1);
    assert_eq!(sim.refresh(&login.refresh).await.0, 200);
    assert_eq!(sim.ledger_of("token_refreshed").await[1]["repeated"], true);
}

#[tokio::test]
async fn a_reset_request_has_no_effect() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    for when in ["before_body", "after_body"] {
        sim.faults(fault(json!({"path": "/oauth/token"}), json!({"reset": when}), json!(1))).await;
        let request =
            sim.request(Method::POST, "/restapi/oauth/token").form(&[("refresh_token", &login.refresh)]);
        assert!(request.send().await.is_err(), "{when}");
        assert_eq!(sim.control(Method::GET, "/faults", json!({})).await[0]["fired"], 1);
    }
    assert_eq!(sim.ledger().await.len(), 1, "only the login");
}

#[tokio::test]
async fn a_hanging_request_ends_with_the_client_or_the_simulator() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    sim.faults(fault(json!({}), json!({"hang": true}), Value::Null)).await;
    let request =
        sim.request(Method::GET, EXTENSION).bearer_auth(&login.access).timeout(Duration::from_millis(100));
    assert!(request.send().await.unwrap_err().is_timeout());
    let hanging = tokio::spawn(sim.request(Method::GET, EXTENSION).bearer_auth(&login.access).send());
    while sim.control(Method::GET, "/faults", json!({})).await[0]["fired"] != 2 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    sim.simulator.stop().await.unwrap();
    assert!(hanging.await.unwrap().is_err());
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_request_can_be_delayed_before_or_after_processing() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    for act in [json!({"delayMs": 300}), json!({"delayBeforeMs": 300})] {
        sim.faults(fault(json!({"path": "/extension"}), act.clone(), json!(1))).await;
        let began = Instant::now();
        assert_eq!(sim.get(&login.access, EXTENSION).await.0, 200);
        assert!(began.elapsed() >= Duration::from_millis(300), "{act}");
    }
}

#[tokio::test]
async fn truncated_json_cannot_be_parsed() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    sim.faults(fault(json!({}), json!({"truncateJson": true}), json!(1))).await;
    let reply = sim.request(Method::GET, EXTENSION).bearer_auth(&login.access).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert!(serde_json::from_str::<Value>(&reply.text().await.unwrap()).is_err());
}

#[tokio::test]
async fn a_rate_limit_fault_lasts_for_its_penalty_which_can_restart() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    for (restarts, after_60) in [(true, 429), (false, 200)] {
        let act = json!({"rateLimit": {"retryAfter": 60, "penaltyRestarts": restarts}});
        sim.faults(fault(json!({"path": "/extension"}), act, json!(1))).await;
        let first = sim.request(Method::GET, EXTENSION).bearer_auth(&login.access).send().await.unwrap();
        assert_eq!((first.status().as_u16(), first.headers()["retry-after"].to_str().unwrap()), (429, "60"));
        sim.simulator.advance(30);
        assert_eq!(sim.get(&login.access, EXTENSION).await.0, 429);
        sim.simulator.advance(31);
        assert_eq!(sim.get(&login.access, EXTENSION).await.0, after_60, "restarts: {restarts}");
    }
    sim.faults(fault(json!({}), json!({"rateLimit": {}}), json!(1))).await;
    let bare = sim.request(Method::GET, EXTENSION).bearer_auth(&login.access).send().await.unwrap();
    assert_eq!(bare.status(), 429);
    assert!(
        !bare.headers().contains_key("retry-after") && !bare.headers().contains_key("x-rate-limit-group")
    );
}

#[tokio::test]
async fn an_injected_429_has_the_body_and_headers_of_the_platform() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let limited = |retry_after: i64| json!({"rateLimit": {"retryAfter": retry_after}});
    let sms = format!("{EXTENSION}/sms");
    for (method, path, action, group, limit, retry_after) in [
        (Method::GET, EXTENSION, limited(60), "light", "50", Some("60")),
        (Method::POST, sms.as_str(), limited(7), "medium", "40", Some("7")),
        (Method::GET, "/restapi/v1.0/account/~/phone-number", limited(60), "heavy", "10", Some("60")),
        (Method::POST, "/restapi/oauth/token", limited(60), "auth", "5", Some("60")),
        (Method::POST, sms.as_str(), json!({"status": 429}), "medium", "40", None),
        (Method::POST, "/restapi/oauth/revoke", json!({"status": 429}), "auth", "5", None),
        (
            Method::GET,
            EXTENSION,
            json!({"status": 429, "headers": {"Retry-After": "9", "X-Rate-Limit-Group": "light"}}),
            "light",
            "50",
            Some("9"),
        ),
    ] {
        sim.faults(fault(json!({"path": path}), action.clone(), json!(1))).await;
        let reply = sim.request(method, path).bearer_auth(&login.access).send().await.unwrap();
        let header = |name: &str| reply.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(header("x-rate-limit-group").as_deref(), Some(group), "{path} {action}");
        assert_eq!(header("x-rate-limit-limit").as_deref(), Some(limit), "{path} {action}");
        assert_eq!(header("x-rate-limit-remaining").as_deref(), Some("0"), "{path} {action}");
        assert_eq!(header("x-rate-limit-window").as_deref(), Some("60"), "{path} {action}");
        assert_eq!(header("retry-after").as_deref(), retry_after, "{path} {action}");
        assert_eq!(header("content-type").as_deref(), Some("application/json"), "{path} {action}");
        let (status, body) = json_of(reply).await;
        let error = json!({"errorCode": "CMN-301", "message": "Request rate exceeded"});
        let expected = json!({
            "errorCode": "CMN-301", "message": "Request rate exceeded", "errors": [error],
        });
        assert_eq!((status.as_u16(), body), (429, expected), "{path} {action}");
    }
    assert!(sim.ledger_of("sms_accepted").await.is_empty(), "the endpoint does not run");
    let path = "/restapi/v1.0/no-such-thing";
    sim.faults(fault(json!({"path": path}), limited(60), json!(1))).await;
    let reply = sim.request(Method::GET, path).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.headers()["retry-after"].to_str().unwrap()), (429, "60"));
    let action = json!({"status": 429, "body": {"errorCode": "CMN-310"}});
    sim.faults(fault(json!({"path": EXTENSION}), action, json!(1))).await;
    let reply = sim.request(Method::GET, EXTENSION).bearer_auth(&login.access).send().await.unwrap();
    assert!(!reply.headers().contains_key("x-rate-limit-group"), "an injected body is sent as it is");
    assert_eq!(json_of(reply).await.1, json!({"errorCode": "CMN-310"}));
}

#[tokio::test]
async fn an_error_in_a_fault_names_the_field() {
    let sim = test_simulator::start().await;
    for (list, field) in [
        (fault(json!({"pth": "/x"}), json!({"hang": true}), json!(1)), "pth"),
        (fault(json!({}), json!({"delayMS": 1}), json!(1)), "delayMS"),
        (fault(json!({}), json!({"reset": "later"}), json!(1)), "reset"),
        (fault(json!({}), json!({}), json!(1)), "do"),
        (fault(json!({}), json!({"hang": true, "status": 500}), json!(1)), "do"),
        (
            fault(json!({}), json!({"hang": true, "delayMs": 5}), json!(1)),
            "a delay can be combined only with",
        ),
        (
            fault(json!({}), json!({"reset": "after_body", "delayBeforeMs": 5}), json!(1)),
            "a delay can be combined only with",
        ),
        (
            fault(json!({}), json!({"rateLimit": {}, "delayMs": 5}), json!(1)),
            "a delay can be combined only with",
        ),
        (fault(json!({"method": "get"}), json!({"hang": true}), json!(1)), "match.method"),
        (fault(json!({}), json!({"hang": true}), json!("many")), "times"),
        (fault(json!({}), json!({"rateLimit": {"retry": 1}}), json!(1)), "retry"),
        (json!({"match": {}}), "array"),
        (json!([{"times": 1}]), "do"),
    ] {
        let (status, reply) =
            json_of(sim.request(Method::PUT, "/_sim/faults").json(&list).send().await.unwrap()).await;
        assert_eq!(status, 400, "{list}");
        assert!(reply["error"].as_str().unwrap().contains(field), "{list}: {reply}");
    }
}
