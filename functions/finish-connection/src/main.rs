//! `GET /v1/rc/callback`: RingCentral redirects the browser here. Exchanges the code, stores the tokens, and runs the
//! set-up as far as time allows.

mod route;

use std::time::Duration;

use shared::connect::{self, Callback, FlowError, StoredConnection};
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, RequestId};
use shared::model::audit::Actor;
use shared::model::connect_token::{BrowserKey, DONE_COOKIE, Flow};
use shared::{auth, keepalive, limits, pages, revocation, run, setup, tokens};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// What the callback responds with, by the query parameter `format`.
#[derive(Clone, Copy)]
enum Format {
    Html,
    Json,
}

/// 303 to the success page, so that code and state leave the address bar; an error page immediately.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let format = match http::query_parameter(&request, "format").as_deref() {
        Some("json") => Format::Json,
        _ => Format::Html,
    };
    let id = RequestId::from(&request);
    let deadline =
        tokens::invocation_deadline(gateway, http::deadline_ms(&request), limits::CALLBACK_FUNCTION_MS);
    let audit = auth::audit_context(&request, Actor::Browser);
    let callback = Callback {
        code: http::query_parameter(&request, "code").map(Into::into),
        state: http::query_parameter(&request, "state").map(Into::into),
        error: http::query_parameter(&request, "error"),
    };
    let (flow, key) = match connect::find_flow(gateway, &callback, http::cookies(&request)).await {
        Ok(found) => found,
        Err(error) => return reject(error, &id, format),
    };
    match connect::complete_flow(gateway, &audit, callback, &flow, &key, deadline).await {
        Ok(stored) => {
            follow_up(gateway, stored).await;
            redirect_to_success_page(&flow, format)
        }
        Err(error) => reject(error, &id, format),
    }
}

/// Runs the set-up, ends the replaced session and creates the keepalive schedule. The connection stays stored if any of
/// these fails; the list of extensions shows it, and the sweep retries it.
async fn follow_up(gateway: &Gateway, stored: StoredConnection) {
    let StoredConnection { connection, access, replaced } = stored;
    let within = Duration::from_millis(limits::SETUP_IN_CALLBACK_MS);
    let set_up = async {
        if let Err(error) = setup::run_setup(gateway, &connection, &access, within).await {
            http::note(&error, "set-up incomplete; the sweep continues it");
        }
    };
    let end_replaced = async {
        if let Some(old) = replaced {
            revocation::request(gateway, &old.tenant, &old.connection).await;
        }
    };
    tokio::join!(set_up, end_replaced, keepalive::create_schedule(gateway, &connection));
}

fn redirect_to_success_page(flow: &Flow, format: Format) -> HandlerResult {
    let mut response = match format {
        Format::Html => http::see_other("/v1/rc/connected")?,
        Format::Json => http::ok(),
    };
    http::set_cookie(&mut response, &BrowserKey::cookie_name(&flow.link), "", 0);
    http::set_cookie(&mut response, DONE_COOKIE, &flow.id, limits::DONE_PAGE_SECONDS);
    Ok(response)
}

fn reject(error: FlowError, id: &RequestId, format: Format) -> HandlerResult {
    match format {
        Format::Html => pages::error(error, id),
        Format::Json => pages::error_as_json(error, id),
    }
}
