//! `GET /v1/sms/status/{messageId}`: how far a message has come.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::views::messages::MessageView;
use shared::{auth, sending};

/// 200 with the message.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::SmsRead, Scope::SmsSend]).await?;
    let id = sending::message_id(&http::path_parameter(&request, "messageId"))?;
    let message = sending::find(gateway, caller.tenant_id(), &id).await?;
    Ok(http::reply(StatusCode::OK, &MessageView::of(&message)))
}
