//! 207 responses of calls for several messages.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::platform::errors::RestError;

/// Messages of one call.
const MAX_IDS: usize = 50;
const JSON_TYPE: &str = "application/vnd.ringcentral.multipart+json";

/// Splits the ids of a path such as `…/message-store/1,2,3`.
pub fn split_ids(list: &str) -> Result<Vec<&str>, RestError> {
    let ids: Vec<&str> = list.split(',').map(str::trim).filter(|i| !i.is_empty()).collect();
    if ids.len() > MAX_IDS {
        return Err(RestError::new(
            StatusCode::BAD_REQUEST,
            "CMN-106",
            "Too many entries in a batch request",
        ));
    }
    Ok(ids)
}

/// The outcome for one message.
pub struct ItemOutcome {
    pub id: String,
    /// The absolute URL of the message.
    pub href: String,
    /// The message, or nothing if it was deleted.
    pub outcome: Result<Option<Value>, RestError>,
}

impl ItemOutcome {
    fn status(&self) -> StatusCode {
        match &self.outcome {
            Ok(Some(_)) => StatusCode::OK,
            Ok(None) => StatusCode::NO_CONTENT,
            Err(error) => error.status,
        }
    }

    fn body(&self) -> Option<Value> {
        match &self.outcome {
            Ok(body) => body.clone(),
            Err(error) => Some(error.to_json()),
        }
    }
}

/// The 207 response: a JSON array if the client accepts RingCentral's type for it, otherwise `multipart/mixed`.
pub fn multi_status(headers: &HeaderMap, items: &[ItemOutcome]) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (content_type, body) = if accept.contains(JSON_TYPE) {
        (JSON_TYPE.to_owned(), json_array(items).to_string())
    } else {
        let boundary = format!("Boundary_{}", uuid::Uuid::new_v4().simple());
        (format!("multipart/mixed; boundary={boundary}"), multipart_mixed(&boundary, items))
    };
    let mut response = (StatusCode::MULTI_STATUS, body).into_response();
    if let Ok(content_type) = HeaderValue::from_str(&content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    response
}

fn json_array(items: &[ItemOutcome]) -> Value {
    items
        .iter()
        .map(|i| json!({"resourceId": i.id, "status": i.status().as_u16(), "body": i.body()}))
        .collect()
}

/// The first part lists the outcomes; then each item has one part.
fn multipart_mixed(boundary: &str, items: &[ItemOutcome]) -> String {
    let overview: Vec<Value> = items
        .iter()
        .map(|i| {
            let description = i.status().canonical_reason().unwrap_or_default();
            json!({"href": i.href, "status": i.status().as_u16(), "responseDescription": description})
        })
        .collect();
    let mut body = String::new();
    let mut part = |value: &Value| {
        body.push_str(&format!("--{boundary}\r\nContent-Type: application/json\r\n\r\n{value}\r\n"));
    };
    part(&json!({"response": overview}));
    for item in items {
        part(&item.body().unwrap_or(Value::Null));
    }
    body.push_str(&format!("--{boundary}--\r\n"));
    body
}
