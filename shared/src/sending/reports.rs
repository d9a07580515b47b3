//! Delivery reports: what RingCentral's message store says about messages that were sent.

use super::find::{FoundMessage, find_message};
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::failure;
use crate::model::ids::{ExtensionId, MessageId, TenantId};
use crate::model::message::{DeliveryReport, PartStage};
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
        if message == before {
            return Ok(Attempt::Done(ReportOutcome::Unchanged));
        }
        if gateway.store.update_message(&message, before.status).await? == WriteOutcome::Conflict {
            return Ok(Attempt::Conflict);
        }
        tracing::info!(tenant.id = %tenant, extension.id = %message.extension, message.id = %id,
            message.status = message.status.as_str(), error.code = report.error_code, "delivery report applied");
        Ok(Attempt::Done(ReportOutcome::Applied))
    })
    .await
}

fn exhausted() -> Error {
    Error::unavailable("a message that keeps changing", "applying a delivery report")
}
