//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;

pub const ROUTE: Route = Route::new("DELETE /v1/apps/{appId}", "Delete an app")
    .description("Deletes the app with its keys. Deliveries that are not done yet fail.")
    .key_with(&[Scope::AppsManage])
    .ok_response(
        "The app is deleted. Its keys are rejected immediately; `POST /v1/sms/send` can accept \
         them for ten more seconds.",
    )
    .errors(&["invalid_id", "not_found"]);
