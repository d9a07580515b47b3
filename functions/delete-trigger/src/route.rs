//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;

pub const ROUTE: Route =
    Route::new("DELETE /v1/triggers/sms-received/subscribe/{id}", "Delete a Power Automate trigger")
        .description("Ends the trigger. The flow receives no further messages.")
        .key_with(&[Scope::AppsManage])
        .ok_response("The trigger is deleted.")
        .errors(&["invalid_id", "not_found"]);
