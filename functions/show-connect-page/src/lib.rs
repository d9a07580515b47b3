//! `GET /v1/rc/connect?token=`: the page with the button. It stores nothing, however often it is opened: mail scanners
//! open every link.

use lambda_http::Request;
use shared::gateway::Gateway;
use shared::http::{self, Answer, RequestId};
use shared::{connect, pages};

/// 200 with the page, or the page that says why the link can't be used.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let token = http::query_parameter(&request, "token");
    let cookies = http::cookies(&request);
    match connect::look(gateway, token.as_deref(), &cookies).await {
        Ok((token, link)) => {
            let mut page = pages::connect(&gateway.config, &token, &link)?;
            let (name, key) = connect::browser_cookie(&token, &cookies);
            http::set_cookie(
                &mut page,
                &name,
                key.expose(),
                connect::cookie_seconds(&link, gateway.clock.now()),
            );
            Ok(page)
        }
        Err(stop) => pages::error(stop, &RequestId::from(&request)),
    }
}
