//! The facts of this route.

use shared::http::route::Route;
use shared::views::Health;

pub const ROUTE: Route = Route::new("GET /health/ready", "Check readiness")
    .description("Responds once all tables and the encryption key were reached.")
    .response::<Health>(200, "All tables and the encryption key are available.", r#"{ "status": "ok" }"#)
    .errors(&["unavailable"]);
