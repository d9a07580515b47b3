//! The quarantine: records that could not be read are kept as they came, sealed, until they expire or the operator deletes them.
//!
//! One odd record must not hide its neighbours (reliability rules 23 and 24): the reader adds it here and continues. Each new
//! record raises an alarm. `reprocessing` processes a record again.

use jiff::SignedDuration;

use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::connection::Connection;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::quarantine::{QuarantineEntry, QuarantineId, QuarantineKind, RawRecord};
use crate::model::secret::Secret;
use crate::ringcentral::events::{Event, Json};
use crate::ringcentral::{self, events};
use crate::store::{Page, QuarantinedRecord, UnreadableRow, WriteOutcome};
use crate::vault::{Binding, Owner, Purpose};

/// A record that could not be read.
#[derive(Debug, Clone, Copy)]
pub struct UnreadableRecord<'a> {
    pub kind: QuarantineKind,
    pub tenant: Option<&'a TenantId>,
    /// The connection that it came by.
    pub connection: Option<&'a ConnectionId>,
    /// Why it could not be read, without its content.
    pub reason: &'a str,
    /// The record as it came.
    pub content: &'a [u8],
    /// The name of a row of this stack.
    pub row: Option<&'a str>,
}

impl UnreadableRecord<'_> {
    /// A record is quarantined once, although other fields of it may change: RingCentral's id identifies it, or else its
    /// content. A row is identified by its key.
    fn id(&self) -> QuarantineId {
        let id = match (self.kind, self.row) {
            (_, Some(row)) => Some(row.to_owned()),
            (QuarantineKind::Event, None) => events::from_slice::<Event<Json>>(self.content)
                .and_then(|event| events::record_id(event.body.as_str().as_bytes())),
            _ => events::record_id(self.content),
        };
        let identity = id.as_ref().map_or(self.content, String::as_bytes);
        QuarantineId::of(self.kind, self.tenant, self.connection, identity)
    }
}

/// Adds a record. Does nothing if it is quarantined already.
///
/// # Errors
/// If the table or KMS is unavailable.
pub async fn add(gateway: &Gateway, record: UnreadableRecord<'_>) -> Result<()> {
    let (id, now) = (record.id(), gateway.clock.now());
    let UnreadableRecord { kind, tenant, connection, reason, content, row: _ } = record;
    if gateway.store.quarantined_record(&id).await?.is_none() {
        let raw = RawRecord::of(content);
        let partition = id.partition();
        let owner = owner(&partition);
        let key = gateway.vault().new_key(owner).await?;
        let sealed = QuarantinedRecord {
            encoding: raw.encoding,
            completeness: raw.completeness,
            content: key.seal(owner, binding(&id), &Secret::new(raw.text)),
            key: key.wrapped().clone(),
            entry: QuarantineEntry {
                id: id.clone(),
                kind,
                connection: connection.cloned(),
                reason: reason.to_owned(),
                received_at: now,
            },
        };
        if gateway.store.quarantine(&sealed).await? == WriteOutcome::Applied {
            // The field `alarm` triggers an alarm (template.yaml).
            tracing::warn!(alarm = "quarantine", quarantine.id = %id, quarantine.kind = kind.as_str(),
                tenant.id = tenant.map(TenantId::as_str), connection.id = connection.map(ConnectionId::as_str),
                reason, "record quarantined");
        }
    }
    Ok(())
}

/// Adds the unreadable rows that this process has found. A failure is logged: the rows stay where they are, and are found again.
pub async fn add_unreadable_rows(gateway: &Gateway, rows: &[UnreadableRow]) {
    for row in rows {
        if let Err(error) = add_unreadable_row(gateway, row).await {
            tracing::warn!(error = error.chain(), "unreadable row could not be quarantined");
        }
    }
}

/// Adds an unreadable row, at most once in [`limits::QUARANTINE_CACHE_SECONDS`].
///
/// # Errors
/// If the table or KMS is unavailable.
pub async fn add_unreadable_row(gateway: &Gateway, row: &UnreadableRow) -> Result<()> {
    let (known, now) = (&gateway.cache.quarantined_rows, gateway.clock.now());
    if known.get(&row.name, now).is_some() {
        return Ok(());
    }
    let record = UnreadableRecord {
        kind: QuarantineKind::TableRow,
        tenant: row.tenant.as_ref(),
        connection: None,
        reason: &row.reason,
        content: row.content.as_bytes(),
        row: Some(&row.name),
    };
    add(gateway, record).await?;
    known.insert(&row.name, (), saturating_add(now, KNOWN));
    Ok(())
}

/// Sends the unreadable rows that a request has met to `sweep`, which adds them. Functions that serve requests face the internet, so
/// they may not write to the quarantine. A failure is logged: the rows stay where they are, and are found again.
pub async fn report_unreadable_rows(gateway: &Gateway, rows: Vec<UnreadableRow>) {
    for mut row in rows {
        // One byte more than is kept, so that the record is marked as truncated.
        row.content.truncate(row.content.floor_char_boundary(limits::QUARANTINE_BYTES + 1));
        let group = row.tenant.as_ref().map_or(NO_TENANT, TenantId::as_str);
        if let Err(error) = gateway.queues().put(&gateway.config.work_queues.sweep, group, &row, 0).await {
            tracing::warn!(error = %error, "unreadable row could not be reported to the sweep");
        }
    }
}

