//! `POST /v1/rc/connect`: somebody pressed the button. The link becomes that browser's, and the browser goes to
//! RingCentral.

use shared::connect::{self, Departure, Refusal, Stop};
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, RequestId};
use shared::{pages, run};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 303 to RingCentral's authorize page, with the flow's cookie.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    match depart(gateway, &request).await {
        Ok(departure) => {
            let mut response = http::see_other(departure.authorize_url.as_str())?;
            http::set_cookie(&mut response, &departure.cookie, departure.key.expose(), departure.seconds);
            Ok(response)
        }
        Err(stop) => pages::error(stop, &RequestId::from(&request)),
    }
}

async fn depart(gateway: &Gateway, request: &Request) -> Result<Departure, Stop> {
    if !pages::is_same_origin(&gateway.config, request) {
        return Err(Refusal::CrossSite.into());
    }
    let token = http::form_field(request, "token");
    connect::start(gateway, token.as_deref(), http::cookies(request)).await
}
