//! The content of attachments: `GET …/message-store/{messageId}/content/{attachmentId}`, whole, in ranges, or behind a
//! redirect.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::platform::clock::{MINUTE, Millis};
use crate::platform::errors::RestError;
use crate::platform::messages::{MediaLink, MessageAvailability, MessageRecord};
use crate::platform::state::PlatformState;
use crate::rules::caller::ApiCaller;
use crate::rules::query::QueryString;
use crate::rules::secrets::random_secret;
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::byte_range::{ByteRange, RequestedRange};
use crate::server::query::Query;

/// How long the target of a redirect is valid.
const LINK_LIFETIME: Millis = 5 * MINUTE;

pub async fn get_content(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path((account, extension, message, attachment)): Path<(String, String, String, String)>,
    Query(query): Query,
    headers: HeaderMap,
) -> Result<Response, RestError> {
    core.update(|state, now| {
        let extension = caller.extension(state, &account, &extension)?.id;
        let message = state.find_message(extension, now, &message)?;
        let content = AttachmentContent::find(message, &attachment)?;
        if !state.settings.media.redirect {
            return content.response(state, &query, &headers);
        }
        let link =
            MediaLink { message_id: message.id, attachment_id: attachment, expires_at: now + LINK_LIFETIME };
        let key = random_secret("SIMMEDIA");
        state.mail.media_links.retain(|_, link| now < link.expires_at);
        state.mail.media_links.insert(key.clone(), link);
        let location = format!("{}/media-links/{key}", core.storage_url);
        Ok((StatusCode::FOUND, [(header::LOCATION, location)]).into_response())
    })
}

/// `GET /media-links/{key}` of the storage: the target of a redirect. The key authorizes the request, as in a presigned URL, and
/// a second authorization is an error, as at S3.
pub async fn get_linked_content(
    State(core): State<Arc<SimulatorCore>>,
    Path(key): Path<String>,
    Query(query): Query,
    headers: HeaderMap,
) -> Result<Response, RestError> {
    if headers.contains_key(header::AUTHORIZATION) {
        let text = "Only one auth mechanism allowed";
        return Err(RestError::new(StatusCode::BAD_REQUEST, "InvalidArgument", text));
    }
    core.update(|state, now| {
        let link = state.mail.media_links.get(&key).filter(|link| now < link.expires_at);
        let message = link.and_then(|link| Some((link, state.mail.messages.get(&link.message_id)?)));
        let message = message.filter(|(_, message)| message.availability != MessageAvailability::Purged);
        let (link, message) = message.ok_or_else(|| RestError::not_found("key", key.as_str()))?;
        AttachmentContent::find(message, &link.attachment_id)?.response(state, &query, &headers)
    })
}

struct AttachmentContent {
    content_type: String,
    file_name: Option<String>,
    bytes: Bytes,
}

impl AttachmentContent {
    /// The id of the message selects its text.
    fn find(message: &MessageRecord, attachment: &str) -> Result<Self, RestError> {
        if attachment == message.id.to_string() {
            let bytes = message.text.clone().into_bytes().into();
            return Ok(Self { content_type: "text/plain".to_owned(), file_name: None, bytes });
        }
        let file = message.attachments.iter().find(|f| f.id.to_string() == attachment);
        let file = file.ok_or_else(|| RestError::not_found("attachmentId", attachment))?;
        let (content_type, file_name) = (file.content_type.clone(), file.file_name.clone());
        Ok(Self { content_type, file_name, bytes: file.bytes().into() })
    }

    fn response(
        self,
        state: &PlatformState,
        query: &QueryString,
        headers: &HeaderMap,
    ) -> Result<Response, RestError> {
        let size = self.bytes.len();
        let range = headers.get(header::RANGE).and_then(|v| v.to_str().ok());
        let range = match range.map_or(RequestedRange::Whole, |range| RequestedRange::parse(range, size)) {
            RequestedRange::Unsatisfiable => return Ok(range_not_satisfiable(size)),
            RequestedRange::Part(range) => Some(range),
            // The setting `media.partial`: a part that the client did not request.
            RequestedRange::Whole if state.settings.media.partial => ByteRange::first_half(size),
            RequestedRange::Whole => None,
        };
        let mut response = match range {
            None => self.bytes.into_response(),
            Some(range) => {
                let part = self.bytes.slice(range.first..=range.last);
                (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, range.content_range(size))], part)
                    .into_response()
            }
        };
        let disposition = query.get("contentDisposition").unwrap_or("Inline").to_ascii_lowercase();
        let file_name = query.get("contentDispositionFilename").or(self.file_name.as_deref());
        let disposition = match file_name.map(|n| n.replace(['"', '\r', '\n'], "_")) {
            Some(name) => format!("{disposition}; filename=\"{name}\""),
            None => disposition,
        };
        put(&mut response, header::CONTENT_TYPE, &self.content_type);
        put(&mut response, header::CONTENT_DISPOSITION, &disposition);
        put(&mut response, header::ACCEPT_RANGES, "bytes");
        Ok(response)
    }
}

fn put(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// 416 CMN-107.
fn range_not_satisfiable(size: usize) -> Response {
    let error = RestError::new(StatusCode::RANGE_NOT_SATISFIABLE, "CMN-107", "Range is not satisfiable");
    let mut response = error.into_response();
    put(&mut response, header::CONTENT_RANGE, &format!("bytes */{size}"));
    response
}