/// Adds the records of a response of RingCentral that could not be read.
///
/// # Errors
/// If the table or KMS is unavailable.
pub async fn add_all(
    gateway: &Gateway,
    kind: QuarantineKind,
    connection: &Connection,
    records: &[ringcentral::Unreadable],
) -> Result<()> {
    for record in records {
        add_record(gateway, kind, connection, &record.reason, &record.json).await?;
    }
    Ok(())
}

/// Adds a record of a response of RingCentral that lacks what is needed to use it.
///
/// # Errors
/// If the table or KMS is unavailable.
pub async fn add_record(
    gateway: &Gateway,
    kind: QuarantineKind,
    connection: &Connection,
    reason: &str,
    json: &str,
) -> Result<()> {
    let (tenant, connection) = (Some(&connection.tenant), Some(&connection.id));
    let record = UnreadableRecord { kind, tenant, connection, reason, content: json.as_bytes(), row: None };
    add(gateway, record).await
}

/// The message group of unreadable rows without a tenant.
const NO_TENANT: &str = "no-tenant";

const KNOWN: SignedDuration = SignedDuration::from_secs(limits::QUARANTINE_CACHE_SECONDS);

/// A page of the records of all tenants, newest first.
///
/// # Errors
/// If the table is unavailable.
pub async fn list(
    gateway: &Gateway,
    kind: Option<QuarantineKind>,
    page: &Page,
) -> Result<(Vec<QuarantineEntry>, Option<String>)> {
    Ok(gateway.store.quarantine_of_all_tenants(kind, page).await?)
}

/// A record with its content.
///
/// # Errors
/// [`Error::NotFound`], or if the table or KMS is unavailable.
pub async fn open(gateway: &Gateway, id: &QuarantineId) -> Result<(QuarantineEntry, RawRecord)> {
    let record = gateway.store.quarantined_record(id).await?.ok_or(Error::NotFound)?;
    let partition = id.partition();
    let text = gateway.vault().open(owner(&partition), binding(id), &record.key, &record.content).await?;
    let raw = RawRecord {
        text: text.expose().to_owned(),
        encoding: record.encoding,
        completeness: record.completeness,
    };
    Ok((record.entry, raw))
}

/// Deletes a record.
///
/// # Errors
/// [`Error::NotFound`], or if the table is unavailable.
pub async fn delete(gateway: &Gateway, id: &QuarantineId) -> Result<()> {
    match gateway.store.delete_quarantined(id).await? {
        WriteOutcome::Applied => Ok(()),
        WriteOutcome::Conflict => Err(Error::NotFound),
    }
}

/// The id of the record is in the [`Binding`], not in the encryption context, so that KMS sees no more than the partition.
fn owner(partition: &TenantId) -> Owner<'_> {
    Owner { tenant: partition, subject: "quarantine", purpose: Purpose::Quarantine }
}

fn binding(id: &QuarantineId) -> Binding<'_> {
    Binding { generation: 0, issuer: id.as_str() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(kind: QuarantineKind, content: &str) -> QuarantineId {
        let content = content.as_bytes();
        UnreadableRecord { kind, tenant: None, connection: None, reason: "", content, row: None }.id()
    }

    #[test]
    fn a_record_is_the_same_although_other_fields_have_changed() {
        let (record, event) = (QuarantineKind::MessageRecord, QuarantineKind::Event);
        let first = id(record, r#"{"id":"17","readStatus":"Unread","direction":[]}"#);
        assert_eq!(
            first,
            id(record, r#"{"id":17,"readStatus":"Read","lastModifiedTime":"now","direction":[]}"#)
        );
        assert_eq!(first, id(record, r#"{"id":"17","subject":"a 5" screen"}"#));
        assert_ne!(first, id(record, r#"{"id":"18","readStatus":"Unread","direction":[]}"#));
        assert_ne!(first, id(QuarantineKind::PhoneNumber, r#"{"id":"17"}"#));
        // The id of an event changes when it is repeated; that of its message does not.
        let first = id(event, r#"{"uuid":"a","body":{"id":17,"to":[]}}"#);
        assert_eq!(first, id(event, r#"{"uuid":"b","timestamp":"later","body":{"id":"17","to":[]}}"#));
        assert_ne!(first, id(event, r#"{"uuid":"a","body":{"id":18,"to":[]}}"#));
        // Without an id, the content identifies it.
        assert_ne!(id(event, r#"{"uuid":"a","body":[]}"#), id(event, r#"{"uuid":"b","body":[]}"#));
        assert_ne!(id(record, r#"{"id":{}}"#), id(record, r#"{"id":[]}"#));
    }
}
