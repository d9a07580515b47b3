//! Messages that go out, and what becomes of them.

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::model::ids::{ExtensionId, TenantId};
use crate::model::message::{Stage, Told};
use crate::ringcentral::{self, MessageStatus};
use crate::store::Record;

/// How often a message is read again when it changes meanwhile.
const ATTEMPTS: u32 = 5;

/// What came of a record of RingCentral's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// The message has changed, and its event is written.
    Changed,
    /// Nothing new.
    Unchanged,
    /// It is no message of ours, or not known to be yet; what it tells is remembered.
    NotOurs,
}

/// Applies what RingCentral's message store says of a message that went out. It may be told late, twice, and before the
/// send itself has been answered.
///
/// # Errors
/// If the store does not answer; then nothing is lost by telling it again.
pub async fn note_record(
    gateway: &Gateway,
    tenant: &TenantId,
    extension: &ExtensionId,
    record: &ringcentral::Message,
) -> Result<Noted> {
    let Some(told) = told(record) else { return Ok(Noted::Unchanged) };
    let rc_id = record.id.to_string();
    for _ in 0..ATTEMPTS {
        let known = gateway.store.record(tenant, extension, &rc_id).await?;
        let Some(Record { tied: Some((message, part)), .. }) = known else {
            if gateway.store.remember_told(tenant, extension, &rc_id, &told).await? {
                return Ok(Noted::NotOurs);
            }
            continue;
        };
        let Some(mut message) = gateway.store.message(tenant, &message).await? else {
            return Ok(Noted::NotOurs);
        };
        let before = message.clone();
        message.note_part(part, &told, gateway.clock.now());
        if message == before {
            return Ok(Noted::Unchanged);
        }
        if gateway.store.change_message(&message, before.status).await? {
            return Ok(Noted::Changed);
        }
    }
    Err(Error::unavailable("a message that keeps changing", "noting what became of it"))
}

/// What a record tells; `None` if that is nothing yet.
pub(crate) fn told(record: &ringcentral::Message) -> Option<Told> {
    let stage = match record.status.as_ref()? {
        MessageStatus::Sent => Stage::Sent,
        MessageStatus::Delivered => Stage::Delivered,
        MessageStatus::DeliveryFailed | MessageStatus::SendingFailed => Stage::Failed,
        MessageStatus::Queued | MessageStatus::Received | MessageStatus::Other(_) => return None,
    };
    Some(Told { stage, error_code: record.delivery_error_code.clone() })
}
