//! The facts of this route.

use shared::http::route::{ResponseBody, Route};
use shared::model::app::Scope;

pub const ROUTE: Route = Route::new("GET /v1/media/{mediaId}", "Get a file")
    .description(
        "Redirects to a URL at which the file can be downloaded for five minutes, without a key. Do not send the key to that URL. \
         Files of messages are kept for a time that the operator sets, 90 days by default.",
    )
    .key_with(&[Scope::SmsRead])
    .other_response(302, "The file, at another host.", ResponseBody::Redirect)
    .errors(&["invalid_id", "not_found", "media_pending", "media_gone"]);
