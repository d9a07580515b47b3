//! `GET /v1/sms/status/{messageId}`: returns a message.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::ids::MessageId;
use shared::views::messages::MessageView;
use shared::{auth, run, sending};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the message.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = http::path_id(&request, "messageId", MessageId::parse)?;
    let message = sending::find(gateway, caller.tenant_id(), &id).await?;
    Ok(http::reply(StatusCode::OK, &MessageView::of(&message, gateway.store.media_urls())))
}
