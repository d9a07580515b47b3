//! The facts of this route.

use shared::http::route::Route;
use shared::views::app_check::AppCheckView;

pub const ROUTE: Route = Route::new("POST /v1/checks/ringcentral", "Check the RingCentral app")
    .description(
        "Checks the client ID and secret of the RingCentral app and its redirect URI, as far as RingCentral allows that without a \
         user. A check uses two of the calls that RingCentral allows for sign-ins; three checks a minute are made.",
    )
    .operator_only()
    .response::<AppCheckView<'static>>(
        200,
        "The findings.",
        r#"{
          "clientId": "kT9x2Qw", "findings": [
            { "advice": null, "check": "credentials", "code": null, "detail": "RingCentral accepts the client ID and secret", "status": "passed" },
            { "advice": null, "check": "redirect_uri", "code": null, "detail": "RingCentral accepts the redirect URI", "status": "passed" },
            {
              "advice": "Connect an extension: GET /v1/rc/extensions then shows which permission is missing.", "check": "permissions",
              "code": null, "detail": "RingCentral reports the permissions of an app only to a signed-in user", "status": "unknown"
            }
          ],
          "redirectUri": "https://sms.example.com/v1/rc/callback", "server": "https://platform.ringcentral.com"
        }"#,
    );
