//! `POST /v1/webhooks/ringcentral`: RingCentral's webhook. Completes the handshake and stores events. An event is stored
//! before the response; if that fails the response is 503, and message sync finds what the event reported.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, Body, CONTENT_TYPE, HeaderMap, HeaderValue, Request, Response, StatusCode};
use shared::model::event_route::EventRoute;
use shared::model::secret::Secret;
use shared::receiving::{self, ReceiveOutcome};
use shared::ringcentral::events::{VALIDATION_TOKEN, VERIFICATION_TOKEN};
use shared::run;

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::bare_http(ROUTE.key, handle)
}

/// 200 with the token for a handshake, 400 for a malformed one; 200 for an authentic event whatever its content and size, 401
/// for an unauthenticated one, 503 for one that could not be stored in time. No headers but the content type: RingCentral
/// accepts responses of 1,024 bytes in all (Developer Guide, "Creating webhooks").
async fn handle(gateway: &Gateway, request: Request) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body: &[u8] = request.body().as_ref();
    match request.headers().get(VALIDATION_TOKEN).filter(|_| body.is_empty()) {
        Some(token) if receiving::may_be_echoed(token.as_bytes()) => {
            response.headers_mut().insert("validation-token", token.clone());
        }
        Some(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
        None => *response.status_mut() = receive(gateway, &request, body).await,
    }
    response
}

async fn receive(gateway: &Gateway, request: &Request, body: &[u8]) -> StatusCode {
    let route = http::query_parameter(request, "c").and_then(|c| EventRoute::parse(&c));
    let (Some(route), Some(token)) = (route, verification_token(request.headers())) else {
        return StatusCode::UNAUTHORIZED;
    };
    if !receiving::is_our_route(gateway, &route).await {
        return StatusCode::UNAUTHORIZED;
    }
    match receiving::receive(gateway, &route, &token, body).await {
        Ok(ReceiveOutcome::Unauthenticated) => StatusCode::UNAUTHORIZED,
        Ok(_) => StatusCode::OK,
        Err(error) => {
            http::report(&error);
            http::note(&error, "event could not be stored");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// The verification token of an event. RingCentral's documents disagree on the name of its header.
fn verification_token(headers: &HeaderMap) -> Option<Secret> {
    let token = headers.get(VERIFICATION_TOKEN).or_else(|| headers.get(VALIDATION_TOKEN))?;
    token.to_str().ok().map(Secret::from)
}
