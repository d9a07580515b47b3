//! The files of MMS: uploads, the files that a request to send names, and downloads. `media_copy` copies files to the bucket.

use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::ids::{MessageId, TenantId};
use crate::model::media::{Media, MediaId, MediaSource, MediaStatus, media_type, upload_object};
use crate::model::message::{Direction, MessageStatus};
use crate::model::whole_number;
use crate::outbound;
use crate::store::{DueMedia, Upload, WriteOutcome};

/// An SQS message that requests the files of a message. Delivery is best effort; the table is authoritative.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CopyRequest {
    pub tenant_id: String,
    pub message_id: String,
}

/// Requests the files of a message. A failure is only logged: the sweep requests them again.
pub(crate) async fn request_copy(
    gateway: &Gateway,
    tenant: &TenantId,
    message: &MessageId,
    delay_seconds: i32,
) {
    let request =
        CopyRequest { tenant_id: tenant.as_str().to_owned(), message_id: message.as_str().to_owned() };
    let queue = &gateway.config.fetch_media_queue;
    if let Err(error) = gateway.queues().put(queue, tenant.as_str(), &request, delay_seconds).await {
        tracing::warn!(tenant.id = %tenant, message.id = %message, error = %error, "media copy could not be requested");
    }
}

/// Requests the files of a message again, because no run has copied them in time.
pub(crate) async fn request_overdue_copy(gateway: &Gateway, due: &DueMedia) {
    match gateway.store.claim_media(due).await {
        Ok(WriteOutcome::Applied) => request_copy(gateway, &due.tenant, &due.message, 0).await,
        Ok(WriteOutcome::Conflict) => {}
        Err(error) => {
            tracing::warn!(tenant.id = %due.tenant, message.id = %due.message, error = %error,
                "overdue media copy could not be claimed");
        }
    }
}

/// When a copy that is requested now is requested again, if no run has made it.
pub(crate) fn copy_overdue_at(now: Timestamp) -> Timestamp {
    saturating_add(now, SignedDuration::from_secs(limits::MEDIA_CLAIM_SECONDS))
}

/// The files that a request names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MediaReferences {
    pub urls: Vec<String>,
    pub ids: Vec<MediaId>,
}

impl MediaReferences {
    /// Validates what can be checked without reading from the store.
    ///
    /// # Errors
    /// [`Error::InvalidMediaUrl`], [`Error::UnknownMedia`], or [`Error::InvalidField`] for too few or too many files.
    pub fn parse(urls: Option<Vec<String>>, ids: Option<Vec<String>>) -> Result<Self> {
        let is_empty = |list: &Option<Vec<String>>| list.as_ref().is_some_and(Vec::is_empty);
        let too_many = |field| Error::InvalidField {
            text: "mediaUrls and mediaIds must be 1-10 files in all".to_owned(),
            field,
        };
        let is_too_long = |url: &String| url.chars().count() > limits::MEDIA_URL_CHARS;
        if is_empty(&urls) || urls.as_ref().is_some_and(|urls| urls.iter().any(is_too_long)) {
            return Err(Error::InvalidMediaUrl);
        }
        if is_empty(&ids) {
            return Err(too_many("mediaIds"));
        }
        let (urls, ids) = (urls.unwrap_or_default(), ids.unwrap_or_default());
        if urls.len() > limits::MEDIA_FILES {
            return Err(Error::InvalidMediaUrl);
        }
        if urls.len() + ids.len() > limits::MEDIA_FILES {
            return Err(too_many("mediaIds"));
        }
        let ids =
            ids.iter().map(|id| MediaId::parse(id).ok_or(Error::UnknownMedia)).collect::<Result<_>>()?;
        Ok(Self { urls, ids })
    }

    pub fn is_empty(&self) -> bool {
        self.urls.is_empty() && self.ids.is_empty()
    }
}

/// The files that a request names, in its order, uploads last. No URL is fetched.
///
/// # Errors
/// [`Error::InvalidMediaUrl`]; [`Error::UnknownMedia`]; [`Error::MediaPending`] for a file that is not uploaded;
/// [`Error::MediaTooLarge`] for uploads that are too large together.
pub async fn resolve(
    gateway: &Gateway,
    tenant: &TenantId,
    references: &MediaReferences,
) -> Result<Vec<Media>> {
    let destinations = gateway.config.outbound_destinations();
    if !references.urls.iter().all(|url| outbound::is_allowed_url(url, destinations)) {
        return Err(Error::InvalidMediaUrl);
    }
    let mut media: Vec<Media> =
        references.urls.iter().map(|url| Media::of(MediaSource::Url(url.clone()))).collect();
    if references.ids.is_empty() {
        return Ok(media);
    }
    let uploads = gateway.store.uploads(tenant, &references.ids).await?;
    let uploads: Vec<Upload> = uploads.into_iter().collect::<Option<_>>().ok_or(Error::UnknownMedia)?;
    if uploads.iter().map(|upload| upload.size).sum::<usize>() > limits::MEDIA_BYTES {
        return Err(Error::MediaTooLarge { field: "mediaIds" });
    }
    let bucket = gateway.media_bucket();
    let sizes =
        try_join_all(references.ids.iter().map(async |id| bucket.size(&upload_object(tenant, id)).await));
    if sizes.await?.contains(&None) {
        return Err(Error::MediaPending);
    }
    media.extend(uploads.into_iter().map(|upload| Media {
        content_type: Some(upload.content_type),
        size: i64::try_from(upload.size).ok(),
        file_name: upload.file_name,
        ..Media::of(MediaSource::Upload(upload.id))
    }));
    Ok(media)
}

