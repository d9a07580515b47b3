//! Delivery reports: what RingCentral's message store says about messages that were sent.

use jiff::SignedDuration;

use super::find::{FoundMessage, find_message};
use crate::clock::saturating_add;
use crate::consents;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::failure;
use crate::model::ids::{ExtensionId, MessageId, TenantId};
use crate::model::message::{DeliveryReport, Message, MessageStatus, PartStage};
use crate::model::sender::SendOutcome;
use crate::retry::{Attempt, retry_on_conflict};
use crate::ringcentral;
use crate::store::{EarlyReportOutcome, StoreError, WriteOutcome};

/// The outcome of applying a delivery report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportOutcome {
    /// The message has changed, and its event is appended.
    Applied,
    Unchanged,
    /// The record is not correlated with a message, now or yet. The report is kept for that case.
    Uncorrelated,
}

/// Applies what a record of RingCentral's message store reports about an outbound message. Reports may come late, twice, and
/// before the response to the send itself.
///
/// # Errors
/// If the store fails; the report may then be applied again.
pub async fn apply_delivery_report(
    gateway: &Gateway,
    tenant: &TenantId,
    extension: &ExtensionId,
    record: &ringcentral::Message,
) -> Result<ReportOutcome> {
    let Some(report) = delivery_report(record) else { return Ok(ReportOutcome::Unchanged) };
    let rc_id = record.id.to_string();
    retry_on_conflict(limits::CONFLICT_ATTEMPTS, exhausted, || async {
        let stored = match gateway.store.record(tenant, extension, &rc_id).await {
            Ok(stored) => stored,
            // An unreadable record must not hold up the reports of others.
            Err(StoreError::Damaged(_)) => return Ok(Attempt::Done(ReportOutcome::Uncorrelated)),
            Err(error) => return Err(error.into()),
        };
        let Some((message, part)) = stored.and_then(|record| record.part) else {
            return Ok(match gateway.store.save_early_report(tenant, extension, &rc_id, &report).await? {
                EarlyReportOutcome::Saved => Attempt::Done(ReportOutcome::Uncorrelated),
                EarlyReportOutcome::AlreadyCorrelated => Attempt::Conflict,
            });
        };
        apply(gateway, tenant, &message, part, &report).await.map(Attempt::Done)
    })
    .await
}

/// The delivery report in a record; `None` if the record has no outcome yet.
fn delivery_report(record: &ringcentral::Message) -> Option<DeliveryReport> {
    let stage = match record.status.as_ref()? {
        ringcentral::MessageStatus::Sent => PartStage::Sent,
        ringcentral::MessageStatus::Delivered => PartStage::Delivered,
        ringcentral::MessageStatus::DeliveryFailed | ringcentral::MessageStatus::SendingFailed => {
            PartStage::Failed
        }
        // Queued, received, or a status that RingCentral added later.
        _ => return None,
    };
    Some(DeliveryReport { stage, error_code: record.delivery_error_code.clone() })
}

/// True if the record's status does not change any more.
pub fn is_final(record: &ringcentral::Message) -> bool {
    let stage = delivery_report(record).map(|report| report.stage);
    matches!(stage, Some(PartStage::Delivered | PartStage::Failed))
}

/// The outcome of a send whose response reports that the message has failed already.
pub(super) fn rejection(record: &ringcentral::Message) -> Option<SendOutcome> {
    let report = delivery_report(record).filter(|report| report.stage == PartStage::Failed)?;
    let error = report.error_code.as_deref().map_or(failure::UNDELIVERED, failure::explain);
    let rc_id = Some(record.id.to_string());
    Some(SendOutcome::Rejected { code: report.error_code, error: error.to_owned(), rc_id })
}

/// Applies a delivery report to a part of a message.
pub(super) async fn apply(
    gateway: &Gateway,
    tenant: &TenantId,
    id: &MessageId,
    part: usize,
    report: &DeliveryReport,
) -> Result<ReportOutcome> {
    retry_on_conflict(limits::CONFLICT_ATTEMPTS, exhausted, || async {
        let FoundMessage::Readable(mut message) = find_message(gateway, tenant, id).await? else {
            return Ok(Attempt::Done(ReportOutcome::Uncorrelated));
        };
        let before = message.clone();
        message.apply_delivery_report(part, report, gateway.clock.now());
        if message == before && is_announced(gateway, &message).await? {
            return Ok(Attempt::Done(ReportOutcome::Unchanged));
        }
        if message == before {
            let patience = SignedDuration::from_secs(limits::STATUS_EVENT_SECONDS);
            if gateway.clock.now() < saturating_add(message.updated_at, patience) {
                return Err(Error::unavailable("a message", "its status has no event yet"));
            }
            // The process that saved the status has ended. The event gets a new time, because polling clients may be past
            // the position of that one.
            message.updated_at = gateway.clock.now();
        }
        consents::record_delivery_error(gateway, &message, part, report).await?;
        // Two writes cost half of a transaction. The record is read again until both are made.
        if gateway.store.save_message(&message).await? == WriteOutcome::Conflict {
            return Ok(Attempt::Conflict);
        }
        if message.updated_at != before.updated_at {
            // A conflict means that it is appended.
            let _: WriteOutcome = gateway.store.append_event(&gateway.store.status_event(&message)).await?;
        }
        tracing::info!(tenant.id = %tenant, extension.id = %message.extension, message.id = %id,
            message.status = message.status.as_str(), error.code = report.error_code, "delivery report applied");
        Ok(Attempt::Done(ReportOutcome::Applied))
    })
    .await
}

/// True if the message's final status has its event. A process may have died after saving the status.
async fn is_announced(gateway: &Gateway, message: &Message) -> Result<bool> {
    Ok(match message.status {
        MessageStatus::Delivered | MessageStatus::Failed => {
            gateway.store.has_event(&gateway.store.status_event(message)).await?
        }
        // A report changes no status to one of the others.
        _ => true,
    })
}

fn exhausted() -> Error {
    Error::unavailable("a message that keeps changing", "applying a delivery report")
}
