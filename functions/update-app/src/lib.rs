//! `PUT /v1/apps/{appId}`: changes an app's name, webhook address or role. An absent field stays as it is, `null` takes
//! address or role away.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use serde::Deserialize;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::store::AppChange;
use shared::views::tenancy::AppView;
use shared::{apps, auth, registration};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Order {
    name: Option<String>,
    #[serde(default, deserialize_with = "http::present")]
    webhook_url: Option<Option<String>>,
    #[serde(default, deserialize_with = "http::present")]
    role: Option<Option<String>>,
}

/// 200 with the app as it is now.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::AppsManage]).await?;
    let id = apps::app_id(&http::path_parameter(&request, "appId"))?;
    let order: Order = http::json(&request)?;
    let url = |url| registration::webhook_url(&gateway.config, url);
    let change = AppChange {
        name: order.name.map(|name| registration::name(Some(&name))).transpose()?,
        webhook_url: order.webhook_url.map(url).transpose()?,
        role: order.role.map(registration::role).transpose()?,
    };
    let app = apps::change(gateway, caller.by(), caller.tenant_id(), &id, &change).await?;
    let uses = gateway.store.last_uses(&[&id]).await?;
    Ok(http::reply(StatusCode::OK, &AppView::of(&app, uses.get(&id))))
}
