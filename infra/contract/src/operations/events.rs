//! Events, and their delivery to apps.

use serde_json::{Value, json};
use shared::model::app::Scope;
use shared::model::delivery::DeliveryStatus;
use shared::views::deliveries::{Deliveries, DeliveryView, Events, Replayed, TestedView};
use shared::views::tenancy::NewTrigger;

use crate::operation::Operation;
use crate::routes;

const APPS: &[Scope] = &[Scope::AppsManage];
const READ: &[Scope] = &[Scope::SmsRead];

pub fn operations() -> Vec<Operation> {
    let time = || json!({ "type": "string", "format": "date-time" });
    let statuses: Vec<_> = DeliveryStatus::ALL.iter().map(|status| status.as_str()).collect();
    vec![
        Operation::new("GET /v1/events", "list-events", "List events")
            .more("For clients that poll instead of receiving webhooks. Pass `nextCursor` with the next request to get the events since then.")
            .scopes(READ)
            .pages()
            .gives::<Events>(200, "The events, oldest first. `nextCursor` is present even if there are no events.", events()),
        Operation::new("POST /v1/apps/{appId}/test-webhook", "test-webhook", "Send a test event")
            .scopes(APPS)
            .gives::<TestedView>(
                200,
                "The response of the webhook URL, successful or not.",
                json!({ "delivered": true, "statusCode": 200, "durationMs": 48, "error": null, "body": "ok" }),
            ),
        Operation::new("GET /v1/apps/{appId}/deliveries", "list-deliveries", "List deliveries")
            .scopes(APPS)
            .pages()
            .asks("status", "Only deliveries with this status.", json!({ "type": "string", "enum": statuses }))
            .asks("type", "Only deliveries of events of this type.", json!({ "type": "string" }))
            .asks("from", "Only events at or after this time.", time())
            .asks("to", "Only events before this time.", time())
            .gives::<Deliveries<'_>>(
                200,
                "The deliveries, newest first, and the state of the webhook URL.",
                json!({
                    "deliveries": [delivery()],
                    "endpoint": { "status": "ok", "failingSince": null, "disabledAt": null },
                    "nextCursor": null,
                }),
            ),
        Operation::new("POST /v1/apps/{appId}/deliveries/{deliveryId}/replay", "replay-delivery", "Replay a delivery")
            .more("Sends the event again, with the same event id.")
            .scopes(APPS)
            .gives::<DeliveryView<'_>>(202, "The delivery. A pending delivery does not change.", delivery()),
        Operation::new("POST /v1/apps/{appId}/replay", "replay-deliveries", "Replay deliveries in a time range")
            .more("Sends the deliveries again that are `held`, or that have the given `status`, newest first.")
            .scopes(APPS)
            .takes::<routes::replay_deliveries::ReplayDeliveriesRequest>(json!({ "from": "2026-11-21T00:00:00Z", "status": "failed" }))
            .gives::<Replayed>(202, "The number of replayed deliveries. If there are more, `to` is the end of the range that is left.", json!({ "replayed": 3 })),
        Operation::new("POST /v1/triggers/sms-received/subscribe", "create-trigger", "Create a Power Automate trigger")
            .more("The callback URL receives each inbound message. In the list of apps, the trigger has the kind `trigger`.")
            .scopes(APPS)
            .takes::<routes::create_trigger::CreateTriggerRequest>(
                json!({ "callbackUrl": "https://flows.example.com/run", "phoneNumber": "+14155550100" }),
            )
            .gives::<NewTrigger>(
                201,
                "The trigger. Send DELETE to the URL in `Location` to end it.",
                json!({ "id": "app_9c1e5d20b7f3a468" }),
            ),
        Operation::new("DELETE /v1/triggers/sms-received/subscribe/{id}", "delete-trigger", "Delete a Power Automate trigger")
            .scopes(APPS)
            .gives_ok("The trigger is deleted."),
    ]
}

fn delivery() -> Value {
    json!({
        "id": "dlv_0199c2f4d7b81c3e5a6f7089b1c2", "eventId": "evt_0199c2f4d7b81c3e5a6f7089b1c2", "type": "rc_connected",
        "status": "delivered", "attempts": 1, "lastStatusCode": 200, "lastError": null, "lastDurationMs": 48,
        "createdAt": "2026-11-21T23:25:21.488Z", "nextAttemptAt": null,
    })
}

fn events() -> Value {
    json!({ "events": [{
        "id": "evt_0199c2f4d7b81c3e5a6f7089b1c2", "type": "rc_connected", "version": 1,
        "timestamp": "2026-11-21T23:25:21.488Z", "tenantId": "tenant_5f0c9a1be2d34476",
        "extensionId": "62240010", "rcAccountId": "500100", "status": "active", "cause": null,
    }], "nextCursor": "kWb0x1" })
}
