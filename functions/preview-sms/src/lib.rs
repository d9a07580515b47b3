//! `POST /v1/sms/preview`: how a text would be sent. Nothing is sent.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::limits;
use shared::model::app::Scope;
use shared::model::text;
use shared::views::messages::Preview;
use shared::{auth, sending};

/// The request's body.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The text, as it would be sent.
    #[schemars(required, length(min = 1, max = limits::TEXT_UNITS))]
    body: Option<String>,
}

/// 200 with `{encoding, segments, parts, ucs2Characters}`.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    auth::caller(gateway, &request, &[Scope::SmsSend]).await?;
    let asked: Order = http::json(&request)?;
    let body = sending::checked_body(asked.body)?;
    Ok(http::reply(StatusCode::OK, &Preview::of(&body, &text::split(&body))))
}
