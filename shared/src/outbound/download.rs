//! Downloads of files from URLs that tenants choose.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{Method, Response};

use super::{Outbound, OutboundError, Target, unambiguous_url};
use crate::limits;

/// A downloaded file.
#[derive(Debug, Clone)]
pub struct Download {
    /// The header `Content-Type`.
    pub content_type: String,
    pub bytes: Bytes,
}

/// Why a file was not downloaded. No text names an address or a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DownloadError {
    #[error("{0}")]
    Request(OutboundError),
    #[error("status {0}")]
    Status(u16),
    #[error("too many redirects")]
    Redirects,
    /// The body is compressed, so its size says nothing.
    #[error("encoded")]
    Encoded,
    #[error("too large")]
    TooLarge,
}

impl From<OutboundError> for DownloadError {
    fn from(error: OutboundError) -> Self {
        Self::Request(error)
    }
}

impl DownloadError {
    /// True if a later attempt may succeed.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Request(error) => error != OutboundError::NotAllowed,
            Self::Status(status) => status == 429 || status >= 500,
            Self::Redirects | Self::Encoded | Self::TooLarge => false,
        }
    }
}

/// How many bytes several downloads may still read together.
#[derive(Debug)]
pub struct ByteBudget(AtomicUsize);

impl ByteBudget {
    pub fn of(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    /// # Errors
    /// [`DownloadError::TooLarge`] if less is left.
    pub fn take(&self, bytes: usize) -> Result<(), DownloadError> {
        let take = |left: usize| left.checked_sub(bytes);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map(drop).map_err(|_| DownloadError::TooLarge)
    }

    fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A response: the file, or where it is.
enum Found {
    File(Download),
    At(String),
}

impl Outbound {
    /// Downloads a file within [`limits::MEDIA_FILE_MS`]. Follows up to [`limits::MEDIA_REDIRECTS`] redirects.
    ///
    /// # Errors
    /// [`DownloadError::TooLarge`] as soon as the file exceeds the budget.
    pub async fn download(&self, url: &str, budget: &ByteBudget) -> Result<Download, DownloadError> {
        let deadline = Duration::from_millis(limits::MEDIA_FILE_MS);
        match tokio::time::timeout(deadline, self.follow(url, budget)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(OutboundError::Timeout.into()),
        }
    }

    async fn follow(&self, url: &str, budget: &ByteBudget) -> Result<Download, DownloadError> {
        let mut url = url.to_owned();
        for _ in 0..=limits::MEDIA_REDIRECTS {
            let target = Target::parse(&url, self.destinations)?;
            let mut request = target.request(Method::GET, Bytes::new())?;
            request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            match self.send(&target, request, async |response| read(response, budget).await).await? {
                Found::File(download) => return Ok(download),
                Found::At(location) => url = joined(&url, &location)?,
            }
        }
        Err(DownloadError::Redirects)
    }
}

/// The URL that a `Location` stands for.
fn joined(url: &str, location: &str) -> Result<String, DownloadError> {
    let is_absolute = |(scheme, _): (&str, &str)| scheme.bytes().all(|byte| byte.is_ascii_alphabetic());
    if location.split_once("://").is_some_and(is_absolute) {
        return Ok(location.to_owned());
    }
    let base = unambiguous_url(url).ok_or(OutboundError::NotAllowed)?;
    let joined = base.join(location).map_err(|_| OutboundError::InvalidResponse)?;
    Ok(joined.into())
}

async fn read(mut response: Response<Incoming>, budget: &ByteBudget) -> Result<Found, DownloadError> {
    let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let status = response.status().as_u16();
    if let (301 | 302 | 303 | 307 | 308, Some(location)) = (status, header(LOCATION)) {
        return Ok(Found::At(location.to_owned()));
    }
    if status != 200 {
        return Err(DownloadError::Status(status));
    }
    if header(CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(DownloadError::Encoded);
    }
    let content_type = header(CONTENT_TYPE).unwrap_or_default().to_owned();
    if response.body().size_hint().lower() > u64::try_from(budget.left()).unwrap_or(u64::MAX) {
        return Err(DownloadError::TooLarge);
    }
    let mut bytes = Vec::new();
    while let Some(frame) = response.body_mut().frame().await {
        let frame = frame.map_err(|_| OutboundError::InvalidResponse)?;
        if let Some(chunk) = frame.data_ref() {
            budget.take(chunk.len())?;
            bytes.extend_from_slice(chunk);
        }
    }
    Ok(Found::File(Download { content_type, bytes: bytes.into() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_relative_to_its_url() {
        let url = "https://example.com/a/b.png?x=1";
        for (location, expected) in [
            ("https://other.example/c.png", "https://other.example/c.png"),
            ("/c.png?u=https://x.example/", "https://example.com/c.png?u=https://x.example/"),
            ("c.png", "https://example.com/a/c.png"),
            ("//other.example/c.png", "https://other.example/c.png"),
            ("file:///etc/passwd", "file:///etc/passwd"),
        ] {
            assert_eq!(joined(url, location).unwrap(), expected);
        }
    }

    #[test]
    fn downloads_share_a_budget() {
        let budget = ByteBudget::of(10);
        assert!(budget.take(6).is_ok());
        assert_eq!(budget.take(5), Err(DownloadError::TooLarge));
        assert!(budget.take(4).is_ok());
    }
}
