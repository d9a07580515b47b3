//! The facts of this route.

use shared::http::route::Route;

pub const ROUTE: Route = Route::new("POST /v1/quarantine/{recordId}/retry", "Retry a quarantined record")
    .description(
        "Processes the record again, as if it had just arrived, and deletes it from the quarantine \
         if that succeeds. Useful after an upgrade that can read it.",
    )
    .operator_only()
    .ok_response("The record was processed, and is deleted from the quarantine.")
    .errors(&["invalid_id", "not_found", "record_unreadable"]);
