//! `POST /v1/sms/send`: accepts a text, once for each idempotency key. From the 202 on it is never lost.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use shared::auth;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::sending::{self, SendRequest};
use shared::views::messages::ReceiptView;

/// 202 with `{messageId, status, segments}`; 400 or 409 for a sender that can't send; 422 for a key of another request.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::recent_caller(gateway, &request, &[Scope::SmsSend]).await?;
    let asked: SendRequest = http::json(&request)?;
    let order = asked.check(http::idempotency_key(&request)?.as_deref())?;
    let receipt = sending::accept(gateway, caller.tenant_id(), order).await?;
    Ok(http::reply(StatusCode::ACCEPTED, &ReceiptView::from(&receipt)))
}
