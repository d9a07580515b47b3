//! The facts of this route.

use shared::http::route::{HeadRoute, Parameter, ResponseBody, Route, some_text};

pub const ROUTE: Route = Route::new("GET /v1/rc/connect", "Show the confirmation page")
    .description("Does not consume the token, because mail scanners open every link.")
    .for_browsers()
    .query(&[Parameter::new("token", "The token of the link.", some_text)])
    .head(HeadRoute {
        key: "HEAD /v1/rc/connect",
        title: "Check a connect link",
        response: "The link is valid.",
    })
    .other_response(200, "An HTML page.", ResponseBody::HtmlPage)
    .errors(&["missing_field", "link_unknown", "link_expired", "link_used", "link_exhausted"]);
