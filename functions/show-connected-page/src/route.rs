//! The facts of this route.

use shared::http::route::{ResponseBody, Route};

pub const ROUTE: Route = Route::new("GET /v1/rc/connected", "Show the success page")
    .description("The browser is redirected here after an extension was connected.")
    .for_browsers()
    .other_response(200, "An HTML page.", ResponseBody::HtmlPage);
