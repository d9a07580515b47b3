//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;

pub const ROUTE: Route = Route::new("DELETE /v1/apps/{appId}/keys/{keyId}", "Delete an API key")
    .description("Revokes the key.")
    .key_with(&[Scope::AppsManage])
    .ok_response("The key is rejected immediately; `POST /v1/sms/send` can accept it for ten more seconds.")
    .errors(&["invalid_id", "not_found"]);
