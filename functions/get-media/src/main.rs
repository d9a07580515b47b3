//! `GET /v1/media/{mediaId}`: redirects to a file.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::model::media::MediaId;
use shared::{auth, media, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 302 to a URL at which anyone can download the file for five minutes; 409 before it is stored, 410 afterwards.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = http::path_id(&request, "mediaId", MediaId::parse)?;
    http::found(&media::download_url(gateway, caller.tenant_id(), &id).await?)
}
