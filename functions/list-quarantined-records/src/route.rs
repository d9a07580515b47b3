//! The facts of this route.

use shared::http::route::{Parameter, Route, one_of};
use shared::model::quarantine::QuarantineKind;
use shared::views::quarantine::QuarantineList;

pub const ROUTE: Route = Route::new("GET /v1/quarantine", "List quarantined records")
    .description(
        "A record from RingCentral, or a row of a table, that cannot be read is kept as it came for \
         30 days. It does not affect other records.",
    )
    .operator_only()
    .list()
    .query(&[Parameter::new("kind", "Only records of this kind.", || {
        one_of(QuarantineKind::ALL.iter().map(|kind| kind.as_str()))
    })])
    .response::<QuarantineList<'static>>(
        200,
        "The records, newest first.",
        r#"{
          "nextCursor": null,
          "records": [{
            "id": "qr_5f0c9a1be2d344763a9f0c52d7e81b6644c0f2aa", "kind": "message_record",
            "reason": "the field id cannot be read", "receivedAt": "2026-11-21T23:25:21.488Z",
            "tenantId": "tenant_5f0c9a1be2d34476"
          }]
        }"#,
    )
    .errors(&["invalid_query"]);
