//! Tenants, apps, keys, and the audit log.

use serde_json::{Value, json};
use shared::model::app::Scope;
use shared::views::StatusOnly;
use shared::views::deliveries::ChangedApp;
use shared::views::tenancy::{
    AppView, Apps, AuditLog, Keys, NewKey, Registered, RotatedKey, RotatedSecret, TenantView, Tenants,
};

use crate::operation::Operation;
use crate::routes;

const APPS: &[Scope] = &[Scope::AppsManage];

const TENANT: &str = "tenant_5f0c9a1be2d34476";
const APP: &str = "app_0b9e3c57d1a24f68";
const KEY: &str = "key_91c04be7a3f25d86";

pub fn of_tenants() -> Vec<Operation> {
    let tenant = json!({
        "tenantId": TENANT, "name": "Acme", "status": "active",
        "limits": { "requestsPerMinute": 100, "connectTokensPerHour": 100 }, "createdAt": "2026-11-21T23:25:21.488Z",
    });
    vec![
        Operation::new("POST /v1/tenants", "create-tenant", "Create a tenant")
            .more("A new tenant has no API key. Register an app to get one.")
            .operator()
            .takes::<routes::create_tenant::CreateTenantRequest>(json!({ "name": "Acme", "limits": { "requestsPerMinute": 100 } }))
            .gives::<TenantView<'_>>(201, "The tenant.", tenant.clone()),
        Operation::new("GET /v1/tenants", "list-tenants", "List tenants")
            .operator()
            .pages()
            .gives::<Tenants<'_>>(200, "The entries, newest first.", json!({ "tenants": [tenant], "nextCursor": null })),
        Operation::new("GET /v1/tenants/{tenantId}", "get-tenant", "Get a tenant")
            .operator()
            .gives::<TenantView<'_>>(200, "The tenant, with the progress of its deletion.", tenant.clone()),
        Operation::new("PATCH /v1/tenants/{tenantId}", "update-tenant", "Update a tenant")
            .more("Changes the name, the limits or the status. While a tenant is suspended, its keys are rejected and its queued messages fail. Resuming the tenant does not restore them.")
            .operator()
            .takes::<routes::update_tenant::UpdateTenantRequest>(json!({ "status": "suspended" }))
            .gives::<TenantView<'_>>(200, "The updated tenant.", with(&tenant, "status", json!("suspended"))),
        Operation::new("DELETE /v1/tenants/{tenantId}", "delete-tenant", "Delete a tenant")
            .more("Stops all activity of the tenant and erases its data keys, which makes its encrypted data unreadable. This is done when `deletion.dataKeysErasedAt` is set in `GET /v1/tenants/{tenantId}`, normally before the response. The rest is deleted in the background.")
            .operator()
            .gives::<StatusOnly>(202, "The deletion has started.", json!({ "status": "deleting" })),
    ]
}

