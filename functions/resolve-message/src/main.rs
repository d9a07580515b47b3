//! `POST /v1/sms/{messageId}/resolve`: what is to become of a message whose fate is unknown.

mod route;

use shared::error::Error;
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::app::Scope;
use shared::views::messages::MessageView;
use shared::{auth, run, sending};

use route::ResolveMessageRequest;

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 200 with the message; 409 if its fate is known, or still being looked for.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, &[Scope::SmsSend]).await?;
    let id = sending::message_id(&http::path_parameter(&request, "messageId"))?;
    let resend = match http::json::<ResolveMessageRequest>(&request)?.action.as_deref() {
        Some("resend") => true,
        Some("drop") => false,
        Some(_) => {
            return Err(Error::InvalidField {
                text: "action must be resend or drop".into(),
                field: "action",
            });
        }
        None => return Err(Error::MissingField { text: "action is required", field: "action" }),
    };
    let message = sending::resolve(gateway, caller.tenant_id(), &id, resend).await?;
    Ok(http::reply(StatusCode::OK, &MessageView::of(&message)))
}
