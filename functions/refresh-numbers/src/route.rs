//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;
use shared::views::Numbers;

pub const ROUTE: Route = Route::new("POST /v1/rc/numbers/refresh", "Refresh phone numbers")
    .description("Reads the phone numbers of all connected extensions from RingCentral again.")
    .key_with(&[Scope::RcManage])
    .response::<Numbers<'static>>(
        200,
        "The updated numbers.",
        r#"{
          "numbers": [{
            "connected": true, "extensionId": "62240010", "extensionName": "Front desk",
            "features": { "a2p": false, "international": false, "mms": true, "sms": true },
            "label": null, "phoneNumber": "+14155550100", "tenDlc": { "readiness": "ready" },
            "usageType": "DirectNumber"
          }]
        }"#,
    )
    .errors(&["sender_not_connected"]);
