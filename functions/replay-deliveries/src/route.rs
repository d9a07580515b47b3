//! The facts of this route.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use shared::http::route::{Route, one_of_or_null};
use shared::model::app::Scope;
use shared::views::deliveries::ReplayView;

pub const ROUTE: Route = Route::new("POST /v1/apps/{appId}/replay", "Replay deliveries in a time range")
    .description(
        "Sends the deliveries again that are `held`, or that have the given `status`, newest \
         first.",
    )
    .key_with(&[Scope::AppsManage])
    .request::<ReplayDeliveriesRequest>(r#"{ "from": "2026-11-21T00:00:00Z", "status": "failed" }"#)
    .response::<ReplayView>(
        202,
        "The number of replayed deliveries. If there are more, `to` is the end of the range that \
         is left.",
        r#"{ "replayed": 3 }"#,
    )
    .errors(&["missing_field", "invalid_id", "invalid_field", "not_found"]);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayDeliveriesRequest {
    /// Deliveries of events at or after this time.
    #[schemars(required, extend("format" = "date-time"))]
    pub from: Option<String>,
    /// Deliveries of events before this time. Default: now.
    #[schemars(extend("format" = "date-time"))]
    pub to: Option<String>,
    /// Deliveries with this status: `held`, `failed` or `delivered`. Default: `held`.
    #[serde(default)]
    #[schemars(schema_with = "status")]
    pub status: Option<String>,
}

fn status(_: &mut SchemaGenerator) -> Schema {
    one_of_or_null(&["held", "failed", "delivered"])
}
