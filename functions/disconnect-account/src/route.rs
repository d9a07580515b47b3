//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;

pub const ROUTE: Route = Route::new("POST /v1/rc/disconnect", "Disconnect all extensions")
    .description("Disconnects all extensions of the tenant: revokes the access at RingCentral, and deletes the tokens, the webhook subscriptions and the phone numbers. Queued messages fail.")
    .key_with(&[Scope::RcManage])
    .ok_response("All extensions are disconnected. Succeeds as well if none was connected.");
