//! The facts of this route.

use serde_json::Value;
use shared::http::route::Route;

pub const ROUTE: Route = Route::new("GET /openapi.json", "Get the OpenAPI document").response::<Value>(
    200,
    "This document, OpenAPI 3.1.",
    r#"{ "openapi": "3.1.0" }"#,
);
