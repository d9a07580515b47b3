//! The facts of this route.

use shared::http::route::Route;
use shared::views::StatusOnly;

pub const ROUTE: Route = Route::new("GET /health", "Check health").response::<StatusOnly>(
    200,
    "The service is running.",
    r#"{ "status": "ok" }"#,
);
