//! The settings of a tenant: who may read and change them, what they may be, and that they are only the tenant's own.

use reqwest::Method;
use serde_json::{Value, json};

use crate::tenancy::additional_key;
use crate::world::{Reply, TestTenant, World};

async fn change(world: &World, key: &str, fields: Value) -> Reply {
    world.call(Method::PATCH, "/v1/settings", key, Some(fields)).await
}

async fn settings(world: &World, key: &str) -> Value {
    world.get("/v1/settings", key).await.expect(200).json()
}

#[tokio::test]
async fn settings_are_read_with_any_key_and_changed_with_consents_write() {
    let world = World::start().await;
    let (tenant, other): (TestTenant, TestTenant) = (world.tenant(), world.new_tenant("Other").await);
    crate::send::without_limit(&world, &tenant).await;
    let defaults = settings(&world, &tenant.key).await;
    assert!(defaults["quietHours"].is_null());
    assert_eq!(defaults["optOutConfirmation"]["enabled"], true);
    assert!(defaults["optOutConfirmation"]["text"].as_str().unwrap().contains("START"));

    let weak = additional_key(&world, &tenant, json!({ "scopes": ["triggers:manage"] })).await;
    let strong = additional_key(&world, &tenant, json!({ "scopes": ["consents:write"] })).await;
    assert_eq!(
        change(&world, &weak, json!({ "quietHours": {} })).await.error(),
        (403, "insufficient_scope".into())
    );
    let set = change(&world, &strong, json!({ "quietHours": {} })).await.expect(200).json();
    assert_eq!(set["quietHours"], json!({ "start": "21:00", "end": "08:00", "overrides": {} }));
    assert_eq!(settings(&world, &weak).await, set);
    assert_eq!(
        set["optOutConfirmation"], defaults["optOutConfirmation"],
        "what the body does not have is kept"
    );

    // Each setting is replaced as a whole.
    let overrides =
        json!({ "FL": { "start": "20:00", "end": "08:00" }, "ON": { "start": "21:30", "end": "09:00" } });
    let hours = json!({ "start": "20:30", "overrides": overrides });
    let set = change(&world, &strong, json!({ "quietHours": hours })).await.expect(200).json();
    assert_eq!(set["quietHours"], json!({ "start": "20:30", "end": "08:00", "overrides": overrides }));
    let confirmation = json!({ "enabled": false, "text": "Bye." });
    let set = change(&world, &strong, json!({ "optOutConfirmation": confirmation })).await.expect(200).json();
    assert_eq!((&set["optOutConfirmation"], &set["quietHours"]["start"]), (&confirmation, &json!("20:30")));
    let set = change(&world, &strong, json!({ "quietHours": { "end": "09:00" } })).await.expect(200).json();
    assert_eq!(set["quietHours"], json!({ "start": "21:00", "end": "09:00", "overrides": {} }));
    assert_eq!(change(&world, &strong, json!({})).await.expect(200).json(), set, "nothing changes");
    assert_eq!(settings(&world, &other.key).await, defaults, "another tenant notices nothing");
    let set = change(&world, &strong, json!({ "quietHours": null, "optOutConfirmation": null })).await;
    assert_eq!(set.expect(200).json(), defaults);

    let log = world.get("/v1/audit", &tenant.key).await.expect(200).json();
    let entries: Vec<_> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"] == "settings.changed")
        .collect();
    assert_eq!(entries.len(), 5);
    assert_eq!(entries[0]["fields"], json!(["quietHours", "optOutConfirmation"]));
    assert_eq!(entries[0]["subject"], tenant.id);
}

#[tokio::test]
async fn every_invalid_setting_gets_an_error_that_names_its_field() {
    let world = World::start().await;
    let tenant = world.tenant();
    crate::send::without_limit(&world, &tenant).await;
    let window = |start: &str, end: &str| json!({ "start": start, "end": end });
    let hours = |fields: Value| json!({ "quietHours": fields });
    let in_state = |state: &str, window: Value| hours(json!({ "overrides": { state: window } }));
    let text = |text: &str| json!({ "optOutConfirmation": { "text": text } });
    for (fields, code, field) in [
        (hours(json!({ "start": "9pm" })), "invalid_field", "quietHours.start"),
        (hours(json!({ "end": "24:00" })), "invalid_field", "quietHours.end"),
        (hours(json!({ "end": "8:00" })), "invalid_field", "quietHours.end"),
        (hours(json!({ "start": 21 })), "invalid_body", "quietHours.start"),
        (hours(json!({ "start": "08:00" })), "invalid_field", "quietHours"),
        (hours(json!({ "zone": "UTC" })), "unknown_field", "quietHours.zone"),
        (hours(json!(["21:00", "08:00"])), "invalid_body", "quietHours"),
        (hours(json!("off")), "invalid_body", "quietHours"),
        (hours(json!(false)), "invalid_body", "quietHours"),
        // Longer than any area code bears, and than numbers bear that may be anywhere.
        (hours(window("12:00", "11:30")), "invalid_field", "quietHours"),
        (hours(window("17:00", "10:00")), "invalid_field", "quietHours"),
        (in_state("PE", window("08:00", "21:00")), "invalid_field", "quietHours"),
        (in_state("fl", window("20:00", "08:00")), "invalid_field", "quietHours.overrides"),
        (in_state("Florida", window("20:00", "08:00")), "invalid_field", "quietHours.overrides"),
        (in_state("", window("20:00", "08:00")), "invalid_field", "quietHours.overrides"),
        (in_state("FL", json!({ "start": "20:00" })), "invalid_field", "quietHours.overrides.FL.end"),
        (in_state("FL", window("20:00", "20:00")), "invalid_field", "quietHours.overrides.FL"),
        (in_state("FL", window("8 pm", "08:00")), "invalid_field", "quietHours.overrides.FL.start"),
        (in_state("FL", json!(null)), "invalid_body", "quietHours.overrides.FL"),
        (in_state("FL", json!(["20:00", "08:00"])), "invalid_body", "quietHours.overrides.FL"),
        (hours(json!({ "overrides": [] })), "invalid_body", "quietHours.overrides"),
        (text(""), "invalid_field", "optOutConfirmation.text"),
        (text(&"a".repeat(301)), "invalid_field", "optOutConfirmation.text"),
        (text("a\u{0}"), "invalid_field", "optOutConfirmation.text"),
        (json!({ "optOutConfirmation": { "enabled": "no" } }), "invalid_body", "optOutConfirmation.enabled"),
        (json!({ "optOutConfirmation": true }), "invalid_body", "optOutConfirmation"),
        (json!({ "quiethours": {} }), "unknown_field", "quiethours"),
    ] {
        let reply = change(&world, &tenant.key, fields.clone()).await;
        assert_eq!(reply.error(), (400, code.to_owned()), "{fields}: {}", reply.text);
        assert_eq!(reply.json()["field"], field, "{fields}: {}", reply.text);
    }
    assert!(settings(&world, &tenant.key).await["quietHours"].is_null(), "nothing has changed");
    for good in [hours(window("00:00", "08:00")), hours(window("13:00", "14:30")), text(&"😀".repeat(150))]
    {
        change(&world, &tenant.key, good.clone()).await.expect(200);
    }
}
