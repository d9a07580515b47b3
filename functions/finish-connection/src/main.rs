//! `GET /v1/rc/callback`: RingCentral sends the browser back. The code is exchanged, the tokens are stored, and what
//! comes after is done as far as time allows.

use std::time::Duration;

use shared::connect::{self, Arrival, Callback, Stop};
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, RequestId};
use shared::model::audit::Actor;
use shared::model::connect_token::{BrowserKey, DONE_COOKIE, Flow};
use shared::{auth, keepalive, limits, pages, revocation, run, setup, tokens};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 303 to the page after success, so that code and state leave the address bar; the page of what failed, at once.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let as_json = http::query_parameter(&request, "format").as_deref() == Some("json");
    let id = RequestId::from(&request);
    let deadline = tokens::deadline(gateway, http::deadline_ms(&request), limits::CALLBACK_FUNCTION_MS);
    let by = auth::by(&request, Actor::Browser);
    let callback = Callback {
        code: http::query_parameter(&request, "code").map(Into::into),
        state: http::query_parameter(&request, "state").map(Into::into),
        error: http::query_parameter(&request, "error"),
    };
    let (flow, key) = match connect::arrive(gateway, &callback, http::cookies(&request)).await {
        Ok(found) => found,
        Err(stop) => return refuse(stop, &id, as_json),
    };
    match connect::finish(gateway, &by, callback, &flow, &key, deadline).await {
        Ok(arrival) => {
            follow_up(gateway, arrival).await;
            welcome(&flow, as_json)
        }
        Err(stop) => refuse(stop, &id, as_json),
    }
}

/// The connection stands. Whatever of this fails is shown in the list of extensions and repeated by the sweep.
async fn follow_up(gateway: &Gateway, arrival: Arrival) {
    let Arrival { connection, access, replaced } = arrival;
    let within = Duration::from_millis(limits::SETUP_IN_CALLBACK_MS);
    let set_up = async {
        if let Err(error) = setup::complete(gateway, &connection, &access, within).await {
            http::note(&error, "a set-up is left for the sweep");
        }
    };
    let end_replaced = async {
        if let Some(old) = replaced {
            revocation::request(gateway, &old.tenant, &old.connection).await;
        }
    };
    tokio::join!(set_up, end_replaced, keepalive::connected(gateway, &connection));
}

fn welcome(flow: &Flow, as_json: bool) -> HandlerResult {
    let mut response = if as_json { http::ok() } else { http::see_other("/v1/rc/connected")? };
    http::set_cookie(&mut response, &BrowserKey::cookie_name(&flow.link), "", 0);
    http::set_cookie(&mut response, DONE_COOKIE, &flow.id, limits::DONE_PAGE_SECONDS);
    Ok(response)
}

fn refuse(stop: Stop, id: &RequestId, as_json: bool) -> HandlerResult {
    if as_json { pages::error_as_json(stop, id) } else { pages::error(stop, id) }
}
