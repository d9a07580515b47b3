//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;
use shared::views::deliveries::TestedView;

pub const ROUTE: Route = Route::new("POST /v1/apps/{appId}/test-webhook", "Send a test event")
    .description("Sends the event `test` to the webhook URL of the app, once, and returns the response. It is not in the delivery log.")
    .key_with(&[Scope::AppsManage])
    .no_fields()
    .response::<TestedView>(
        200,
        "The response of the webhook URL, successful or not.",
        r#"{
          "body": "ok", "delivered": true, "durationMs": 48, "error": null, "statusCode": 200
        }"#,
    )
    .errors(&["invalid_id", "not_found", "no_webhook_url"]);
