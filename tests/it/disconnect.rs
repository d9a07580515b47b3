//! Disconnecting: immediate for the tenant, retried at RingCentral.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{TestTenant, World};

async fn no_rows(world: &World) -> bool {
    world.items("ConnectionsTable").await.is_empty() && world.items("ExtensionsTable").await.is_empty()
}

async fn connected(world: &World, tenant: &TestTenant) -> Value {
    world.get("/v1/rc/status", &tenant.key).await.expect(200).json()["connected"].clone()
}

#[tokio::test]
async fn disconnecting_an_account_removes_all_its_connections() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    for user in [world.user(0), world.user(1)] {
        world.connect(&tenant, &user).await.expect(303);
    }
    let done = world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    assert_eq!(done.text, r#"{"ok":true}"#);
    assert_eq!(connected(&world, &tenant).await, false);
    assert_eq!(world.get("/v1/rc/extensions", &tenant.key).await.json(), json!({"extensions": []}));
    assert_eq!(world.get("/v1/rc/numbers", &tenant.key).await.json(), json!({"numbers": []}));
    assert_eq!(world.count("session_revoked").await, 2);
    assert_eq!(world.count("subscription_deleted").await, 2);
    assert!(no_rows(&world).await, "{:?}", world.items("ConnectionsTable").await);
    // The same user can connect again, even to another tenant.
    let other = world.new_tenant("Other").await;
    world.connect(&other, &world.user(0)).await.expect(303);
}

#[tokio::test]
async fn one_extension_can_be_disconnected_while_others_stay() {
    let world = World::start().await;
    let (tenant, other) = (world.tenant(), world.new_tenant("Other").await);
    for user in [world.user(0), world.user(1)] {
        world.connect(&tenant, &user).await.expect(303);
    }
    let path = format!("/v1/rc/extensions/{}", world.user(0)["extensionId"].as_str().unwrap());
    // An extension of another tenant, an unknown and a disconnected one are the same 404.
    let foreign = world.call(Method::DELETE, &path, &other.key, None).await;
    let unknown = world.call(Method::DELETE, "/v1/rc/extensions/123456789", &tenant.key, None).await;
    assert_eq!(foreign.error(), (404, "not_found".to_owned()));
    assert_eq!((foreign.error(), &foreign.json()["error"]), (unknown.error(), &unknown.json()["error"]));
    let malformed = world.call(Method::DELETE, "/v1/rc/extensions/abc", &tenant.key, None).await;
    assert_eq!(
        (malformed.error(), &malformed.json()["error"]),
        ((400, "invalid_id".into()), &json!("Invalid extensionId format"))
    );

    world.call(Method::DELETE, &path, &tenant.key, None).await.expect(200);
    assert_eq!(
        world.call(Method::DELETE, &path, &tenant.key, None).await.error(),
        (404, "not_found".to_owned())
    );
    let left = world.get("/v1/rc/extensions", &tenant.key).await.json();
    assert_eq!(left["extensions"].as_array().unwrap().len(), 1);
    assert_eq!(left["extensions"][0]["extensionId"], world.user(1)["extensionId"]);
    assert_eq!(world.count("session_revoked").await, 1);
    assert_eq!(connected(&world, &tenant).await, true);
}

#[tokio::test]
async fn the_sweep_ends_a_session_that_could_not_be_ended_at_once() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    world.sim_fault("/restapi/oauth/revoke", Some(1), json!({"status": 503})).await;
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    assert_eq!(connected(&world, &tenant).await, false);
    assert_eq!(world.count("session_revoked").await, 0);
    world.advance(2 * 3_600).await;
    assert_eq!(world.count("session_revoked").await, 1);
    assert!(no_rows(&world).await, "{:?}", world.items("ConnectionsTable").await);
}

#[tokio::test]
async fn a_disconnect_during_a_penalty_succeeds_without_a_call_of_ringcentral() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    world.without_schedules_of(&["sync-messages", "renew-subscriptions"]).await;
    world.advance(3_700).await;
    let act = json!({"rateLimit": {"retryAfter": 60, "penaltyRestarts": true}});
    world.sim_fault("/restapi/oauth/token", Some(1), act).await;
    world.post("/v1/rc/numbers/refresh", &tenant.key).await.expect(503);
    world.sim_fault("/restapi/oauth/revoke", None, json!({"status": 500})).await;
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    assert_eq!(connected(&world, &tenant).await, false);
    let fired = world.sim(Method::GET, "/_sim/faults", None).await[0]["fired"].clone();
    assert_eq!((fired, world.count("rate_limited").await), (json!(0), 1), "no call during the penalty");
    world.no_faults().await;
    world.advance(900).await;
    assert_eq!(world.count("session_revoked").await, 1);
    assert!(no_rows(&world).await, "{:?}", world.items("ConnectionsTable").await);
}

