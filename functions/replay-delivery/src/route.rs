//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;
use shared::views::deliveries::DeliveryView;

pub const ROUTE: Route =
    Route::new("POST /v1/apps/{appId}/deliveries/{deliveryId}/replay", "Replay a delivery")
        .description("Sends the event again, with the same event id.")
        .key_with(&[Scope::AppsManage])
        .no_fields()
        .response::<DeliveryView<'static>>(
            202,
            "The delivery. A pending delivery does not change.",
            r#"{
          "attempts": 1, "createdAt": "2026-11-21T23:25:21.488Z",
          "eventId": "evt_0199c2f4d7b81c3e5a6f7089b1c2", "id": "dlv_0199c2f4d7b81c3e5a6f7089b1c2",
          "lastDurationMs": 48, "lastError": null, "lastStatusCode": 200, "nextAttemptAt": null,
          "status": "delivered", "type": "rc_connected"
        }"#,
        )
        .errors(&["invalid_id", "not_found"]);
