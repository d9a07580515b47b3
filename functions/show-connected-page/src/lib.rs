//! `GET /v1/rc/connected`: the page after success. Its address holds nothing; a cookie finds the flow, which knows the company
//! and, perhaps, an address to go on to.

use lambda_http::Request;
use shared::gateway::Gateway;
use shared::http::{self, Answer, RequestId};
use shared::{connect, pages};

/// 200 with the page.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    match connect::done(gateway, http::cookies(&request)).await {
        Ok(done) => pages::connected(done.as_ref()),
        Err(stop) => pages::stop(stop, &RequestId::from(&request)),
    }
}
