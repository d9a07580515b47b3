//! `POST /v1/sms/preview`: shows how a text would be sent, without sending it.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::media::{self, MediaReferences};
use shared::model::text;
use shared::views::messages::Preview;
use shared::{auth, run, sending};

use route::{PreviewSmsRequest, ROUTE};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{kind, encoding, segments, parts, ucs2Characters}`, and `media` if there are files.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let request: PreviewSmsRequest = http::json(&request)?;
    let references = MediaReferences::parse(request.media_urls, request.media_ids)?;
    let body = sending::validate_body(request.body, &references)?;
    let media = if references.is_empty() {
        None
    } else {
        let resolved = media::resolve(gateway, caller.tenant_id(), &references).await;
        Some(http::media_preview(&references, resolved)?)
    };
    Ok(http::reply(StatusCode::OK, &Preview::of(&body, &text::split(&body), media)))
}
