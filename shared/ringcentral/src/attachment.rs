//! Downloads of attachments, in parts and through redirects.

use std::fmt;

use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, LOCATION};
use url::Url;

use crate::api::{Api, ApiCall};
use crate::error::{Error, ErrorDetails, ErrorKind, Result, Retry, Sent};
use crate::id::Id;
use crate::message::Attachment;
use crate::rate_limit::UsageGroup;
use crate::request::{ErrorFormat, Request, Response};
use crate::transport;

/// The largest attachment that is read by default. RingCentral's limit for all attachments of a message is 1.5 MB.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// RingCentral may answer with a part of the content although the whole was requested.
const MAX_PARTS: usize = 32;

const MAX_REDIRECTS: usize = 3;

const OPERATION: &str = "attachment";

/// The content of an attachment. `Debug` omits the bytes.
#[derive(Clone)]
pub struct AttachmentContent {
    /// The media type, as the response reports it.
    pub content_type: Option<String>,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for AttachmentContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttachmentContent({:?}, {} bytes)", self.content_type, self.bytes.len())
    }
}

impl Api {
    /// Downloads the content of an attachment, at most 8 MiB, from the URL in its record. App scope `ReadMessages`; group
    /// Medium.
    ///
    /// If RingCentral responds with a part of the content, further calls read the rest. Up to three redirects are followed;
    /// only hosts of RingCentral receive the access token.
    ///
    /// # Errors
    /// * [`ErrorKind::Refused`](crate::ErrorKind::Refused) if there is no URL, or if it is not on a RingCentral host: the
    ///   access token is not sent there.
    /// * [`ErrorKind::Unreadable`](crate::ErrorKind::Unreadable) for more bytes than the limit, or parts that do not make
    ///   a whole.
    /// * [`ErrorKind::Intermediary`](crate::ErrorKind::Intermediary) if a redirect cannot be followed, or if the host that
    ///   it leads to fails.
    pub async fn attachment(&self, attachment: &Attachment) -> Result<AttachmentContent> {
        self.attachment_with_limit(attachment, MAX_BYTES).await
    }

    /// As [`Api::attachment`], with another limit of bytes.
    ///
    /// # Errors
    /// As [`Api::attachment`].
    pub async fn attachment_with_limit(
        &self,
        attachment: &Attachment,
        max_bytes: usize,
    ) -> Result<AttachmentContent> {
        let uri = attachment
            .uri
            .as_deref()
            .ok_or_else(|| Error::refused(OPERATION, "the attachment has no URL"))?;
        let url = self.client().server().trusted_url(OPERATION, uri)?;
        self.download(url, max_bytes).await
    }

    /// Downloads the content of an attachment by its ids, for webhook events that omit the URL.
    ///
    /// # Errors
    /// As [`Api::attachment`].
    pub async fn attachment_by_id(&self, message: Id, attachment: Id) -> Result<AttachmentContent> {
        let path = format!("{}/content/{attachment}", self.message_path(message));
        self.download(self.client().server().media_url(&path), MAX_BYTES).await
    }

    async fn download(&self, mut url: Url, max_bytes: usize) -> Result<AttachmentContent> {
        let mut content = AttachmentContent { content_type: None, bytes: Vec::new() };
        for _ in 0..MAX_PARTS {
            let mut response;
            (url, response) = self.part(url, content.bytes.len(), max_bytes).await?;
            content.content_type = content.content_type.or_else(|| content_type(&response.headers));
            let body = std::mem::take(&mut *response.body);
            if response.status == 200 {
                // The whole, even if only the rest was requested.
                return Ok(AttachmentContent { bytes: body, ..content });
            }
            let part = PartialContent::parse(&response.headers).filter(|part| {
                response.status == 206
                    && part.first == content.bytes.len()
                    && part.length() == body.len()
                    && part.last < part.total
            });
            let part = part.ok_or_else(|| response.unreadable("the content is not the requested part"))?;
            if part.total > max_bytes {
                return Err(response.unreadable("the response is too large"));
            }
            content.bytes.extend_from_slice(&body);
            if content.bytes.len() == part.total {
                return Ok(content);
            }
        }
        Err(unfinished("the content has too many parts"))
    }

    /// Requests the bytes from a position on. Returns the URL that responded, too: the next part comes from there.
    async fn part(&self, mut url: Url, from: usize, max_bytes: usize) -> Result<(Url, Response)> {
        let server = self.client().server();
        for _ in 0..=MAX_REDIRECTS {
            let range_from = (from > 0).then_some(from);
            let response = if server.trusted_url(OPERATION, url.as_str()).is_ok() {
                let call = self.get(OPERATION, UsageGroup::Medium, "");
                let call = ApiCall {
                    url: url.clone(),
                    accept: "*/*",
                    max_response_bytes: Some(max_bytes),
                    range_from,
                    returns_redirects: true,
                    ..call
                };
                self.send(call).await?
            } else {
                let mut request = Request::new(OPERATION, ErrorFormat::Api, Method::GET, url.clone());
                request.accept = "*/*";
                request.max_response_bytes = max_bytes;
                request.range_from = range_from;
                request.returns_redirects = true;
                let result = transport::send(self.client().http(), &request, self.client().timeout()).await;
                result.map_err(of_another_host)?
            };
            if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
                return Ok((url, response));
            }
            let location = response.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| url.join(location).ok());
            let next = next.filter(|next| server.may_redirect_to(next));
            url = next.ok_or_else(|| {
                response.error(ErrorKind::Intermediary, "the redirect does not lead to an https URL")
            })?;
        }
        Err(unfinished("too many redirects"))
    }
}

/// An error response of a host that is not RingCentral's says nothing about the access token or the message.
fn of_another_host(error: Error) -> Error {
    match error.status() {
        Some(status) if status >= 400 => ErrorDetails {
            operation: OPERATION,
            kind: ErrorKind::Intermediary,
            sent: Sent::Yes,
            retry: Retry::Backoff,
            status: Some(status),
            reason: Some("the host that the redirect leads to rejects the request"),
            ..ErrorDetails::default()
        }
        .into(),
        _ => error,
    }
}

fn unfinished(reason: &'static str) -> Error {
    ErrorDetails {
        operation: OPERATION,
        kind: ErrorKind::Intermediary,
        sent: Sent::Yes,
        retry: Retry::Backoff,
        reason: Some(reason),
        ..ErrorDetails::default()
    }
    .into()
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_TYPE)?.to_str().ok().map(str::to_owned)
}

/// The positions of a part, and the size of the whole.
#[derive(Debug, PartialEq, Eq)]
struct PartialContent {
    first: usize,
    /// Included.
    last: usize,
    total: usize,
}

impl PartialContent {
    /// Parses `Content-Range: bytes 0-99/200`.
    fn parse(headers: &HeaderMap) -> Option<Self> {
        let (range, total) =
            headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let part = Self { first: first.parse().ok()?, last: last.parse().ok()?, total: total.parse().ok()? };
        (part.first <= part.last).then_some(part)
    }

    fn length(&self) -> usize {
        (self.last - self.first).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_content_range_is_a_part() {
        let parse = |value: &str| {
            let headers = HeaderMap::from_iter([(CONTENT_RANGE, value.parse().expect("a header value"))]);
            PartialContent::parse(&headers)
        };
        assert_eq!(parse("bytes 0-99/200"), Some(PartialContent { first: 0, last: 99, total: 200 }));
        for malformed in ["bytes 0-99/*", "bytes */200", "bytes 9-0/200", "bytes -1-2/200", "items 0-1/2", ""]
        {
            assert_eq!(parse(malformed), None, "{malformed}");
        }
    }
}
