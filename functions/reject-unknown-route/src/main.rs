//! `$default`: requests that match no route. A known path with another method is 405 with `Allow`, any other path 404 with a link to
//! the API reference. Makes no AWS call: anyone can cause such requests.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::IgnoredAny;
use shared::config::Config;
use shared::http::route::IdempotencyKey;
use shared::http::unknown_route::{self, RoutesByPath};
use shared::http::{self, HandlerResult, Request};
use shared::run;

/// The API reference has all routes. It is embedded at build time.
const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

#[derive(Deserialize)]
struct Document {
    paths: BTreeMap<String, BTreeMap<String, IgnoredAny>>,
}

static ROUTES: LazyLock<RoutesByPath> = LazyLock::new(|| {
    let document: Document = serde_json::from_str(DOCUMENT).expect("the embedded document is OpenAPI");
    let methods =
        |methods: BTreeMap<String, IgnoredAny>| methods.keys().map(|method| method.to_uppercase()).collect();
    document.paths.into_iter().map(|(path, operations)| (path, methods(operations))).collect()
});

fn main() -> run::ProcessResult {
    run::offline_http("$default", IdempotencyKey::Ignored, handle)
}

async fn handle(config: &Config, request: Request) -> HandlerResult {
    let docs = format!("{}/docs", config.public_url);
    Err(unknown_route::rejection(&ROUTES, http::path(&request), &docs))
}
