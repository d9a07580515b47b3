//! `GET /v1/settings`: returns the settings of the tenant.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::views::settings::SettingsView;
use shared::{auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the settings, which were read with the tenant.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    Ok(http::reply(StatusCode::OK, &SettingsView::from(&caller.tenant().settings)))
}
