//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;

pub const ROUTE: Route = Route::new("DELETE /v1/rc/extensions/{extensionId}", "Disconnect an extension")
    .description("Revokes the access at RingCentral, and deletes the tokens, the webhook subscription and the phone numbers of the extension. Its queued messages fail.")
    .key_with(&[Scope::RcManage])
    .ok_response("The extension is disconnected.")
    .errors(&["invalid_id", "not_found"]);
