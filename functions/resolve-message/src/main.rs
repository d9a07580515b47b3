//! `POST /v1/sms/{messageId}/resolve`: resolves a message with an unknown outcome.

mod route;

use shared::error::Error;
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::ids::MessageId;
use shared::model::message::Resolution;
use shared::views::messages::MessageView;
use shared::{auth, run, sending};

use route::{ROUTE, ResolveMessageRequest};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the message; 409 if its outcome is known or still being reconciled.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = http::path_id(&request, "messageId", MessageId::parse)?;
    let action = http::json::<ResolveMessageRequest>(&request)?.action;
    let action = action.ok_or(Error::MissingField { text: "action is required", field: "action" })?;
    let invalid = || Error::InvalidField { text: "action must be resend or drop".into(), field: "action" };
    let resolution = Resolution::parse(&action).ok_or_else(invalid)?;
    let message = sending::resolve(gateway, caller.tenant_id(), &id, resolution).await?;
    Ok(http::reply(StatusCode::OK, &MessageView::of(&message, gateway.store.media_urls())))
}
