//! The facts of this route.

use shared::http::route::{Parameter, ResponseBody, Route, one_of, some_text, text};

pub const ROUTE: Route = Route::new("GET /v1/rc/callback", "Finish authorization")
    .description(
        "RingCentral redirects the browser here. Exchanges the code once, stores the tokens \
         encrypted, and discovers the phone numbers.",
    )
    .for_browsers()
    .query(&[
        Parameter::new("code", "The authorization code.", some_text),
        Parameter::new("state", "The state of the flow.", some_text),
        Parameter::new("error", "The OAuth error, if RingCentral returns no code.", text),
        Parameter::new("format", "`json` returns JSON instead of a redirect.", || one_of(["json"])),
    ])
    .ok_response("The extension is connected (`format=json`).")
    .other_response(303, "Redirects to the success page.", ResponseBody::Redirect)
    .errors(&[
        "missing_field",
        "invalid_state",
        "already_handled",
        "access_denied",
        "provider_error",
        "code_refused",
        "exchange_failed",
        "provider_misconfigured",
        "connected_elsewhere",
        "link_used",
        "link_exhausted",
        "tenant_suspended",
    ]);
