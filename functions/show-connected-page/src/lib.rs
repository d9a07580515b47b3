//! `GET /v1/rc/connected`: the page after success. Its address holds nothing; a cookie finds the flow, whose invite may
//! have an address to go on to.

use lambda_http::Request;
use shared::gateway::Gateway;
use shared::http::{self, Answer, RequestId};
use shared::{connect, pages};

/// 200 with the page.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    match connect::return_url(gateway, http::cookies(&request)).await {
        Ok(return_url) => pages::connected(return_url.as_deref()),
        Err(stop) => pages::stop(stop, &RequestId::from(&request)),
    }
}
