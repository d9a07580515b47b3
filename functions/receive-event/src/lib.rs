//! `POST /v1/webhooks/ringcentral`: answers RingCentral's handshake, without which no subscription can be made.
//!
//! Events themselves are not stored yet. They are refused, so that nothing looks delivered that is not: RingCentral keeps
//! the messages in its message store.

use lambda_http::http::StatusCode;
use lambda_http::http::header::{CONTENT_TYPE, HeaderValue};
use lambda_http::{Body, Error, Request, Response};

/// Longest handshake token that is echoed: the whole answer must stay below 600 bytes.
const TOKEN_CHARS: usize = 256;

/// 200 with the token for a handshake, 400 for a malformed one, 503 for an event. No other header: RingCentral counts
/// them against 1,024 bytes (Developer Guide, "Creating webhooks").
#[expect(clippy::unused_async, reason = "every handler is async")]
pub async fn handle(request: Request) -> Result<Response<Body>, Error> {
    let mut response = Response::new(Body::Empty);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match request.headers().get("validation-token") {
        Some(token) if is_well_formed(token) => {
            response.headers_mut().insert("validation-token", token.clone());
        }
        Some(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
        None => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
    }
    Ok(response)
}

fn is_well_formed(token: &HeaderValue) -> bool {
    let bytes = token.as_bytes();
    (1..=TOKEN_CHARS).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(token: Option<&[u8]>) -> Response<Body> {
        let mut request = Request::new(Body::Empty);
        if let Some(token) = token {
            request.headers_mut().insert("validation-token", HeaderValue::from_bytes(token).unwrap());
        }
        handle(request).await.unwrap()
    }

    #[tokio::test]
    async fn only_a_well_formed_handshake_is_echoed() {
        let good = answer(Some(b"3f9c1f0e-7d1b")).await;
        assert_eq!(
            (good.status(), &good.headers()["validation-token"]),
            (StatusCode::OK, &HeaderValue::from_static("3f9c1f0e-7d1b"))
        );
        for bad in [&b"with space"[..], &[b'a'; 257], "é".as_bytes(), b""] {
            let refused = answer(Some(bad)).await;
            assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
            assert!(!refused.headers().contains_key("validation-token"));
        }
    }

    #[tokio::test]
    async fn an_event_is_not_taken_for_delivered() {
        assert_eq!(answer(None).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
