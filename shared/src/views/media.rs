//! Uploads as the API returns them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::as_iso;
use crate::media::NewUpload;

/// The response of `POST /v1/media`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "MediaUpload")]
pub struct UploadView {
    /// The id of the file. Send it in `mediaIds`.
    media_id: String,
    /// The URL for the file. Send it there with PUT.
    upload_url: String,
    /// The headers that the PUT request must have, by name.
    upload_headers: BTreeMap<&'static str, String>,
    /// When `uploadUrl` expires.
    #[serde(serialize_with = "as_iso")]
    expires_at: Timestamp,
    /// When the file expires: from then on it cannot be sent.
    #[serde(serialize_with = "as_iso")]
    media_expires_at: Timestamp,
}

impl From<&NewUpload> for UploadView {
    fn from(new: &NewUpload) -> Self {
        Self {
            media_id: new.upload.id.to_string(),
            upload_url: new.url.clone(),
            upload_headers: new.headers.iter().cloned().collect(),
            expires_at: new.url_expires_at,
            media_expires_at: new.upload.expires_at,
        }
    }
}
