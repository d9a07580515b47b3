//! Objects and their metadata.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The headers of an object that its creator sets.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectHeaders {
    pub content_type: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub cache_control: Option<String>,
    /// User-defined metadata, without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredObject {
    /// The name of the file with the bytes.
    pub file: String,
    /// MD5 in hexadecimal, without quotes.
    pub etag: String,
    /// By the stack's clock.
    pub modified: Timestamp,
    pub headers: ObjectHeaders,
    #[serde(skip)]
    pub bytes: Bytes,
}
