//! The facts of this route.

use shared::http::route::{Parameter, Route, date_time, one_of};
use shared::model::app::Scope;
use shared::model::delivery::DeliveryStatus;
use shared::model::event::EventKind;
use shared::views::deliveries::Deliveries;

pub const ROUTE: Route = Route::new("GET /v1/apps/{appId}/deliveries", "List deliveries")
    .description("Returns the delivery log of the app, which is kept for 30 days.")
    .key_with(&[Scope::AppsManage])
    .list()
    .query(&[
        Parameter::new("status", "Only deliveries with this status.", || {
            one_of(DeliveryStatus::ALL.iter().map(|status| status.as_str()))
        }),
        Parameter::new("type", "Only deliveries of events of this type.", || {
            one_of(EventKind::ALL.iter().map(|kind| kind.as_str()))
        }),
        Parameter::new("from", "Only events at or after this time.", date_time),
        Parameter::new("to", "Only events before this time.", date_time),
    ])
    .response::<Deliveries<'static>>(
        200,
        "The deliveries, newest first, and the state of the webhook URL.",
        r#"{
          "deliveries": [{
            "attempts": 1, "createdAt": "2026-11-21T23:25:21.488Z",
            "eventId": "evt_0199c2f4d7b81c3e5a6f7089b1c2", "id": "dlv_0199c2f4d7b81c3e5a6f7089b1c2",
            "lastDurationMs": 48, "lastError": null, "lastStatusCode": 200, "nextAttemptAt": null,
            "status": "delivered", "type": "rc_connected"
          }],
          "endpoint": { "disabledAt": null, "failingSince": null, "status": "ok" }, "nextCursor": null
        }"#,
    )
    .errors(&["invalid_id", "invalid_query", "not_found"]);
