//! What happened, and how apps are told of it.

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
        Operation::new("GET /v1/events", "list-events", "What happened")
            .more("For programs that ask instead of being told. The cursor of an answer, given with the next call, shows what has happened since.")
            .scopes(READ)
            .pages()
            .gives::<Events>(200, "The oldest first; the cursor is there even if nothing has happened.", events()),
        Operation::new("POST /v1/apps/{appId}/test-webhook", "test-webhook", "Sends a test event to an app's address")
            .scopes(APPS)
            .gives::<TestedView>(
                200,
                "What the address answered, whatever it is.",
                json!({ "delivered": true, "statusCode": 200, "durationMs": 48, "error": null, "body": "ok" }),
            ),
        Operation::new("GET /v1/apps/{appId}/deliveries", "list-deliveries", "What an app was told")
            .scopes(APPS)
            .pages()
            .asks("status", "Of one status.", json!({ "type": "string", "enum": statuses }))
            .asks("type", "Of one type of event.", json!({ "type": "string" }))
            .asks("from", "Since then.", time())
            .asks("to", "Until then.", time())
            .gives::<Deliveries<'_>>(
                200,
                "The newest first, and what is known of the address.",
                json!({
                    "deliveries": [delivery()],
                    "endpoint": { "status": "ok", "failingSince": null, "disabledAt": null },
                    "nextCursor": null,
                }),
            ),
        Operation::new("POST /v1/apps/{appId}/deliveries/{deliveryId}/replay", "replay-delivery", "Retries a delivery")
            .more("The event and its id are the same as before.")
            .scopes(APPS)
            .gives::<DeliveryView<'_>>(202, "The delivery as it is now; one that is pending stays as it is.", delivery()),
        Operation::new("POST /v1/apps/{appId}/replay", "replay-deliveries", "Retries all deliveries in a time range")
            .more("Those that are held, unless `status` says otherwise; the newest first.")
            .scopes(APPS)
            .takes::<routes::replay_deliveries::ReplayDeliveriesRequest>(json!({ "from": "2026-11-21T00:00:00Z", "status": "failed" }))
            .gives::<Replayed>(202, "How many; `to` tells where to go on if there are more.", json!({ "replayed": 3 })),
        Operation::new("POST /v1/triggers/sms-received/subscribe", "create-trigger", "Subscribes a flow of Power Automate")
            .more("It is called with each text that comes in. Among the apps it has the kind `trigger`.")
            .scopes(APPS)
            .takes::<routes::create_trigger::CreateTriggerRequest>(
                json!({ "callbackUrl": "https://flows.example.com/run", "phoneNumber": "+14155550100" }),
            )
            .gives::<NewTrigger>(
                201,
                "Subscribed; `Location` is the address where DELETE ends it.",
                json!({ "id": "app_9c1e5d20b7f3a468" }),
            ),
        Operation::new("DELETE /v1/triggers/sms-received/subscribe/{id}", "delete-trigger", "Ends a flow's subscription")
            .scopes(APPS)
            .gives_ok("The flow is called no more."),
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
