//! `GET /v1/rc/connected`: the page after success. Its address holds nothing; a cookie finds the flow, which knows the company
//! and, perhaps, an address to go on to.

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::{connect, pages, run};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 200 with the page.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    // Whatever is wrong with our memory of it, the person has been sent here after success.
    let done = connect::done(gateway, http::cookies(&request)).await;
    let done = done.inspect_err(|error| http::note(error, "the page after success lacks its details"));
    pages::connected(done.ok().flatten().as_ref())
}