#[tokio::test]
async fn a_revocation_that_could_not_be_tried_does_not_count_as_an_attempt() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    world.aws(Method::POST, "/_aws/kms/disable", Some(json!({}))).await;
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    for _ in 0..6 {
        world.advance(6 * 3_600).await;
    }
    assert_eq!(world.count("session_revoked").await, 0);
    world.aws(Method::POST, "/_aws/kms/enable", Some(json!({}))).await;
    world.advance(3_600).await;
    assert_eq!(world.count("session_revoked").await, 1, "as soon as KMS is available again");
    assert!(no_rows(&world).await);
}

#[tokio::test]
async fn a_404_of_the_revoke_endpoint_does_not_count_as_revoked() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    world.sim_fault("/restapi/oauth/revoke", Some(2), json!({"status": 404, "body": {}})).await;
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    assert_eq!(world.items("ConnectionsTable").await.len(), 1, "the revocation is still pending");
    world.advance(2 * 3_600).await;
    world.advance(24 * 3_600).await;
    assert_eq!(world.count("session_revoked").await, 1);
    assert!(no_rows(&world).await);
}

#[tokio::test]
async fn after_a_kill_at_any_step_of_a_disconnect_the_session_is_ended() {
    let world = World::start().await;
    let tenant = world.tenant();
    let mut steps = 0;
    for act in ["before", "after"] {
        for skip in 0.. {
            let revoked = world.count("session_revoked").await;
            world.connect(&tenant, &world.user(0)).await.expect(303);
            let matching = json!({"function": "disconnect-account"});
            world.aws_fault(matching, skip, Some(1), json!({"kill": act})).await;
            let reply = world.post("/v1/rc/disconnect", &tenant.key).await;
            let fired = world.aws(Method::GET, "/_aws/faults", None).await[0]["fired"] == 1;
            world.no_faults().await;
            if reply.status != 200 {
                world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
            }
            world.advance(400).await;
            assert_eq!(connected(&world, &tenant).await, false, "{act} step {skip}");
            assert_eq!(world.count("session_revoked").await, revoked + 1, "{act} step {skip}");
            assert!(no_rows(&world).await, "{act} step {skip}: {:?}", world.items("ConnectionsTable").await);
            if !fired {
                break;
            }
            steps += 1;
        }
    }
    assert!(steps >= 8, "the kill was tried at {steps} steps");
}

#[tokio::test]
async fn a_session_whose_tokens_were_erased_or_are_damaged_is_given_up_at_once() {
    for how in ["erased", "damaged"] {
        let world = World::start().await;
        let tenant = world.tenant();
        let user = world.user(0);
        world.connect(&tenant, &user).await.expect(303);
        if how == "erased" {
            let revoke = format!("/_sim/users/{}/revoke", user["extensionId"].as_str().unwrap());
            world.sim(Method::POST, &revoke, None).await;
            for _ in 0..13 {
                world.advance(24 * 3_600).await;
            }
        } else {
            let rows = world.items("ConnectionsTable").await;
            let mut row = rows.into_iter().find(|row| row["refresh_token"]["B"].is_string()).unwrap();
            row["refresh_token"] = json!({ "B": "AAAA" });
            world.put_item("ConnectionsTable", row).await;
        }
        // Connecting again ends the session that it replaces.
        world.connect(&tenant, &user).await.expect(303);
        for _ in 0..3 {
            world.advance(3_600).await;
        }
        let rows = world.items("ConnectionsTable").await;
        let left = rows.iter().filter(|row| row["item"]["S"].as_str().unwrap().starts_with("revocation#"));
        assert_eq!(left.count(), 0, "{how}");
        let log = world.log();
        let given_up = |line: &&String| line.contains("session could not be ended; it expires within a week");
        assert_eq!(log.iter().filter(given_up).count(), 1, "{how}");
        assert_eq!(log.iter().filter(|line| line.contains("SessionsAbandoned")).count(), 1, "{how}");
        assert!(!log.iter().any(|line| line.contains("session could not be ended; it is retried")), "{how}");
        assert_eq!(connected(&world, &tenant).await, true, "{how}");
    }
}
