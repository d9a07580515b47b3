//! `POST /v1/rc/connect`: the button was pressed. Binds the link to that browser and redirects it to RingCentral.

mod route;

use shared::connect::{self, AuthorizationRedirect, FlowError, FlowRejection};
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, RequestId};
use shared::{pages, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 303 to RingCentral's authorize page, with the flow's cookie.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    match start(gateway, &request).await {
        Ok(redirect) => {
            let mut response = http::see_other(redirect.authorize_url.as_str())?;
            http::set_cookie(
                &mut response,
                &redirect.cookie_name,
                redirect.key.expose(),
                redirect.cookie_seconds,
            );
            Ok(response)
        }
        Err(error) => pages::error(error, &RequestId::from(&request)),
    }
}

async fn start(gateway: &Gateway, request: &Request) -> Result<AuthorizationRedirect, FlowError> {
    if !pages::is_same_origin(&gateway.config, request) {
        return Err(FlowRejection::CrossSite.into());
    }
    let token = http::form_field(request, "token");
    connect::start_flow(gateway, token.as_deref(), http::cookies(request)).await
}
