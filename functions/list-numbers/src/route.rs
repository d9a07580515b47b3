//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;
use shared::views::Numbers;

pub const ROUTE: Route = Route::new("GET /v1/rc/numbers", "List phone numbers")
    .description(
        "Returns the phone numbers that can send messages, and whether their extension is connected.",
    )
    .key_with(&[Scope::RcManage, Scope::SmsRead])
    .response::<Numbers<'static>>(
        200,
        "The SMS-capable numbers of connected extensions, then the other numbers of their \
         accounts.",
        r#"{
          "numbers": [{
            "connected": true, "extensionId": "62240010", "extensionName": "Front desk",
            "features": { "a2p": false, "international": false, "mms": true, "sms": true },
            "label": null, "phoneNumber": "+14155550100", "tenDlc": { "readiness": "ready" },
            "usageType": "DirectNumber"
          }]
        }"#,
    );
