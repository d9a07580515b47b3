//! The facts of this route.

use shared::http::route::Route;
use shared::views::StatusOnly;

pub const ROUTE: Route = Route::new("GET /health/ready", "Check readiness")
    .response::<StatusOnly>(200, "All tables and the encryption key are available.", r#"{ "status": "ok" }"#)
    .errors(&["unavailable"]);
