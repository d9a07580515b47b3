//! `POST /v1/triggers/sms-received/subscribe`: subscribes a Power Automate flow to inbound messages.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::registration::{self, TriggerOrder};
use shared::views::tenancy::NewTrigger;
use shared::{auth, run};

use route::{CreateTriggerRequest, ROUTE};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, handle)
}

/// 201 with `{id}`, and in `Location` the URL to unsubscribe with DELETE.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let order: CreateTriggerRequest = http::json(&request)?;
    let order = TriggerOrder {
        callback_url: registration::callback_url(&gateway.config, order.callback_url)?,
        number: registration::trigger_number(order.phone_number.as_deref())?,
    };
    let trigger = registration::create_trigger(gateway, caller.by(), caller.tenant_id(), order).await?;
    let at = format!("{}/v1/triggers/sms-received/subscribe/{}", gateway.config.public_url, trigger.id);
    http::created(&at, &NewTrigger::from(&trigger))
}
