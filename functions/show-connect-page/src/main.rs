//! `GET /v1/rc/connect?token=`: the confirmation page. Opening it writes nothing: mail scanners open every link.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, RequestId};
use shared::{connect, pages, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the page, or an error page that explains why the link can't be used.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let token = http::query_parameter(&request, "token");
    let cookies = http::cookies(&request);
    match connect::find_open_link(gateway, token.as_deref(), &cookies).await {
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
        Err(error) => pages::error(error, &RequestId::from(&request)),
    }
}
