//! The facts of this route.

use shared::http::route::{Parameter, Route, text};
use shared::model::app::Scope;

pub const ROUTE: Route =
    Route::new("DELETE /v1/triggers/sms-received/subscribe/{id}", "Delete a Power Automate trigger")
        .description(
            "Ends the trigger. The flow receives no further messages. The URL in `Location` of the subscription has a token, \
             and works without a key.",
        )
        .key_with(&[Scope::TriggersManage])
        .query(&[Parameter::new("token", "The token of the trigger, instead of a key.", text)])
        .ok_response("The trigger is deleted.")
        .errors(&["invalid_id", "not_found"]);
