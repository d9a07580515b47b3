//! The facts of this route.

use shared::http::route::{ResponseBody, Route};

pub const ROUTE: Route = Route::new("GET /docs", "Show the API reference")
    .description("Returns this API reference as an HTML page.")
    .other_response(200, "An HTML page.", ResponseBody::HtmlPage);
