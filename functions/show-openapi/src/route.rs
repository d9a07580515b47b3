//! The facts of this route.

use serde_json::{Map, Value};
use shared::http::route::Route;

pub const ROUTE: Route = Route::new("GET /openapi.json", "Get the OpenAPI document")
    .description("Returns the OpenAPI document of this deployment.")
    .response::<Map<String, Value>>(200, "This document, OpenAPI 3.1.", r#"{ "openapi": "3.1.0" }"#);
