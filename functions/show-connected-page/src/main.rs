//! `GET /v1/rc/connected`: the success page. Its URL contains nothing. A cookie identifies the flow, which has the tenant's
//! name and the return URL.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::{connect, pages, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the page.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    // The user was redirected here after success, so the page is shown even if the flow can't be read.
    let done = connect::completed_flow(gateway, http::cookies(&request)).await;
    let done = done
        .inspect_err(|error| http::note(error, "flow could not be read; the success page has no details"));
    pages::connected(done.ok().flatten().as_ref())
}
