//! Deleting a tenant: what stops at once, what is erased in the background, and how failures are handled.

use serde_json::{Value, json};

use crate::tenancy::send;
use crate::world::World;

#[tokio::test]
async fn deleting_a_tenant_stops_it_at_once_and_erases_it_in_the_background() {
    let world = World::start().await;
    let (tenant, operator) = (world.new_tenant("Leaving").await, world.operator_key());
    for user in [world.user(0), world.user(1)] {
        world.connect(&tenant, &user).await.expect(303);
    }
    let link = world.mint(&tenant).await;
    let path = format!("/v1/tenants/{}", tenant.id);
    let reply = send(&world, "DELETE", &path, &operator, Value::Null).await.expect(202);
    assert_eq!(reply.json(), json!({ "status": "deleting" }));
    // No request is accepted, and nothing can be decrypted any more.
    assert_eq!(world.get("/v1/rc/status", &tenant.key).await.error(), (401, "unauthorized".to_owned()));
    assert_eq!(world.browser().press(&link).await.status, 403);
    assert_eq!(world.count("session_revoked").await, 2);
    let rows = world.items("ConnectionsTable").await;
    let sealed =
        rows.iter().filter(|row| row["tenant"]["S"] == tenant.id && row.get("refresh_key").is_some());
    assert_eq!(sealed.count(), 0, "no data key remains");
    let rows = world.items("TenantsTable").await;
    assert!(rows.iter().all(|row| row["tenant"]["S"] != tenant.id || row["item"]["S"] == "tenant"));
    // The progress is shown. A deletion can't be undone, and requesting it again is harmless.
    let shown = world.get(&path, &operator).await.expect(200).json();
    assert_eq!(shown["status"], "deleting");
    assert!(shown["deletion"]["dataKeysErasedAt"].is_string(), "{shown}");
    assert!(shown["deletion"]["left"].is_object());
    let resume = send(&world, "PATCH", &path, &operator, json!({ "status": "active" })).await;
    assert_eq!(resume.error(), (409, "tenant_deleting".to_owned()));
    send(&world, "DELETE", &path, &operator, Value::Null).await.expect(202);
    world.advance(400).await;
    assert_eq!(world.get(&path, &operator).await.error(), (404, "not_found".to_owned()));
    for table in ["ConnectionsTable", "TenantsTable"] {
        let rows = world.items(table).await;
        assert!(rows.iter().all(|row| row["tenant"]["S"] != tenant.id), "{table}: {rows:?}");
    }
    assert!(
        world.items("ExtensionsTable").await.is_empty(),
        "the extensions can be connected to other tenants"
    );
    let log = world.get(&format!("/v1/audit?tenantId={}", tenant.id), &operator).await.expect(200).json();
    let actions: Vec<_> =
        log["entries"].as_array().unwrap().iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions[0], "tenant.erased");
    assert!(actions.contains(&json!("tenant.deleted")));
}

#[tokio::test]
async fn data_keys_are_erased_even_if_ringcentral_does_not_respond() {
    let world = World::start().await;
    let (tenant, operator) = (world.new_tenant("Leaving").await, world.operator_key());
    world.connect(&tenant, &world.user(0)).await.expect(303);
    world.sim_fault("/oauth/revoke", None, json!({ "status": 503 })).await;
    let path = format!("/v1/tenants/{}", tenant.id);
    send(&world, "DELETE", &path, &operator, Value::Null).await.expect(202);
    let rows = world.items("ConnectionsTable").await;
    assert!(rows.iter().all(|row| row.get("refresh_key").is_none()), "{rows:?}");
    world.advance(400).await;
    assert_eq!(world.get(&path, &operator).await.status, 404);
}

#[tokio::test]
async fn an_interrupted_deletion_is_completed_by_the_sweep() {
    let world = World::start().await;
    let (tenant, operator) = (world.new_tenant("Leaving").await, world.operator_key());
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let fault = json!({ "service": "dynamodb", "operation": "Query", "function": "delete-tenant" });
    world.aws_fault(fault, 0, None, json!({ "error": "InternalServerError", "status": 500 })).await;
    let path = format!("/v1/tenants/{}", tenant.id);
    send(&world, "DELETE", &path, &operator, Value::Null).await.expect(202);
    assert_eq!(world.get("/v1/rc/status", &tenant.key).await.status, 401);
    let shown = world.get(&path, &operator).await.json();
    assert_eq!(shown["deletion"]["dataKeysErasedAt"], Value::Null);
    assert_eq!(shown["deletion"]["left"]["connection"], 1);
    world.no_faults().await;
    world.advance(400).await;
    assert_eq!(world.get(&path, &operator).await.status, 404);
    assert_eq!(world.count("session_revoked").await, 1);
}
