//! `POST /v1/triggers/sms-received/subscribe`: a flow of Power Automate wants to be told of texts that come in.

use lambda_http::Request;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::auth;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::limits;
use shared::model::app::Scope;
use shared::model::phone::E164;
use shared::registration::{self, TriggerOrder};
use shared::views::tenancy::NewTrigger;

/// The request's body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// Where the flow is called: an https address with a host name.
    #[schemars(required, length(min = 1, max = limits::URL_CHARS))]
    callback_url: Option<String>,
    /// Only of texts to this number, E.164. Default: of all.
    #[schemars(regex(pattern = E164::PATTERN))]
    phone_number: Option<String>,
}

/// 201 with `{id}`, and in `Location` the address where the subscription ends by DELETE.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::AppsManage]).await?;
    let order: Order = http::json(&request)?;
    let order = TriggerOrder {
        callback_url: registration::callback_url(&gateway.config, order.callback_url)?,
        number: registration::trigger_number(order.phone_number.as_deref())?,
    };
    let trigger = registration::create_trigger(gateway, caller.by(), caller.tenant_id(), order).await?;
    let at = format!("{}/v1/triggers/sms-received/subscribe/{}", gateway.config.public_url, trigger.id);
    http::created(&at, &NewTrigger::from(&trigger))
}
