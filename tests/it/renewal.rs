//! Renewing webhook subscriptions, and replacing those that are gone or stopped.

use jiff::{SignedDuration, Timestamp};
use local::{DataLocation, StackOptions};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{TestTenant, World, attribute, binaries, extension, now, root};

/// The longest interval between two checks of a connection.
const A_DAY_AND_A_BIT: i64 = 30 * 3_600;

/// RingCentral refuses the subscription to consent events, so that there is one subscription.
async fn without_consent_events(world: World) -> World {
    world.sim(Method::PUT, "/_sim/settings", Some(json!({ "consentEvents": false }))).await;
    world
}

async fn connected() -> (World, TestTenant) {
    let world = without_consent_events(World::start().await).await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    // It would do the requested backfill.
    world.without_schedules_of(&["sync-messages"]).await;
    (world, tenant)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_renewed_about_once_a_day() {
    let (world, tenant) = connected().await;
    assert_eq!(attribute(&world, "sync_reason").await, "connected", "the first backfill is requested");
    for day in 1..=16 {
        world.advance(A_DAY_AND_A_BIT).await;
        let shown = extension(&world, &tenant).await;
        assert_eq!(shown["subscription"]["status"], "Active", "day {day}");
        let ends: Timestamp = shown["subscription"]["expiresAt"].as_str().unwrap().parse().unwrap();
        assert!(ends > now(&world).await + SignedDuration::from_hours(5 * 24), "day {day}: {ends}");
    }
    assert_eq!(world.count("subscription_expired").await, 0);
    assert_eq!(world.count("subscription_created").await, 1);
    let renewed = world.count("subscription_renewed").await;
    assert!((13..=20).contains(&renewed), "{renewed} renewals in 20 days");
    assert_eq!(attribute(&world, "sync_reason").await, "connected", "nothing was missed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_stopped_subscription_is_replaced_and_a_backfill_is_requested() {
    for (how, reason) in [("expire", "expired"), ("blacklist", "blacklisted"), ("suspend", "suspended")] {
        let (world, tenant) = connected().await;
        let id = attribute(&world, "subscription").await;
        let digest = attribute(&world, "subscription_token_digest").await;
        if how == "suspend" {
            let listed = json!({"records": [{"id": id, "status": "Suspended"}]});
            let fault = json!([{"match": {"method": "GET", "path": "/subscription"}, "times": 1, "do": {"status": 200, "body": listed}}]);
            world.sim(Method::PUT, "/_sim/faults", Some(fault)).await;
        } else {
            world.sim(Method::POST, &format!("/_sim/subscriptions/{id}/{how}"), None).await;
        }
        world.advance(A_DAY_AND_A_BIT).await;
        assert_eq!(world.count("subscription_created").await, 2, "{how}");
        assert_eq!(attribute(&world, "sync_reason").await, reason);
        assert_ne!(attribute(&world, "subscription").await, id, "{how}");
        assert_ne!(attribute(&world, "subscription_token_digest").await, digest, "{how}: a new token");
        assert_eq!(
            attribute(&world, "previous_token_digest").await,
            digest,
            "{how}: the old one stays valid for a while"
        );
        assert_eq!(extension(&world, &tenant).await["subscription"]["status"], "Active", "{how}");
        // The old subscription is deleted, if it still exists.
        let gone = world.count("subscription_deleted").await + world.count("subscription_expired").await;
        assert_eq!(gone, 1, "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_cannot_be_replaced_is_reported_and_retried() {
    let (world, tenant) = connected().await;
    let id = attribute(&world, "subscription").await;
    world.sim(Method::POST, &format!("/_sim/subscriptions/{id}/blacklist"), None).await;
    let fault =
        json!([{"match": {"method": "POST", "path": "/subscription"}, "times": null, "do": {"status": 503}}]);
    world.sim(Method::PUT, "/_sim/faults", Some(fault)).await;
    world.advance(A_DAY_AND_A_BIT).await;
    assert_eq!(extension(&world, &tenant).await["subscription"]["status"], "Blacklisted");
    assert_eq!(attribute(&world, "sync_reason").await, "blacklisted", "the backfill is requested at once");
    world.no_faults().await;
    for _ in 0..4 {
        world.advance(400).await;
    }
    assert_eq!(extension(&world, &tenant).await["subscription"]["status"], "Active");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_unused_subscriptions_are_deleted_and_others_are_not() {
    let (world, _) = connected().await;
    let access = own_session(&world).await;
    let ours = format!("{}/v1/webhooks/ringcentral", world.gateway());
    // The same receiver under another host name, as that of another deployment would be.
    let elsewhere = ours.replace("127.0.0.1", "localhost");
    for address in [&ours, &elsewhere] {
        let body = json!({
            "eventFilters": ["/restapi/v1.0/account/~/extension/~"],
            "deliveryMode": {"transportType": "WebHook", "address": address},
        });
        let url = format!("{}/restapi/v1.0/subscription", world.stack.info().ringcentral());
        let made = world.http.post(url).bearer_auth(&access).header("content-type", "application/json");
        assert_eq!(made.body(body.to_string()).send().await.unwrap().status(), 200);
    }
    assert_eq!(world.count("subscription_created").await, 3);
    world.advance(A_DAY_AND_A_BIT).await;
    assert_eq!(world.count("subscription_deleted").await, 1, "the unused one with our address");
    assert_eq!(world.count("subscription_renewed").await, 1);
}

/// An access token of the first user from a separate session of the same app.
pub async fn own_session(world: &World) -> String {
    let rc = &world.stack.info().rc;
    let user = world.user(0);
    let form = format!(
        "grant_type={}&assertion={}",
        "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer",
        user["jwt"].as_str().unwrap()
    );
    let url = format!("{}/restapi/oauth/token", world.stack.info().ringcentral());
    let request = world
        .http
        .post(url)
        .basic_auth(rc["clientId"].as_str().unwrap(), rc["clientSecret"].as_str())
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body(form).send().await.unwrap();
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_numbers_are_found_within_a_day() {
    let world = World::start().await;
    let tenant = world.tenant();
    let none = json!({"records": [], "paging": {"page": 1, "totalPages": 1}, "navigation": {}});
    world.sim_fault("/phone-number", None, json!({"status": 200, "body": none})).await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    assert_eq!(world.get("/v1/rc/numbers", &tenant.key).await.json(), json!({"numbers": []}));
    assert_eq!(extension(&world, &tenant).await["setup"]["complete"], true);
    world.no_faults().await;
    world.advance(A_DAY_AND_A_BIT).await;
    let numbers = world.get("/v1/rc/numbers", &tenant.key).await.json();
    assert!(!numbers["numbers"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_connection_is_not_checked() {
    let (world, tenant) = connected().await;
    let revoke = format!("/_sim/users/{}/revoke", world.user(0)["extensionId"].as_str().unwrap());
    world.sim(Method::POST, &revoke, None).await;
    for _ in 0..4 {
        world.advance(A_DAY_AND_A_BIT).await;
    }
    assert_eq!(extension(&world, &tenant).await["status"], "revoked");
    assert_eq!(attribute(&world, "renewal_kind").await, "");
    assert_eq!(world.count("subscription_renewed").await, 0);
}

/// H12.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_granted_for_hours_is_renewed_before_it_ends() {
    for seconds in [6 * 3_600, 3_600] {
        let world = World::start().await;
        let tenant = world.tenant();
        let settings = json!({ "maxSubscriptionTtl": seconds, "consentEvents": false });
        world.sim(Method::PUT, "/_sim/settings", Some(settings)).await;
        world.connect(&tenant, &world.user(0)).await.expect(303);
        for _ in 0..36 {
            world.advance(600).await;
            let shown = extension(&world, &tenant).await["subscription"].clone();
            let ends: Timestamp = shown["expiresAt"].as_str().unwrap().parse().unwrap();
            assert!(ends > now(&world).await, "{shown}");
            assert_eq!(shown["status"], "Active");
        }
        assert_eq!(world.count("subscription_expired").await, 0);
        assert_eq!(world.count("subscription_created").await, 1);
        assert!(world.count("subscription_renewed").await >= 1);
    }
}

/// Whatever RingCentral answers about the end of a subscription, it is checked, and never shown as active after its end.
#[tokio::test(flavor = "multi_thread")]
async fn an_implausible_end_of_a_subscription_is_not_stored() {
    let (world, tenant) = connected().await;
    let id = attribute(&world, "subscription").await;
    for times in [
        json!({ "expirationTime": "2001-01-01T00:00:00Z" }),
        json!({ "expirationTime": "9999-12-31T23:59:59.999Z" }),
        json!({ "expiresIn": -5 }),
        json!({ "expiresIn": 9_000_000_000_000_000_000_i64 }),
        json!({}),
    ] {
        let mut body = json!({ "id": id, "status": "Active" });
        body.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
        world.sim_fault("/renew", None, json!({ "status": 200, "body": body })).await;
        world.advance(A_DAY_AND_A_BIT).await;
        let shown = extension(&world, &tenant).await["subscription"].clone();
        let ends: Timestamp = shown["expiresAt"].as_str().unwrap().parse().unwrap();
        assert!(ends > now(&world).await || shown["status"] == "Expired", "{times}: {shown}");
        let due: i64 = attribute(&world, "renewal_due").await.parse().unwrap();
        let due = Timestamp::from_millisecond(due).unwrap().duration_since(now(&world).await);
        assert!(due.as_secs() <= A_DAY_AND_A_BIT, "{times}");
    }
}

/// The URL of each subscription at RingCentral.
async fn addresses(world: &World) -> Vec<String> {
    let url = format!("{}/restapi/v1.0/subscription", world.stack.info().ringcentral());
    let list = world.http.get(url).bearer_auth(own_session(world).await).send().await.unwrap();
    let list: Value = serde_json::from_str(&list.text().await.unwrap()).unwrap();
    let records = list["records"].as_array().unwrap_or_else(|| panic!("{list}"));
    records.iter().map(|one| one["deliveryMode"]["address"].as_str().unwrap().to_owned()).collect()
}

/// Checks that a message arrives by the only subscription, whose URL is not `before`.
async fn receives_at_another_url(world: &World, before: &[String]) {
    assert_eq!(attribute(world, "sync_reason").await, "address_changed");
    let after = addresses(world).await;
    assert_eq!((before.len(), after.len()), (1, 1), "{after:?}");
    assert_ne!(before, after);
    assert!(after[0].starts_with(world.gateway()), "{after:?}");
    let sent = world.ledger("webhook_sent").await.len();
    let order = json!({ "from": "+16505550199", "to": "+14155550100", "text": "at the new URL" });
    world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
    world.idle().await;
    let sent = world.ledger("webhook_sent").await.split_off(sent);
    assert!(!sent.is_empty() && sent.iter().all(|one| one["status"] == 200), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_change_of_the_tag_key_a_connection_subscribes_again() {
    let (world, tenant) = connected().await;
    let before = addresses(&world).await;
    let secret = json!({ "SecretId": "ringbridge-local/event-tag-key", "SecretString": "another".repeat(8) });
    world.secrets("PutSecretValue", &secret).await;
    world.advance(A_DAY_AND_A_BIT).await;
    assert_eq!(extension(&world, &tenant).await["subscription"]["status"], "Active");
    receives_at_another_url(&world, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_change_of_the_public_url_a_connection_subscribes_again() {
    let folder = tempfile::tempdir().unwrap();
    let start = async || {
        let mut options = StackOptions::for_tests(&root());
        options.binaries = binaries().to_owned();
        options.data = DataLocation::Folder(folder.path().join("data"));
        without_consent_events(World::with(options).await).await
    };
    let world = start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let before = addresses(&world).await;
    world.stack.stop().await.unwrap();
    // On other ports.
    let world = start().await;
    world.without_schedules_of(&["sync-messages"]).await;
    world.advance(A_DAY_AND_A_BIT).await;
    assert_eq!(extension(&world, &tenant).await["subscription"]["status"], "Active");
    receives_at_another_url(&world, &before).await;
}
