//! `POST /v1/sms/preview`: shows how a text would be sent, without sending it.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::text;
use shared::views::messages::Preview;
use shared::{auth, run, sending};

use route::{PreviewSmsRequest, ROUTE};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{encoding, segments, parts, ucs2Characters}`.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    auth::caller(gateway, &request, ROUTE.scopes).await?;
    let request: PreviewSmsRequest = http::json(&request)?;
    let body = sending::validate_body(request.body)?;
    Ok(http::reply(StatusCode::OK, &Preview::of(&body, &text::split(&body))))
}