pub fn of_apps() -> Vec<Operation> {
    let app = json!({
        "appId": APP, "kind": "program", "name": "Front desk", "tenantId": TENANT, "role": null,
        "eventTypes": [], "numbers": [], "webhookUrl": "https://app.example/hooks", "apiKeyPrefix": "sgw_l4gjug7c2ndhmcop",
        "createdAt": "2026-11-21T23:25:21.488Z", "lastUsedAt": null,
    });
    let key = json!({
        "keyId": KEY, "apiKeyPrefix": "sgw_l4gjug7c2ndhmcop", "scopes": ["sms:read"], "allowedIps": ["192.0.2.0/24"],
        "createdAt": "2026-11-21T23:25:21.488Z", "expiresAt": "2030-01-01T00:00:00.000Z",
    });
    let shown = with(&with(&key, "isMain", json!(false)), "lastUsedAt", Value::Null);
    vec![
        Operation::new("POST /v1/apps/register", "register-app", "Register an app")
            .more("The first key of an app has all scopes.")
            .scopes(APPS)
            .operator()
            .takes::<routes::register_app::RegisterAppRequest>(
                json!({ "name": "Front desk", "tenantId": TENANT, "webhookUrl": "https://app.example/hooks" }),
            )
            .gives::<Registered<'_>>(
                201,
                "The app, with its API key and webhook secret, which are shown only once.",
                json!({
                    "appId": APP, "name": "Front desk", "apiKey": "sgw_l4gjug7c2ndhmcop…",
                    "apiKeyPrefix": "sgw_l4gjug7c2ndhmcop", "webhookSecret": "whsec_…", "role": null, "tenantId": TENANT,
                }),
            ),
        Operation::new("GET /v1/apps", "list-apps", "List apps").scopes(APPS).pages().gives::<Apps<'_>>(
            200,
            "The apps, sorted by id.",
            json!({ "apps": [app], "nextCursor": null }),
        ),
        Operation::new("GET /v1/apps/{appId}", "get-app", "Get an app")
            .more("A key without `apps:manage` can get its own app only.")
            .scopes(APPS)
            .gives::<AppView<'_>>(200, "The app.", app.clone()),
        Operation::new("PUT /v1/apps/{appId}", "update-app", "Update an app")
            .more("Absent fields do not change; `null` removes `webhookUrl` or `role`. Setting `webhookUrl`, even to the same URL, enables it again if it was disabled.")
            .scopes(APPS)
            .takes::<routes::update_app::UpdateAppRequest>(json!({ "webhookUrl": "https://app.example/hooks" }))
            .gives::<ChangedApp<'_>>(200, "The updated app, with `replay` if its webhook URL was disabled before.", app),
        Operation::new("DELETE /v1/apps/{appId}", "delete-app", "Delete an app")
            .scopes(APPS)
            .gives_ok("The app is deleted. Its keys are rejected immediately; `POST /v1/sms/send` can accept them for ten more seconds."),
        Operation::new("POST /v1/apps/{appId}/rotate-key", "rotate-key", "Rotate an API key")
            .scopes(APPS)
            .may_take::<routes::rotate_key::RotateKeyRequest>(json!({ "overlapSeconds": 600 }))
            .gives::<RotatedKey<'_>>(
                200,
                "The new key, which is shown only once.",
                json!({ "apiKey": "sgw_l4gjug7c2ndhmcop…", "apiKeyPrefix": "sgw_l4gjug7c2ndhmcop" }),
            ),
        Operation::new("POST /v1/apps/{appId}/rotate-webhook-secret", "rotate-webhook-secret", "Rotate a webhook secret")
            .more("Events are signed with the new secret and, for 24 hours, with the replaced one too. At most three replaced secrets are valid at a time.")
            .scopes(APPS)
            .gives::<RotatedSecret<'_>>(
                200,
                "The new secret, which is shown only once.",
                json!({ "webhookSecret": "whsec_…", "previousExpiresAt": "2026-11-22T23:25:21.488Z" }),
            ),
        Operation::new("POST /v1/apps/{appId}/keys", "create-key", "Create an API key")
            .scopes(APPS)
            .takes::<routes::create_key::CreateKeyRequest>(
                json!({ "scopes": ["sms:read"], "expiresAt": "2030-01-01T00:00:00Z", "allowedIps": ["192.0.2.0/24"] }),
            )
            .gives::<NewKey<'_>>(
                201,
                "The key, which is shown only once.",
                with(&key, "apiKey", json!("sgw_l4gjug7c2ndhmcop…")),
            ),
        Operation::new("GET /v1/apps/{appId}/keys", "list-keys", "List API keys")
            .scopes(APPS)
            .gives::<Keys>(200, "The keys that have not expired, oldest first.", json!({ "keys": [shown] })),
        Operation::new("DELETE /v1/apps/{appId}/keys/{keyId}", "delete-key", "Delete an API key")
            .scopes(APPS)
            .gives_ok("The key is rejected immediately; `POST /v1/sms/send` can accept it for ten more seconds."),
        Operation::new("GET /v1/audit", "list-audit-log", "List audit log entries")
            .more("A tenant gets its own entries. The operator gets the entries of all tenants, or of one tenant with `tenantId`.")
            .scopes(APPS)
            .operator()
            .pages()
            .asks(
                "tenantId",
                "Only entries of this tenant; operator only.",
                json!({ "type": "string", "pattern": "^tenant_[0-9a-f]{16}$" }),
            )
            .gives::<AuditLog<'_>>(200, "The entries, newest first.", audit()),
    ]
}

fn audit() -> Value {
    json!({ "entries": [{
        "id": "aud_0199c2f4d7b81c3e5a6f7089b1c2", "at": "2026-11-21T23:25:21.488Z", "actor": { "type": "key", "keyId": KEY },
        "action": "app.changed", "tenantId": TENANT, "subject": APP, "fields": ["webhookUrl"],
        "sourceIp": "192.0.2.7", "requestId": "8f14e45f-ceea-467a-9d3c-1b2f3a4c5d6e",
    }], "nextCursor": null })
}

fn with(value: &Value, field: &str, what: Value) -> Value {
    let mut value = value.clone();
    value[field] = what;
    value
}
