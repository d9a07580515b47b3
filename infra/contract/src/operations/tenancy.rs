//! Tenants, apps, keys, and who did what.

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
        Operation::new("POST /v1/tenants", "create-tenant", "Creates a tenant")
            .more("It has no key yet: register an app for one.")
            .operator()
            .takes::<routes::create_tenant::CreateTenantRequest>(json!({ "name": "Acme", "limits": { "requestsPerMinute": 100 } }))
            .gives::<TenantView<'_>>(201, "The tenant.", tenant.clone()),
        Operation::new("GET /v1/tenants", "list-tenants", "The tenants")
            .operator()
            .pages()
            .gives::<Tenants<'_>>(200, "The newest first.", json!({ "tenants": [tenant], "nextCursor": null })),
        Operation::new("GET /v1/tenants/{tenantId}", "get-tenant", "A tenant")
            .operator()
            .gives::<TenantView<'_>>(200, "The tenant, and how far its deletion has come.", tenant.clone()),
        Operation::new("PATCH /v1/tenants/{tenantId}", "update-tenant", "Renames, limits, suspends or resumes a tenant")
            .more("While a tenant is suspended its keys are refused, and its texts that wait to be sent fail: resuming does not bring them back.")
            .operator()
            .takes::<routes::update_tenant::UpdateTenantRequest>(json!({ "status": "suspended" }))
            .gives::<TenantView<'_>>(200, "The tenant as it is now.", with(&tenant, "status", json!("suspended"))),
        Operation::new("DELETE /v1/tenants/{tenantId}", "delete-tenant", "Deletes a tenant")
            .more("Everything of it stops. What was sealed for it is erased with its data keys: when `deletion.dataKeysErasedAt` is set in `GET /v1/tenants/{tenantId}`, normally before the answer. The rest goes in the background.")
            .operator()
            .gives::<StatusOnly>(202, "It is going.", json!({ "status": "deleting" })),
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
        Operation::new("POST /v1/apps/register", "register-app", "Registers an app")
            .more("Its first key has all scopes.")
            .scopes(APPS)
            .operator()
            .takes::<routes::register_app::RegisterAppRequest>(
                json!({ "name": "Front desk", "tenantId": TENANT, "webhookUrl": "https://app.example/hooks" }),
            )
            .gives::<Registered<'_>>(
                201,
                "The app, with its key and its webhook secret, which are shown this once.",
                json!({
                    "appId": APP, "name": "Front desk", "apiKey": "sgw_l4gjug7c2ndhmcop…",
                    "apiKeyPrefix": "sgw_l4gjug7c2ndhmcop", "webhookSecret": "whsec_…", "role": null, "tenantId": TENANT,
                }),
            ),
        Operation::new("GET /v1/apps", "list-apps", "The tenant's apps").scopes(APPS).pages().gives::<Apps<'_>>(
            200,
            "In the order of their ids.",
            json!({ "apps": [app], "nextCursor": null }),
        ),
        Operation::new("GET /v1/apps/{appId}", "get-app", "An app")
            .more("A key without `apps:manage` may look at its own app.")
            .scopes(APPS)
            .gives::<AppView<'_>>(200, "The app.", app.clone()),
        Operation::new("PUT /v1/apps/{appId}", "update-app", "Changes an app")
            .more("An absent field stays as it is; `null` takes `webhookUrl` or `role` away. A `webhookUrl`, even the same, is switched on again if it was switched off.")
            .scopes(APPS)
            .takes::<routes::update_app::UpdateAppRequest>(json!({ "webhookUrl": "https://app.example/hooks" }))
            .gives::<ChangedApp<'_>>(200, "The app as it is now; with `replay` if its address was switched off until now.", app),
        Operation::new("DELETE /v1/apps/{appId}", "delete-app", "Deletes an app")
            .scopes(APPS)
            .gives_ok("It is gone. Its keys are refused at once; `POST /v1/sms/send` may still accept one for ten seconds."),
        Operation::new("POST /v1/apps/{appId}/rotate-key", "rotate-key", "Replaces an app's main key")
            .scopes(APPS)
            .may_take::<routes::rotate_key::RotateKeyRequest>(json!({ "overlapSeconds": 600 }))
            .gives::<RotatedKey<'_>>(
                200,
                "The new key, which is shown this once.",
                json!({ "apiKey": "sgw_l4gjug7c2ndhmcop…", "apiKeyPrefix": "sgw_l4gjug7c2ndhmcop" }),
            ),
        Operation::new("POST /v1/apps/{appId}/rotate-webhook-secret", "rotate-webhook-secret", "Replaces an app's webhook secret")
            .more("Each replaced one signs along for a day; up to three may.")
            .scopes(APPS)
            .gives::<RotatedSecret<'_>>(
                200,
                "The new secret, which is shown this once.",
                json!({ "webhookSecret": "whsec_…", "previousExpiresAt": "2026-11-22T23:25:21.488Z" }),
            ),
        Operation::new("POST /v1/apps/{appId}/keys", "create-key", "Makes a further key")
            .scopes(APPS)
            .takes::<routes::create_key::CreateKeyRequest>(
                json!({ "scopes": ["sms:read"], "expiresAt": "2030-01-01T00:00:00Z", "allowedIps": ["192.0.2.0/24"] }),
            )
            .gives::<NewKey<'_>>(
                201,
                "The key, which is shown this once.",
                with(&key, "apiKey", json!("sgw_l4gjug7c2ndhmcop…")),
            ),
        Operation::new("GET /v1/apps/{appId}/keys", "list-keys", "An app's keys")
            .scopes(APPS)
            .gives::<Keys>(200, "The oldest first; those that have ended are left out.", json!({ "keys": [shown] })),
        Operation::new("DELETE /v1/apps/{appId}/keys/{keyId}", "delete-key", "Revokes a key")
            .scopes(APPS)
            .gives_ok("It is refused at once; `POST /v1/sms/send` may still accept it for ten seconds."),
        Operation::new("GET /v1/audit", "list-audit-log", "Who did what")
            .more("The operator sees everybody's; with `tenantId`, one tenant's. A tenant sees its own.")
            .scopes(APPS)
            .operator()
            .pages()
            .asks(
                "tenantId",
                "For the operator: of one tenant.",
                json!({ "type": "string", "pattern": "^tenant_[0-9a-f]{16}$" }),
            )
            .gives::<AuditLog<'_>>(200, "The newest first.", audit()),
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
