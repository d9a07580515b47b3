//! `POST …/extension/{extensionId}/sms` and `…/mms`, in JSON or multipart.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::Value;

use crate::platform::errors::RestError;
use crate::rules::caller::ApiCaller;
use crate::rules::sending::{MessageToSend, SendEndpoint, SenderPath, SentFile, send_message};
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::multipart;

/// The size limit of both endpoints. Attachments have a smaller one, with its own errors.
const MAX_BODY: usize = 10 * 1024 * 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SendBody {
    from: Option<SendParty>,
    to: Vec<SendParty>,
    text: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SendParty {
    phone_number: Option<String>,
}

pub async fn post_sms(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path((account, extension)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, RestError> {
    send(&core, &caller, SenderPath { account, extension }, SendEndpoint::Sms, &headers, &body).await
}

pub async fn post_mms(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path((account, extension)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, RestError> {
    send(&core, &caller, SenderPath { account, extension }, SendEndpoint::Mms, &headers, &body).await
}

async fn send(
    core: &SimulatorCore,
    caller: &ApiCaller,
    path: SenderPath,
    endpoint: SendEndpoint,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Json<Value>, RestError> {
    if body.len() > MAX_BODY {
        return Err(RestError::too_large());
    }
    let latency = core.read(|state| state.settings.sms_latency_ms);
    if latency > 0 {
        tokio::time::sleep(Duration::from_millis(latency)).await;
    }
    let request = parse_request(headers, body)?;
    core.update(|state, now| {
        let message = send_message(state, now, caller, &path, endpoint, request)?;
        Ok(Json(state.message_json(&message, &core.urls(state))))
    })
}

/// Parses JSON, or a multipart body whose first part is JSON under any name.
fn parse_request(headers: &HeaderMap, body: &[u8]) -> Result<MessageToSend, RestError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (json, files) = if let Some(boundary) = multipart::boundary(content_type) {
        let mut parts = multipart::parts(body, &boundary).ok_or_else(invalid_multipart)?.into_iter();
        let first = parts.next().ok_or_else(invalid_multipart)?;
        let files = parts.map(|part| SentFile {
            disposition: part.disposition,
            content_type: part.content_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
            bytes: part.bytes,
        });
        (first.bytes, files.collect())
    } else if content_type.to_ascii_lowercase().starts_with("application/json") {
        (body.to_vec(), Vec::new())
    } else {
        let text = "Content-Type must be application/json or multipart";
        return Err(RestError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "CMN-407", text));
    };
    let body: SendBody = serde_json::from_slice(&json).map_err(|_| RestError::invalid_json())?;
    let number = |party: SendParty| party.phone_number.unwrap_or_default();
    Ok(MessageToSend {
        from: body.from.map(number).unwrap_or_default(),
        to: body.to.into_iter().map(number).collect(),
        text: body.text.unwrap_or_default(),
        files,
    })
}

fn invalid_multipart() -> RestError {
    RestError::new(StatusCode::BAD_REQUEST, "CMN-104", "The multipart request can not be parsed")
        .category("InvalidContent")
}
