//! Errors and responses of the AWS JSON and REST protocols.

use crate::server::{self, HttpResponse};
use hyper::StatusCode;
use hyper::header::HeaderValue;
use serde_json::{Value, json};

/// Why a call failed, with the error code that AWS uses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AwsError {
    pub status: u16,
    /// The exception's name.
    pub code: String,
    pub message: String,
}

impl AwsError {
    /// An error with status 400, which most AWS errors have.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self::with_status(400, code, message)
    }

    #[must_use]
    pub fn with_status(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    #[must_use]
    pub fn unknown_operation(operation: &str) -> Self {
        Self::new("UnknownOperationException", format!("{operation} is not supported by the local stack"))
    }

    /// A response that both the JSON and the REST protocols understand.
    #[must_use]
    pub fn response(&self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let body = json!({ "__type": self.code, "message": self.message, "Message": self.message });
        let mut response = amazon_json(status, &body);
        if let Ok(code) = HeaderValue::from_str(&self.code) {
            response.headers_mut().insert("x-amzn-errortype", code);
        }
        response
    }
}

/// A response of the AWS JSON protocols.
#[must_use]
pub fn amazon_json(status: StatusCode, value: &Value) -> HttpResponse {
    let mut response = server::with_body(status, "application/x-amz-json-1.0", value.to_string());
    if let Ok(id) = uuid::Uuid::new_v4().to_string().parse() {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}
