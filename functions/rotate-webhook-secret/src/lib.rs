//! `POST /v1/apps/{appId}/rotate-webhook-secret`: replaces the secret that signs an app's webhooks. Both sign for a day,
//! so that the receiver can change over without losing one.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::views::iso;
use shared::views::tenancy::RotatedSecret;
use shared::{apps, auth};

/// 200 with the new secret, which is shown this once.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::AppsManage]).await?;
    let id = apps::app_id(&http::path_parameter(&request, "appId"))?;
    let (secret, ends) = apps::rotate_webhook_secret(gateway, caller.by(), caller.tenant_id(), &id).await?;
    let answer = RotatedSecret { webhook_secret: secret.expose(), previous_expires_at: iso(ends) };
    Ok(http::reply(StatusCode::OK, &answer))
}
