//! The facts of this route.

use shared::http::route::Route;
use shared::views::Health;

pub const ROUTE: Route = Route::new("GET /health", "Check health")
    .description("Responds without reading anything.")
    .response::<Health>(200, "The service is running.", r#"{ "status": "ok" }"#);
