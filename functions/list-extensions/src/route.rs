//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;
use shared::views::Extensions;

pub const ROUTE: Route = Route::new("GET /v1/rc/extensions", "List extensions")
    .description("Returns the connected RingCentral extensions with their health.")
    .key_with(&[Scope::RcManage, Scope::SmsRead])
    .response::<Extensions<'static>>(
        200,
        "The extensions, in the order in which they were connected.",
        r#"{
          "extensions": [{
            "cause": null, "connectedAt": "2026-11-21T23:25:21.488Z", "extensionId": "62240010",
            "extensionNumber": "101", "lastError": null, "name": "Front desk", "nextAttemptAt": null,
            "numbers": ["+14155550100"], "rcAccountId": "500100",
            "setup": {
              "complete": true, "identity": "done", "numbers": "done", "subscription": "done"
            },
            "status": "active", "statusSince": null,
            "subscription": { "expiresAt": "2026-11-28T23:25:22.031Z", "status": "Active" }
          }]
        }"#,
    );
