//! Refreshing tokens under all kinds of faults, checked by the simulator's ledger, the rows, and the tenant's view.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{HOUR, TestTenant, World, attribute, extension, generation, use_token};

/// A stack with one connected extension.
async fn connected() -> (World, TestTenant) {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    // Both would use tokens.
    world.without_schedules_of(&["sync-messages", "renew-subscriptions"]).await;
    (world, tenant)
}

async fn events(world: &World, kind: &str) -> Vec<Value> {
    let rows = world.items("EventsTable").await;
    let of_kind = rows.iter().filter(|row| row["kind"]["S"] == kind);
    of_kind.map(|row| serde_json::from_str(row["data"]["S"].as_str().unwrap()).unwrap()).collect()
}

/// All refreshes and denials of the token endpoint, in order.
async fn token_calls(world: &World) -> Vec<Value> {
    let ledger = world.sim(Method::GET, "/_sim/ledger", None).await;
    let kinds = ["token_refreshed", "token_refused"];
    let entries = ledger["entries"].as_array().unwrap().iter();
    entries.filter(|entry| kinds.iter().any(|kind| entry["kind"] == *kind)).cloned().collect()
}

/// An access token is used only after it was stored: the ledger has at most as many first uses as pairs were stored.
async fn assert_no_token_was_used_before_it_was_stored(world: &World, stored: u64) {
    let uses = world.count("token_first_used").await;
    assert!(u64::try_from(uses).unwrap() <= stored, "{uses} tokens were used, {stored} were stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_callers_share_one_refresh_of_an_expired_token() {
    let (world, tenant) = connected().await;
    // Only the token endpoint is rate limited here: 64 concurrent reads of the numbers exceed the other limits.
    let limits = json!({"rateLimits": {"light": 10_000, "heavy": 10_000, "medium": 10_000}});
    world.sim(Method::PUT, "/_sim/settings", Some(limits)).await;
    for round in 1..=3_u64 {
        world.advance(HOUR).await;
        let replies = join_all((0..64).map(|_| use_token(&world, &tenant))).await;
        let bad: Vec<_> = replies.iter().filter(|reply| reply.status != 200).map(|r| &r.text).collect();
        assert!(bad.is_empty(), "{bad:?}");
        assert_eq!(token_calls(&world).await.len() as u64, round);
        assert_eq!(generation(&world).await, round + 1);
    }
    assert_eq!(extension(&world, &tenant).await["status"], "active");
}

#[tokio::test]
async fn a_lost_token_response_is_requested_again_with_the_same_refresh_token() {
    let (world, tenant) = connected().await;
    world.advance(HOUR).await;
    world.sim_fault("/restapi/oauth/token", Some(1), json!({"applyThenDrop": true})).await;
    let reply = use_token(&world, &tenant).await.expect(503);
    assert!(!reply.header("retry-after").is_empty());
    let shown = extension(&world, &tenant).await;
    assert_eq!(
        (&shown["status"], &shown["cause"]),
        (&json!("refresh_failed"), &json!("ringcentral_unavailable"))
    );
    assert!(shown["nextAttemptAt"].is_string(), "{shown}");
    assert_eq!(world.count("token_first_used").await, 1, "the lost pair is not used");
    // It recovers automatically within a minute.
    world.advance(15).await;
    let calls = token_calls(&world).await;
    assert_eq!(calls.len(), 2);
    assert_eq!((&calls[0]["presented"], &calls[1]["repeated"]), (&calls[1]["presented"], &json!(true)));
    assert_eq!(
        (generation(&world).await, extension(&world, &tenant).await["status"].clone()),
        (2, json!("active"))
    );
    use_token(&world, &tenant).await.expect(200);
    let statuses: Vec<_> =
        events(&world, "extension_status").await.iter().map(|event| event["status"].clone()).collect();
    assert_eq!(statuses, ["refresh_failed", "active"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_recovers_automatically_after_a_kill_at_any_step_of_a_refresh() {
    let (world, tenant) = connected().await;
    let mut steps = 0;
    for act in ["before", "after"] {
        for skip in 0.. {
            world.advance(HOUR).await;
            let before = generation(&world).await;
            let kill = json!({"kill": act});
            world.aws_fault(json!({"function": "refresh-tokens"}), skip, Some(1), kill).await;
            use_token(&world, &tenant).await;
            let fired = world.aws(Method::GET, "/_aws/faults", None).await[0]["fired"] == 1;
            world.no_faults().await;
            // The lease of the killed process expires, and the sweep resolves the intent.
            world.advance(45).await;
            world.advance(61).await;
            use_token(&world, &tenant).await.expect(200);
            let shown = extension(&world, &tenant).await;
            assert_eq!(shown["status"], "active", "{act} step {skip}: {shown}");
            assert_eq!(generation(&world).await, before + 1, "{act} step {skip}");
            assert_eq!(attribute(&world, "intent").await, "", "{act} step {skip}: every intent is resolved");
            assert_no_token_was_used_before_it_was_stored(&world, before + 1).await;
            if !fired {
                break;
            }
            steps += 1;
        }
    }
    assert!(steps >= 10, "the kill was tried at {steps} steps");
    assert_eq!(world.count("token_refused").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_store_at_any_step_of_a_refresh_loses_no_grant() {
    let (world, tenant) = connected().await;
    for act in [json!({"error": "InternalServerError", "status": 500}), json!({"applyThenDrop": true})] {
        for skip in 0.. {
            world.advance(HOUR).await;
            let before = generation(&world).await;
            let matching = json!({"service": "dynamodb", "function": "refresh-tokens"});
            world.aws_fault(matching, skip, None, act.clone()).await;
            use_token(&world, &tenant).await;
            let fired = world.aws(Method::GET, "/_aws/faults", None).await[0]["fired"].as_u64().unwrap();
            assert_no_token_was_used_before_it_was_stored(&world, generation(&world).await).await;
            world.no_faults().await;
            world.advance(45).await;
            world.advance(61).await;
            use_token(&world, &tenant).await.expect(200);
            assert_eq!(generation(&world).await, before + 1, "{act} step {skip}");
            assert_eq!(extension(&world, &tenant).await["status"], "active", "{act} step {skip}");
            if fired == 0 {
                assert!(skip >= 4, "{act}: {skip} steps");
                break;
            }
        }
    }
    assert_eq!(world.count("token_refused").await, 0);
}

#[tokio::test]
async fn failed_refreshes_are_reported_and_retried_with_pauses() {
    let (world, tenant) = connected().await;
    world.advance(HOUR).await;
    world.sim_fault("/restapi/oauth/token", Some(5), json!({"status": 500})).await;
    use_token(&world, &tenant).await.expect(503);
    assert_eq!(extension(&world, &tenant).await["status"], "refresh_failed");
    // Requests during a pause cause no call; on a slow machine one pause may end meanwhile.
    for _ in 0..5 {
        use_token(&world, &tenant).await.expect(503);
    }
    let fired = async || world.sim(Method::GET, "/_sim/faults", None).await[0]["fired"].as_u64().unwrap();
    assert!(fired().await <= 2);
    for _ in 0..30 {
        world.advance(30).await;
        if extension(&world, &tenant).await["status"] == "active" {
            break;
        }
    }
    assert_eq!(fired().await, 5);
    assert_eq!(
        (extension(&world, &tenant).await["status"].clone(), generation(&world).await),
        (json!("active"), 2)
    );
}

#[tokio::test]
async fn after_an_unreadable_token_response_the_connection_recovers() {
    for act in [
        json!({"truncateJson": true}),
        json!({"status": 200, "headers": {"content-type": "text/html"}, "body": "<html>maintenance</html>"}),
        json!({"reset": "after_body"}),
        json!({"hang": true}),
    ] {
        let (world, tenant) = connected().await;
        world.advance(HOUR).await;
        world.sim_fault("/restapi/oauth/token", Some(1), act.clone()).await;
        use_token(&world, &tenant).await.expect(503);
        world.advance(20).await;
        use_token(&world, &tenant).await.expect(200);
        assert_eq!(generation(&world).await, 2, "{act}");
        assert_eq!(world.count("token_refused").await, 0, "{act}");
    }
}

#[tokio::test]
async fn no_call_is_made_during_a_penalty() {
    let (world, tenant) = connected().await;
    world.advance(HOUR).await;
    let act = json!({"rateLimit": {"retryAfter": 60, "penaltyRestarts": true}});
    world.sim_fault("/restapi/oauth/token", Some(1), act).await;
    for _ in 0..10 {
        let reply = use_token(&world, &tenant).await.expect(503);
        assert!(reply.header("retry-after").parse::<u64>().unwrap() > 30, "{}", reply.header("retry-after"));
    }
    world.advance(40).await;
    use_token(&world, &tenant).await.expect(503);
    assert_eq!(world.count("rate_limited").await, 1, "each call would have restarted the penalty");
    world.advance(40).await;
    use_token(&world, &tenant).await.expect(200);
    assert_eq!(world.count("rate_limited").await, 1);
    assert_eq!(generation(&world).await, 2);
}

/// Two processes start an attempt. One of them reads the row before the other one is rate limited, and continues
/// afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_penalty_also_applies_to_attempts_that_started_before_it() {
    let (world, tenant) = connected().await;
    world.advance(HOUR).await;
    let item = attribute(&world, "item").await;
    let id = item.strip_prefix("connection#").unwrap();
    let order = json!({"tenantId": tenant.id, "connectionId": id, "generation": 1});
    let slow = json!({"service": "kms", "function": "refresh-tokens"});
    world.aws_fault(slow, 0, Some(1), json!({"delayMs": 1_800})).await;
    let act = json!({"rateLimit": {"retryAfter": 60, "penaltyRestarts": true}});
    world.sim_fault("/restapi/oauth/token", Some(1), act).await;
    let second = async {
        while world.aws(Method::GET, "/_aws/faults", None).await[0]["fired"] != 1 {
            tokio::task::yield_now().await;
        }
        world.invoke("refresh-tokens", &order).await
    };
    let (first, second) = tokio::join!(world.invoke("refresh-tokens", &order), second);
    for answer in [first, second] {
        assert!(answer["retryAfterSeconds"].as_u64().unwrap() > 30, "{answer}");
    }
    use_token(&world, &tenant).await.expect(503);
    assert_eq!((world.count("rate_limited").await, token_calls(&world).await.len()), (1, 0));
    assert!(!attribute(&world, "auth_blocked_until").await.is_empty());
    world.advance(80).await;
    use_token(&world, &tenant).await.expect(200);
    assert_eq!(generation(&world).await, 2);
}

#[tokio::test]
async fn while_the_kms_key_is_disabled_no_refresh_token_is_used() {
    let (world, tenant) = connected().await;
    world.aws(Method::POST, "/_aws/kms/disable", Some(json!({}))).await;
    world.advance(HOUR).await;
    let reply = use_token(&world, &tenant).await.expect(503);
    assert!(!reply.header("retry-after").is_empty());
    world.advance(600).await;
    use_token(&world, &tenant).await.expect(503);
    assert!(token_calls(&world).await.is_empty());
    assert_eq!(extension(&world, &tenant).await["status"], "active");
    world.aws(Method::POST, "/_aws/kms/enable", Some(json!({}))).await;
    use_token(&world, &tenant).await.expect(200);
    assert_eq!(generation(&world).await, 2);
}

#[tokio::test]
async fn a_pair_that_cannot_be_stored_is_deferred_to_the_queue() {
    let (world, tenant) = connected().await;
    world.advance(HOUR).await;
    // The lease is stored; the pair is not.
    let matching = json!({"operation": "TransactWriteItems", "function": "refresh-tokens"});
    world.aws_fault(matching, 1, None, json!({"error": "InternalServerError", "status": 500})).await;
    use_token(&world, &tenant).await.expect(503);
    assert_eq!((generation(&world).await, token_calls(&world).await.len()), (1, 1));
    assert_eq!(world.count("token_first_used").await, 1, "it is not used meanwhile");
    world.no_faults().await;
    world.advance(200).await;
    assert_eq!(
        (generation(&world).await, token_calls(&world).await.len()),
        (2, 1),
        "stored, without another call"
    );
    use_token(&world, &tenant).await.expect(200);
    assert_eq!(token_calls(&world).await.len(), 1);
}

#[tokio::test]
async fn a_connection_is_revoked_at_the_second_denial() {
    let (world, tenant) = connected().await;
    let other = world.new_tenant("Other").await;
    world.connect(&other, &world.user(1)).await.expect(303);
    let user = world.user(0)["extensionId"].as_str().unwrap().to_owned();
    world.sim(Method::POST, &format!("/_sim/users/{user}/revoke"), Some(json!({}))).await;
    world.advance(HOUR).await;
    use_token(&world, &tenant).await.expect(503);
    assert_eq!(extension(&world, &tenant).await["status"], "active", "one denial is not enough");
    world.advance(35).await;
    let shown = extension(&world, &tenant).await;
    assert_eq!(
        (&shown["status"], &shown["cause"]),
        (&json!("revoked"), &json!("revoked_by_user")),
        "{shown}"
    );
    use_token(&world, &tenant).await.expect(409);
    world.advance(3_600).await;
    assert_eq!(token_calls(&world).await.iter().filter(|call| call["kind"] == "token_refused").count(), 2);
    let status_events = events(&world, "extension_status").await;
    assert_eq!(status_events.len(), 1, "one event: {status_events:?}");
    assert_eq!(
        (&status_events[0]["status"], &status_events[0]["cause"]),
        (&json!("revoked"), &json!("revoked_by_user"))
    );
    // Other tenants are not affected.
    assert_eq!(extension(&world, &other).await["status"], "active");
    use_token(&world, &other).await.expect(200);
    // Authorizing again keeps the connection and clears the status.
    let since = shown["connectedAt"].clone();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let shown = extension(&world, &tenant).await;
    assert_eq!(
        (&shown["status"], &shown["cause"], &shown["connectedAt"]),
        (&json!("active"), &Value::Null, &since)
    );
    use_token(&world, &tenant).await.expect(200);
}

#[tokio::test]
async fn rejected_tokens_are_erased_after_a_week() {
    let (world, tenant) = connected().await;
    let user = world.user(0)["extensionId"].as_str().unwrap().to_owned();
    world.sim(Method::POST, &format!("/_sim/users/{user}/revoke"), Some(json!({}))).await;
    world.advance(HOUR).await;
    use_token(&world, &tenant).await.expect(503);
    world.advance(35).await;
    assert_eq!(extension(&world, &tenant).await["status"], "revoked");
    let ciphertext = async || {
        let rows = world.items("ConnectionsTable").await;
        let row = rows.iter().find(|row| row["item"]["S"].as_str().unwrap().starts_with("connection#"));
        row.unwrap()["refresh_token"]["B"].as_str().unwrap_or_default().to_owned()
    };
    world.advance(6 * 86_400).await;
    assert!(!ciphertext().await.is_empty());
    world.advance(2 * 86_400).await;
    assert!(ciphertext().await.is_empty());
    assert_eq!(extension(&world, &tenant).await["status"], "revoked");
}

#[tokio::test]
async fn a_wrong_client_secret_changes_no_connection() {
    let (world, tenant) = connected().await;
    world.connect(&tenant, &world.user(1)).await.expect(303);
    world.advance(HOUR).await;
    let act =
        json!({"status": 400, "body": {"error": "invalid_client", "errors": [{"errorCode": "OAU-153"}]}});
    world.sim_fault("/restapi/oauth/token", None, act).await;
    use_token(&world, &tenant).await.expect(503);
    world.advance(400).await;
    let shown = world.get("/v1/rc/extensions", &tenant.key).await.json();
    for extension in shown["extensions"].as_array().unwrap() {
        assert_eq!(extension["status"], "active", "{extension}");
    }
    assert!(world.log().iter().any(|line| line.contains(r#""alarm":"ringcentral_app""#)));
    assert!(events(&world, "extension_status").await.is_empty());
    world.no_faults().await;
    world.advance(400).await;
    use_token(&world, &tenant).await.expect(200);
}

/// The clock is not moved: that would end the process that has cached the wrong secret.
#[tokio::test]
async fn a_corrected_client_secret_is_read_again() {
    let (world, tenant) = connected().await;
    world.advance(HOUR).await;
    let secret = json!({"SecretId": "ringbridge-local/ringcentral-app"});
    let right = world.secrets("GetSecretValue", &secret).await["SecretString"].clone();
    let put = async |text: Value| {
        let body = json!({"SecretId": secret["SecretId"], "SecretString": text});
        world.secrets("PutSecretValue", &body).await;
    };
    put(json!(r#"{"clientSecret":"not-this-one"}"#)).await;
    use_token(&world, &tenant).await.expect(503);
    assert!(world.log().iter().any(|line| line.contains(r#""alarm":"ringcentral_app""#)));
    put(right).await;
    use_token(&world, &tenant).await.expect(200);
    assert_eq!(generation(&world).await, 2);
    assert_eq!(extension(&world, &tenant).await["status"], "active");
}

#[tokio::test]
async fn with_a_strict_server_a_grant_is_lost_only_if_a_response_is_lost() {
    for mode in ["strict", "family_kill"] {
        let (world, tenant) = connected().await;
        world.sim(Method::PUT, "/_sim/settings", Some(json!({"refreshTokens": mode}))).await;
        for round in 2..4 {
            world.advance(HOUR).await;
            use_token(&world, &tenant).await.expect(200);
            assert_eq!(generation(&world).await, round, "{mode}");
        }
        world.advance(HOUR).await;
        world.sim_fault("/restapi/oauth/token", Some(1), json!({"applyThenDrop": true})).await;
        use_token(&world, &tenant).await.expect(503);
        for _ in 0..3 {
            world.advance(61).await;
        }
        let shown = extension(&world, &tenant).await;
        assert_eq!(
            (&shown["status"], &shown["cause"]),
            (&json!("revoked"), &json!("lost_rotation")),
            "{mode}"
        );
    }
}

#[tokio::test]
async fn an_idle_connection_stays_active_for_a_month() {
    let (world, tenant) = connected().await;
    for _ in 0..60 {
        world.advance(43_200).await;
    }
    assert_eq!(extension(&world, &tenant).await["status"], "active");
    use_token(&world, &tenant).await.expect(200);
    // After half a week, plus or minus a fifth: seven to eleven times in a month, and once now.
    let calls = token_calls(&world).await.len();
    assert!((7..=12).contains(&calls), "{calls}");
    assert_eq!(world.count("token_refused").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_of_a_pair_received_after_the_disconnect_is_ended() {
    let (world, tenant) = connected().await;
    world.advance(HOUR).await;
    world.sim_fault("/restapi/oauth/token", Some(1), json!({"delayMs": 2_500})).await;
    let (_, disconnected) = tokio::join!(use_token(&world, &tenant), async {
        // The call has taken effect, and its response is delayed.
        while world.count("token_refreshed").await == 0 {
            tokio::task::yield_now().await;
        }
        world.post("/v1/rc/disconnect", &tenant.key).await
    });
    disconnected.expect(200);
    world.advance(61).await;
    let refreshed = world.ledger("token_refreshed").await;
    let ended = world.ledger("session_revoked").await;
    assert_eq!(refreshed.len(), 1);
    assert!(!ended.is_empty(), "the session of the late pair is ended");
    assert!(world.items("ConnectionsTable").await.is_empty(), "{:?}", world.items("ConnectionsTable").await);
}

#[tokio::test]
async fn attempts_of_another_tenant_do_not_affect_a_grant() {
    let (world, tenant) = connected().await;
    let other = world.new_tenant("Other").await;
    for _ in 0..6 {
        // RingCentral allows five token calls a minute, and each attempt is one.
        world.advance(61).await;
        world.connect(&other, &world.user(0)).await.expect(409);
    }
    assert_eq!(world.count("session_revoked").await, 6, "each attempt ends its new session");
    world.advance(HOUR).await;
    use_token(&world, &tenant).await.expect(200);
    assert_eq!(generation(&world).await, 2);
}

#[tokio::test]
async fn a_token_that_could_not_be_refreshed_for_a_week_is_reported_as_expired() {
    let (world, tenant) = connected().await;
    // A response that shows that nothing was done: with any other, the outcome would be unknown.
    world.sim_fault("/restapi/oauth/token", None, json!({"status": 503, "body": ""})).await;
    for _ in 0..16 {
        world.advance(12 * HOUR).await;
    }
    let shown = extension(&world, &tenant).await;
    assert_eq!(
        (&shown["status"], &shown["cause"]),
        (&json!("refresh_failed"), &json!("ringcentral_unavailable"))
    );
    world.no_faults().await;
    // Two denials, half a minute apart, are necessary.
    for _ in 0..3 {
        world.advance(310).await;
    }
    let shown = extension(&world, &tenant).await;
    assert_eq!((&shown["status"], &shown["cause"]), (&json!("revoked"), &json!("expired")), "{shown}");
    let reported: Vec<_> = events(&world, "extension_status").await;
    let reported: Vec<_> = reported.iter().map(|event| (&event["status"], &event["cause"])).collect();
    assert_eq!(
        reported,
        [
            (&json!("refresh_failed"), &json!("ringcentral_unavailable")),
            (&json!("revoked"), &json!("expired"))
        ]
    );
}

#[tokio::test]
async fn a_cached_token_needs_no_aws_call_and_an_uncached_one_a_read_and_a_decrypt() {
    let (world, tenant) = connected().await;
    // The cost of a token: reads of the connection, and calls of KMS.
    let cost = async || {
        let place = world.calls_so_far().await;
        use_token(&world, &tenant).await.expect(200);
        let calls = world.calls_since(place).await;
        let of = |operation: &str| {
            let ours = calls.iter().filter(|call| call["function"] == "refresh-numbers");
            ours.filter(|call| call["operation"] == operation).count()
        };
        (of("GetItem"), of("Decrypt"))
    };
    assert_eq!(cost().await, (1, 1), "not cached");
    for _ in 0..3 {
        assert_eq!(cost().await, (0, 0), "cached");
    }
    // Moving the clock restarts all processes.
    world.advance(1).await;
    assert_eq!(cost().await, (1, 1), "not cached after the restart");
}
