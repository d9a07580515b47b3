//! Quarantined records, for the operator.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::iso;
use crate::model::quarantine::{Completeness, QuarantineEntry, QuarantineKind, RawEncoding, RawRecord};

/// A record that could not be read.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "QuarantineEntry")]
pub struct QuarantineRecordView<'a> {
    /// The ID of the record.
    id: &'a str,
    /// What it is.
    kind: QuarantineKind,
    /// The tenant that it belongs to; null if that is not known.
    tenant_id: Option<String>,
    /// Why it could not be read. Contains no content of the record.
    reason: &'a str,
    /// When it was quarantined.
    #[schemars(with = "Timestamp")]
    received_at: String,
}

impl<'a> From<&'a QuarantineEntry> for QuarantineRecordView<'a> {
    fn from(entry: &'a QuarantineEntry) -> Self {
        Self {
            id: entry.id.as_str(),
            kind: entry.kind,
            tenant_id: entry.id.tenant().map(|tenant| tenant.to_string()),
            reason: &entry.reason,
            received_at: iso(entry.received_at),
        }
    }
}

/// A list of quarantined records.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "QuarantineList")]
pub struct QuarantineList<'a> {
    /// The records, newest first.
    records: Vec<QuarantineRecordView<'a>>,
    /// Send it as `cursor` to get the next page; `null` on the last page.
    next_cursor: Option<String>,
}

impl<'a> QuarantineList<'a> {
    pub fn of(entries: &'a [QuarantineEntry], next_cursor: Option<String>) -> Self {
        Self { records: entries.iter().map(QuarantineRecordView::from).collect(), next_cursor }
    }
}

/// A quarantined record with its content.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "QuarantinedRecord")]
pub struct QuarantineContent<'a> {
    #[serde(flatten)]
    record: QuarantineRecordView<'a>,
    /// The record as it came, at most 64 KiB.
    raw: &'a str,
    /// `utf-8` if `raw` is the record itself, `base64` if it is not UTF-8.
    encoding: RawEncoding,
    /// True if only the first 64 KiB were kept. Such a record cannot be retried.
    truncated: bool,
}

impl<'a> QuarantineContent<'a> {
    pub fn of(entry: &'a QuarantineEntry, raw: &'a RawRecord) -> Self {
        Self {
            record: QuarantineRecordView::from(entry),
            raw: &raw.text,
            encoding: raw.encoding,
            truncated: raw.completeness == Completeness::Truncated,
        }
    }
}
