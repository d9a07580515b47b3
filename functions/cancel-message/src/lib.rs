//! `POST /v1/sms/{messageId}/cancel`: takes a message back that is queued or scheduled.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::views::messages::MessageView;
use shared::{auth, sending};

/// 200 with the message; 409 if it has come too far.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::SmsSend]).await?;
    let id = sending::message_id(&http::path_parameter(&request, "messageId"))?;
    http::no_fields(&request)?;
    let message = sending::cancel(gateway, caller.tenant_id(), &id).await?;
    Ok(http::reply(StatusCode::OK, &MessageView::of(&message)))
}
