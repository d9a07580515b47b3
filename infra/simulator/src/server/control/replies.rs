//! Bodies and errors of control calls.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::platform::errors::OauthError;

/// The reply to a control call.
pub type ControlReply = Result<Json<Value>, ControlError>;

/// A failed control call: `{"error": "…"}`, or an OAuth error as the platform would send it.
pub struct ControlError {
    status: StatusCode,
    body: Value,
}

impl ControlError {
    fn new(status: StatusCode, text: &str) -> Self {
        Self { status, body: json!({"error": text}) }
    }

    pub fn bad_request(text: impl AsRef<str>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text.as_ref())
    }

    pub fn forbidden(text: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, text)
    }

    pub fn not_found(text: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

impl From<OauthError> for ControlError {
    fn from(error: OauthError) -> Self {
        Self { status: error.status, body: error.to_json() }
    }
}

/// Parses the body of a control call.
pub fn parse_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ControlError> {
    parse_json(bytes).map_err(ControlError::bad_request)
}

/// Parses JSON; an empty body is an empty object. The error names the wrong field.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { bytes };
    let reader = &mut serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(reader).map_err(|e| {
        let path = e.path().to_string();
        if path == "." { e.inner().to_string() } else { format!("{path}: {}", e.inner()) }
    })
}
