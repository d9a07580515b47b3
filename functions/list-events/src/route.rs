//! The facts of this route.

use shared::http::route::{Parameter, Route, date_time};
use shared::model::app::Scope;
use shared::views::events::Events;

pub const ROUTE: Route = Route::new("GET /v1/events", "List events")
    .description(
        "For clients that poll instead of receiving webhooks. Pass `nextCursor` with the next \
         request to get the events since then.",
    )
    .key_with(&[Scope::SmsRead])
    .list()
    .query(&[Parameter::new(
        "from",
        "Where a client without a cursor starts: only events since this time. Ignored with `cursor`.",
        date_time,
    )])
    .response::<Events>(
        200,
        "The events, oldest first. `nextCursor` is present even if there are no events.",
        r#"{
          "events": [{
            "cause": null, "extensionId": "62240010", "id": "evt_0199c2f4d7b81c3e5a6f7089b1c2",
            "rcAccountId": "500100", "status": "active", "tenantId": "tenant_5f0c9a1be2d34476",
            "timestamp": "2026-11-21T23:25:21.488Z", "type": "rc_connected", "version": 1
          }],
          "nextCursor": "kWb0x1"
        }"#,
    )
    .errors(&["invalid_query"]);
