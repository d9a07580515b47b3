//! The handshake of a new webhook: RingCentral posts a token, the receiver must send it back, quickly and briefly.

use std::time::Duration;

use axum::http::StatusCode;

use crate::error::ApiError;
use crate::sim::Sim;

/// The answer may be so long, headers and body together.
const LARGEST_ANSWER: usize = 1024;

/// Posts the `Validation-Token` to `address` and judges the answer.
pub async fn validate(sim: &Sim, address: &str, limit: Duration) -> Result<(), ApiError> {
    let token = uuid::Uuid::new_v4().to_string();
    match tokio::time::timeout(limit, exchange(sim, address, &token)).await {
        Ok(result) => result,
        Err(_) => Err(refused("SUB-521", "WebHook is not reachable: Read timed out")),
    }
}

fn refused(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, code, message)
}

async fn exchange(sim: &Sim, address: &str, token: &str) -> Result<(), ApiError> {
    let http = sim.http().map_err(|e| refused("SUB-521", format!("WebHook is not reachable: {e:#}")))?;
    let request = http
        .post(address)
        .header("Validation-Token", token)
        .header("Accept", "application/json")
        .header("Content-Length", "0");
    let mut response = request.send().await.map_err(|e| {
        if is_certificate_problem(&e) {
            refused("SUB-524", "WebHook certificate is invalid")
        } else {
            refused("SUB-521", "WebHook is not reachable")
        }
    })?;
    let status = response.status();
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (echo, content_type) = (header("validation-token"), header("content-type"));
    // The status line, each header with its colon, space and line end, and the empty line.
    let mut size = "HTTP/1.1 200 OK\r\n\r\n".len()
        + response.headers().iter().map(|(n, v)| n.as_str().len() + v.len() + 4).sum::<usize>();
    while size <= LARGEST_ANSWER {
        match response.chunk().await {
            Ok(Some(chunk)) => size += chunk.len(),
            Ok(None) => break,
            Err(_) => return Err(refused("SUB-521", "WebHook is not reachable: the answer broke off")),
        }
    }
    if status != StatusCode::OK {
        return Err(refused(
            "SUB-522",
            format!("WebHook responds with incorrect HTTP status. HTTP status is {}", status.as_u16()),
        ));
    }
    if echo.as_deref() != Some(token) {
        return Err(refused("SUB-520", "WebHook response does not contain the Validation-Token header"));
    }
    if size > LARGEST_ANSWER {
        return Err(refused("SUB-525", "WebHook response is too large"));
    }
    if !content_type.is_some_and(|t| t.to_ascii_lowercase().starts_with("application/json")) {
        return Err(refused("SUB-525", "WebHook response has no JSON content type"));
    }
    Ok(())
}

/// Does a chain of errors end in the certificate check?
fn is_certificate_problem(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let text = cause.to_string().to_ascii_lowercase();
        if text.contains("certificate") {
            return true;
        }
        source = cause.source();
    }
    false
}