/// The body of `POST /v1/media`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UploadRequest {
    /// The media type of the file: one that RingCentral accepts.
    #[schemars(required, length(min = 1, max = 100))]
    content_type: Option<String>,
    /// The size of the file in bytes, 1 to 1,500,000.
    #[serde(default, deserialize_with = "whole_number::optional")]
    #[schemars(required, range(min = 1, max = limits::MEDIA_BYTES), transform = whole_number::without_default)]
    size: Option<u64>,
    /// The file name that the recipient may see, 1 to 100 characters. Default: `file` with its number and the extension of its type.
    #[schemars(length(min = 1, max = limits::FILE_NAME_CHARS), regex(pattern = limits::LINE_PATTERN))]
    file_name: Option<String>,
}

/// An upload, and where and how the client uploads its file.
#[derive(Debug, Clone)]
pub struct NewUpload {
    pub upload: Upload,
    pub url: String,
    /// When the URL ends.
    pub url_expires_at: Timestamp,
    /// The headers that the request to the URL must have.
    pub headers: Vec<(&'static str, String)>,
}

/// Creates an upload.
///
/// # Errors
/// [`Error::MediaTypeUnsupported`] and [`Error::MediaTooLarge`].
pub async fn create_upload(
    gateway: &Gateway,
    tenant: &TenantId,
    request: UploadRequest,
) -> Result<NewUpload> {
    let now = gateway.clock.now();
    let missing = |field| Error::MissingField { text: "contentType and size are required", field };
    let content_type = request.content_type.filter(|text| !text.is_empty()).ok_or(missing("contentType"))?;
    let content_type = media_type(&content_type).ok_or(Error::MediaTypeUnsupported)?.name;
    let size = request.size.ok_or(missing("size"))?;
    if size == 0 {
        return Err(Error::InvalidField { text: "size must be 1-1500000 bytes".to_owned(), field: "size" });
    }
    let size = usize::try_from(size).ok().filter(|size| *size <= limits::MEDIA_BYTES);
    let size = size.ok_or(Error::MediaTooLarge { field: "size" })?;
    let file_name = request.file_name.map(file_name).transpose()?.unwrap_or_default();
    let upload = Upload {
        id: MediaId::generate_upload(now),
        content_type: content_type.to_owned(),
        size,
        file_name,
        expires_at: saturating_add(now, SignedDuration::from_secs(limits::UPLOAD_KEPT_SECONDS)),
    };
    // The bucket accepts only a file of this size and type, and only one.
    let headers = vec![
        ("content-length", size.to_string()),
        ("content-type", content_type.to_owned()),
        ("if-none-match", "*".to_owned()),
    ];
    let url = gateway.media_bucket().upload_url(&upload_object(tenant, &upload.id), &headers)?;
    gateway.store.add_upload(tenant, &upload).await?;
    let url_expires_at = saturating_add(now, SignedDuration::from_secs(limits::UPLOAD_URL_SECONDS));
    tracing::info!(tenant.id = %tenant, media.id = %upload.id, size, "upload created");
    Ok(NewUpload { upload, url, url_expires_at, headers })
}

fn file_name(text: String) -> Result<String> {
    let is_long = !(1..=limits::FILE_NAME_CHARS).contains(&text.chars().count());
    if is_long || text.chars().any(char::is_control) {
        let text = "fileName must be 1-100 characters without control characters".to_owned();
        return Err(Error::InvalidField { text, field: "fileName" });
    }
    Ok(text)
}

/// A URL at which anyone can download a file, for five minutes.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::MediaPending`] before it is stored; [`Error::MediaGone`] if it has expired or will not be stored.
pub async fn download_url(gateway: &Gateway, tenant: &TenantId, id: &MediaId) -> Result<String> {
    let (store, bucket, now) = (&gateway.store, gateway.media_bucket(), gateway.clock.now());
    let Some((message, index)) = id.message() else {
        let upload = store.uploads(tenant, std::slice::from_ref(id)).await?.into_iter().next().flatten();
        let upload = upload.ok_or(Error::NotFound)?;
        let object = upload_object(tenant, id);
        bucket.size(&object).await?.ok_or(Error::MediaPending)?;
        let name = if upload.file_name.is_empty() { "file".to_owned() } else { upload.file_name };
        return Ok(bucket.download_url(&object, &name)?);
    };
    let message = store.message(tenant, message).await?.ok_or(Error::NotFound)?;
    let file = message.media.get(index).ok_or(Error::NotFound)?;
    let kept = SignedDuration::from_hours(24 * i64::from(gateway.config.media_retention_days));
    match (file.status, &file.object, file.stored_at) {
        (MediaStatus::Stored, Some(object), Some(at)) if saturating_add(at, kept) > now => {
            Ok(bucket.download_url(object, &file.name(index))?)
        }
        (MediaStatus::Pending, _, _) => {
            let is_waiting = message.direction == Direction::Inbound
                || matches!(message.status, MessageStatus::Queued | MessageStatus::Scheduled);
            Err(if is_waiting { Error::MediaPending } else { Error::MediaGone })
        }
        _ => Err(Error::MediaGone),
    }
}
