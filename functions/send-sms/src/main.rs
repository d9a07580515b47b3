//! `POST /v1/sms/send`: accepts a message, once per idempotency key. From the 202 on it is not lost.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::sending::{self, SendRequest};
use shared::views::messages::ReceiptView;
use shared::{auth, run, span};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 202 with `{messageId, status, segments}`, and `sendAt`, `heldFor` and `warnings` where they apply; 400 or 409 for a number that cannot send; 422 for a key that another request
/// has used.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::recent_caller(gateway, &request, ROUTE.scopes).await?;
    let body: SendRequest = http::json(&request)?;
    let send = body.validate(http::idempotency_key(&request)?.as_deref())?;
    let receipt = sending::accept(gateway, caller.tenant(), send).await?;
    span::set_message(&receipt.message);
    Ok(http::reply(StatusCode::ACCEPTED, &ReceiptView::from(&receipt)))
}
