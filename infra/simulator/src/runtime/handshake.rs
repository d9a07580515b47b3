//! The handshake of a new webhook: the receiver must return the posted token within limits of time and size.

use std::time::Duration;

use http::StatusCode;

use crate::platform::errors::RestError;
use crate::runtime::simulator_core::SimulatorCore;

/// Bytes of the reply, headers and body together.
const MAX_REPLY: usize = 1024;

/// Posts a `Validation-Token` to `address` and checks the reply.
pub async fn validate_webhook(
    core: &SimulatorCore,
    address: &str,
    time_limit: Duration,
) -> Result<(), RestError> {
    let token = uuid::Uuid::new_v4().to_string();
    match tokio::time::timeout(time_limit, exchange(core, address, &token)).await {
        Ok(result) => result,
        Err(_) => Err(handshake_error("SUB-521", "WebHook is not reachable: Read timed out")),
    }
}

fn handshake_error(code: &'static str, message: impl Into<String>) -> RestError {
    RestError::new(StatusCode::BAD_REQUEST, code, message)
}

async fn exchange(core: &SimulatorCore, address: &str, token: &str) -> Result<(), RestError> {
    let unreachable = |why: &str| handshake_error("SUB-521", format!("WebHook is not reachable{why}"));
    let http = core.http().map_err(|e| unreachable(&format!(": {e:#}")))?;
    let request = http
        .post(address)
        .header("Validation-Token", token)
        .header("Accept", "application/json")
        .header("Content-Length", "0");
    let mut response = request.send().await.map_err(|e| {
        if is_certificate_error(&e) {
            handshake_error("SUB-524", "WebHook certificate is invalid")
        } else {
            unreachable("")
        }
    })?;
    let status = response.status();
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (returned, content_type) = (header("validation-token"), header("content-type"));
    // The status line, each header with its colon, space and line end, and the empty line.
    let mut size = "HTTP/1.1 200 OK\r\n\r\n".len()
        + response.headers().iter().map(|(n, v)| n.as_str().len() + v.len() + 4).sum::<usize>();
    while size <= MAX_REPLY {
        match response.chunk().await {
            Ok(Some(chunk)) => size += chunk.len(),
            Ok(None) => break,
            Err(_) => return Err(unreachable(": the reply is incomplete")),
        }
    }
    if status != StatusCode::OK {
        return Err(handshake_error(
            "SUB-522",
            format!("WebHook responds with incorrect HTTP status. HTTP status is {}", status.as_u16()),
        ));
    }
    if returned.as_deref() != Some(token) {
        let text = "WebHook response does not contain the Validation-Token header";
        return Err(handshake_error("SUB-520", text));
    }
    if size > MAX_REPLY {
        return Err(handshake_error("SUB-525", "WebHook response is too large"));
    }
    if !content_type.is_some_and(|t| t.to_ascii_lowercase().starts_with("application/json")) {
        return Err(handshake_error("SUB-525", "WebHook response has no JSON content type"));
    }
    Ok(())
}

/// Whether the cause of an error is the check of the certificate.
fn is_certificate_error(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.to_string().to_ascii_lowercase().contains("certificate") {
            return true;
        }
        source = cause.source();
    }
    false
}
