//! The facts of this route.

use shared::http::route::Route;
use shared::views::quarantine::QuarantineContent;

pub const ROUTE: Route = Route::new("GET /v1/quarantine/{recordId}", "Get a quarantined record")
    .description("Returns the record as it came. It may contain phone numbers and message texts of a tenant.")
    .operator_only()
    .response::<QuarantineContent<'static>>(
        200,
        "The record with its content.",
        r#"{
          "encoding": "utf-8", "id": "qr_5f0c9a1be2d344763a9f0c52d7e81b6644c0f2aa",
          "kind": "message_record", "raw": "{\"id\":{},\"direction\":\"Inbound\"}",
          "reason": "the field id cannot be read", "receivedAt": "2026-11-21T23:25:21.488Z",
          "tenantId": "tenant_5f0c9a1be2d34476", "truncated": false
        }"#,
    )
    .errors(&["invalid_id", "not_found"]);
