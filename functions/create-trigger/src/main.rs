//! `POST /v1/triggers/sms-received/subscribe`: subscribes a Power Automate flow to inbound messages.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::registration::{self, TriggerSpec};
use shared::views::tenancy::NewTrigger;
use shared::{auth, run};

use route::{CreateTriggerRequest, ROUTE};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 201 with `{id}`, and in `Location` the URL to unsubscribe with DELETE, without a key.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let body: CreateTriggerRequest = http::json(&request)?;
    let spec = TriggerSpec {
        callback_url: registration::callback_url(&gateway.config, body.callback_url)?,
        number: registration::trigger_number(body.phone_number.as_deref())?,
    };
    let (trigger, token) =
        registration::create_trigger(gateway, caller.audit(), caller.tenant_id(), spec).await?;
    let at = gateway.config.trigger_url(&trigger.id, &token);
    http::created(&at, &NewTrigger::from(&trigger))
}
