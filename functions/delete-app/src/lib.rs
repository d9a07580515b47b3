//! `DELETE /v1/apps/{appId}`: deletes an app. All its keys are dead from then on.

use lambda_http::Request;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::{apps, auth};

/// 200 with `{"ok":true}`; 404 if the tenant has no such app.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::AppsManage]).await?;
    let id = apps::app_id(&http::path_parameter(&request, "appId"))?;
    apps::delete(gateway, caller.by(), caller.tenant_id(), &id).await?;
    Ok(http::ok())
}
