//! The facts of this route.

use shared::http::route::Route;
use shared::views::tenancy::DeletionStarted;

pub const ROUTE: Route = Route::new("DELETE /v1/tenants/{tenantId}", "Delete a tenant")
    .description(
        "Stops all activity of the tenant and erases its data keys, which makes its encrypted \
         data unreadable. This is done when `deletion.dataKeysErasedAt` is set in `GET \
         /v1/tenants/{tenantId}`, normally before the response. The rest is deleted in the \
         background.",
    )
    .operator_only()
    .response::<DeletionStarted>(202, "The deletion has started.", r#"{ "status": "deleting" }"#)
    .errors(&["invalid_id", "not_found"]);
