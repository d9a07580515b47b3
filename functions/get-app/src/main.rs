//! `GET /v1/apps/{appId}`: an app. A key that doesn't manage apps sees its own one only.

use shared::error::Error;
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::app::Scope;
use shared::views::tenancy::AppView;
use shared::{apps, auth, run};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 200 with the app; 404 if the tenant has no such app.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, &[]).await?;
    let id = apps::app_id(&http::path_parameter(&request, "appId"))?;
    if !caller.may(Scope::AppsManage) && caller.key().app != id {
        // Before anything is looked up, so that the answer tells nothing of what there is.
        return Err(Error::InsufficientScope);
    }
    let app = apps::find(gateway, caller.tenant_id(), &id).await?;
    let uses = gateway.store.last_uses(&[&id]).await?;
    Ok(http::reply(StatusCode::OK, &AppView::of(&app, uses.get(&id))))
}
