//! The facts of this route.

use shared::http::route::Route;

pub const ROUTE: Route = Route::new("DELETE /v1/quarantine/{recordId}", "Delete a quarantined record")
    .description("Deletes the record. If the same record is seen again, it is quarantined again.")
    .operator_only()
    .ok_response("The record is deleted.")
    .errors(&["invalid_id", "not_found"]);
