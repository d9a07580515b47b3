//! `POST /v1/media`: creates an upload.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::media::{self, UploadRequest};
use shared::views::media::UploadView;
use shared::{auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 201 with `{mediaId, uploadUrl, uploadHeaders, expiresAt, mediaExpiresAt}`.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let upload: UploadRequest = http::json(&request)?;
    let created = media::create_upload(gateway, caller.tenant_id(), upload).await?;
    Ok(http::reply(StatusCode::CREATED, &UploadView::from(&created)))
}
