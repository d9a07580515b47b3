//! `POST /v1/webhooks/ringcentral`: answers RingCentral's handshake, and takes its events in. An event is stored before it
//! is answered; one that could not be stored is answered with 503, and found by comparing with the message store.

use lambda_http::http::StatusCode;
use lambda_http::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use lambda_http::{Body, Error, Request, RequestExt, Response};
use shared::gateway::Gateway;
use shared::model::secret::Secret;
use shared::receiving::{self, Received};
use shared::ringcentral::events::{VALIDATION_TOKEN, VERIFICATION_TOKEN};
use shared::{http, limits};

/// 200 with the token for a handshake, 400 for a malformed one; 200 for an event that is stored, 401 for one that proves
/// nothing, 413 for one that is too large, 503 for one that could not be stored in time. No header but the type:
/// RingCentral takes 1,024 bytes in all (Developer Guide, "Creating webhooks").
pub async fn handle(gateway: &Gateway, request: Request) -> Result<Response<Body>, Error> {
    let mut response = Response::new(Body::Empty);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body: &[u8] = request.body().as_ref();
    match request.headers().get(VALIDATION_TOKEN).filter(|_| body.is_empty()) {
        Some(token) if is_well_formed(token) => {
            response.headers_mut().insert("validation-token", token.clone());
        }
        Some(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
        None => *response.status_mut() = take(gateway, &request, body).await,
    }
    Ok(response)
}

async fn take(gateway: &Gateway, request: &Request, body: &[u8]) -> StatusCode {
    if body.len() > limits::EVENT_BYTES {
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    let route = request.query_string_parameters().first("c").and_then(receiving::route);
    let (Some(route), Some(token)) = (route, verification_token(request.headers())) else {
        return StatusCode::UNAUTHORIZED;
    };
    match receiving::receive(gateway, &route, &token, body).await {
        Ok(Received::Refused) => StatusCode::UNAUTHORIZED,
        Ok(_) => StatusCode::OK,
        Err(error) => {
            http::note(&error, "an event could not be stored");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// RingCentral's sources disagree on the name of the header.
fn verification_token(headers: &HeaderMap) -> Option<Secret> {
    let token = headers.get(VERIFICATION_TOKEN).or_else(|| headers.get(VALIDATION_TOKEN))?;
    token.to_str().ok().map(Secret::from)
}

/// True if a token may be echoed: one word of printable ASCII, so that no second header can come of it.
pub fn is_well_formed(token: &HeaderValue) -> bool {
    let bytes = token.as_bytes();
    (1..=limits::HANDSHAKE_CHARS).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_token_is_echoed() {
        assert!(is_well_formed(&HeaderValue::from_static("3f9c1f0e-7d1b")));
        for bad in [&b"with space"[..], &[b'a'; 257], "\u{e9}".as_bytes(), b""] {
            assert!(!is_well_formed(&HeaderValue::from_bytes(bad).unwrap()));
        }
    }
}
