//! The facts of this route.

use shared::http::route::{Parameter, Route, pattern};
use shared::model::app::Scope;
use shared::views::tenancy::AuditLog;

pub const ROUTE: Route = Route::new("GET /v1/audit", "List audit log entries")
    .description(
        "A tenant gets its own entries. The operator gets the entries of all tenants, or of one \
         tenant with `tenantId`.",
    )
    .key_with(&[Scope::AppsManage])
    .or_operator()
    .list()
    .query(&[Parameter::new("tenantId", "Only entries of this tenant; operator only.", || {
        pattern("^tenant_[0-9a-f]{16}$")
    })])
    .response::<AuditLog<'static>>(
        200,
        "The entries, newest first.",
        r#"{
          "entries": [{
            "action": "app.changed", "actor": { "keyId": "key_91c04be7a3f25d86", "type": "key" },
            "at": "2026-11-21T23:25:21.488Z", "fields": ["webhookUrl"],
            "id": "aud_0199c2f4d7b81c3e5a6f7089b1c2",
            "requestId": "8f14e45f-ceea-467a-9d3c-1b2f3a4c5d6e", "sourceIp": "192.0.2.7",
            "subject": "app_0b9e3c57d1a24f68", "tenantId": "tenant_5f0c9a1be2d34476"
          }],
          "nextCursor": null
        }"#,
    )
    .errors(&["invalid_id", "invalid_query"]);
