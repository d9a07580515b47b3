//! `GET /v1/rc/connect?token=`: the page with the button. It changes nothing, however often it is opened: mail scanners
//! open every link.

use lambda_http::Request;
use shared::gateway::Gateway;
use shared::http::{self, Answer, RequestId};
use shared::{connect, pages};

/// 200 with the page, or the page that says why the link can't be used.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let token = http::query_parameter(&request, "token");
    match connect::look(gateway, token.as_deref(), http::cookies(&request)).await {
        Ok((token, link)) => pages::connect(&gateway.config, &token, &link),
        Err(stop) => pages::stop(stop, &RequestId::from(&request)),
    }
}
