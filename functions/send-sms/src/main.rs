//! `POST /v1/sms/send`: accepts a text, once for each idempotency key. From the 202 on it is never lost.

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::app::Scope;
use shared::sending::{self, SendRequest};
use shared::views::messages::ReceiptView;
use shared::{auth, run};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 202 with `{messageId, status, segments}`; 400 or 409 for a sender that can't send; 422 for a key of another request.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::recent_caller(gateway, &request, &[Scope::SmsSend]).await?;
    let asked: SendRequest = http::json(&request)?;
    let order = asked.check(http::idempotency_key(&request)?.as_deref())?;
    let receipt = sending::accept(gateway, caller.tenant_id(), order).await?;
    Ok(http::reply(StatusCode::ACCEPTED, &ReceiptView::from(&receipt)))
}
