//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;
use shared::views::ConnectionSummary;

pub const ROUTE: Route = Route::new("GET /v1/rc/status", "Get the connection status")
    .description("Returns whether messages can be sent and received.")
    .key_with(&[Scope::RcManage, Scope::SmsRead])
    .response::<ConnectionSummary>(
        200,
        "Whether an extension is connected. If so, the account of the extension that was \
         connected first and the expiry of its access token.",
        r#"{
          "connected": true, "expiresAt": "2026-11-22T00:25:21.488Z", "rcAccountId": "500100"
        }"#,
    );
