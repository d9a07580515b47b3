//! Outbound messages: accepting, canceling and resolving them, and applying delivery reports.
//!
//! An accepted message and its outbox entry are stored in one transaction. An SQS message then wakes the sender's worker
//! ([`dispatch::run`]). The sweep recovers lost queue messages ([`wake_due_senders`]): all pending work is recorded in the
//! table.

mod call_budget;
pub mod dispatch;
mod filter;
mod find;
mod keyword;
mod reconcile;
mod reports;
mod request;
mod wakeup;
mod worker;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::cache::SendingNumber;
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::media;
use crate::model::consent::DecisiveConsents;
use crate::model::ids::{ExtensionId, MessageId, TenantId};
use crate::model::message::{HeldFor, Message, MessageStatus, Resolution};
use crate::model::number::{Features, SendWarning};
use crate::model::phone::E164;
use crate::model::sender;
use crate::model::tenant::Tenant;
use crate::retry::{Attempt, retry_on_conflict};
use crate::span;
use crate::store::{Idempotency, IdempotentOutcome, PendingIn, StoredResponse, WriteOutcome};

pub use call_budget::{CallPermit, take_call};
pub use filter::filter;
pub use reports::{ReportOutcome, apply_delivery_report, is_final};
pub use request::{SendRequest, ValidatedSend, validate_body};
pub use wakeup::{Wakeup, wake_due_senders};
pub use worker::SenderConnection;
pub(crate) use worker::retry_after;

pub(crate) use wakeup::wake;
use wakeup::wake_debounced;

/// The response to an accepted request.
#[derive(Debug, Clone)]
pub struct Receipt {
    pub message: MessageId,
    /// The status when the message was accepted.
    pub status: MessageStatus,
    pub segments: u32,
    /// When it is sent, if it was not to be sent at once.
    pub send_at: Option<Timestamp>,
    /// Why it waits longer than requested.
    pub held_for: Option<HeldFor>,
    pub warning: Option<SendWarning>,
}

/// Accepts a message: from here on it is not lost. A marketing message is held in the tenant's quiet hours. Requests with the
/// same idempotency key accept one message.
///
/// # Errors
/// [`Error::SenderUnknown`] or [`Error::SenderNotConnected`] for a number that cannot send; [`Error::RecipientOptedOut`];
/// [`Error::IdempotencyReused`] and [`Error::IdempotencyInProgress`].
pub async fn accept(gateway: &Gateway, tenant: &Tenant, send: ValidatedSend) -> Result<Receipt> {
    let key = send.idempotency();
    match (accept_new(gateway, tenant, send, key.as_ref()).await, &key) {
        // A replay gets the stored response even if the request would be rejected now.
        (Err(error), Some(key)) if error.may_succeed_later() => {
            let response = gateway.store.stored_response(&tenant.id, key).await?;
            response.map_or(Err(error), |response| replay(response, key))
        }
        (accepted, _) => accepted,
    }
}

async fn accept_new(
    gateway: &Gateway,
    tenant: &Tenant,
    send: ValidatedSend,
    key: Option<&Idempotency>,
) -> Result<Receipt> {
    let now = gateway.clock.now();
    send.validate_times(now, gateway.config.media_retention_days)?;
    let sender = sending_number(gateway, &tenant.id, &send.from).await?;
    if !send.media.is_empty() && !Features::of(&sender.number.features).mms {
        return Err(Error::SenderCannotMms);
    }
    let media = media::resolve(gateway, &tenant.id, &send.media).await?;
    let consents = DecisiveConsents::of(&send.from, &send.to, sender.account.as_deref());
    let mut message = send.into_message(tenant.id.clone(), sender.number.extension.clone(), media, now);
    span::set_message(&message.id);
    if let Some(until) = tenant.settings.held_until(&message, message.send_at.unwrap_or(now)) {
        message.hold(until, now);
    }
    let pending_in = pending_in(&message, now);
    let warning = SendWarning::of(&sender.number, &message.to);
    let response = key.map(|key| (key, warning.as_ref()));
    let receipt = match (gateway.store.accept_message(&message, pending_in, &consents, response).await?, key)
    {
        (IdempotentOutcome::Applied, _) => {
            tracing::info!(tenant.id = %tenant.id, extension.id = %message.extension, message.id = %message.id,
                message.status = message.status.as_str(), "message accepted");
            Receipt {
                message: message.id.clone(),
                status: message.status,
                segments: message.segments,
                send_at: message.send_at,
                held_for: message.held_for,
                warning,
            }
        }
        (IdempotentOutcome::Replayed(response), Some(key)) => replay(response, key)?,
        (IdempotentOutcome::Replayed(_), None) => return Err(Error::IdempotencyReused),
        (IdempotentOutcome::InProgress, _) => return Err(Error::IdempotencyInProgress),
        (IdempotentOutcome::Refused, _) => return Err(Error::RecipientOptedOut),
    };
    match pending_in {
        PendingIn::Outbox => wake_debounced(gateway, &tenant.id, &message.extension).await,
        PendingIn::Media(_) => media::request_copy(gateway, &tenant.id, &message.id, 0).await,
        PendingIn::Scheduled(_) | PendingIn::Reconciling => {}
    }
    Ok(receipt)
}

/// The stored response, provided that the request is the same.
fn replay(response: StoredResponse, key: &Idempotency) -> Result<Receipt> {
    span::set_message(&response.message);
    if response.fingerprint != key.fingerprint {
        return Err(Error::IdempotencyReused);
    }
    let StoredResponse { message, status, segments, send_at, held_for, warning, .. } = response;
    Ok(Receipt { message, status, segments, send_at, held_for, warning })
}

/// Where a message that was not submitted waits. A file that is to be copied comes first, also for a scheduled message.
pub(crate) fn pending_in(message: &Message, now: Timestamp) -> PendingIn {
    if message.has_pending_media() {
        return PendingIn::Media(media::copy_overdue_at(now));
    }
    match message.scheduled_for().filter(|_| message.status == MessageStatus::Scheduled) {
        Some(at) => PendingIn::Scheduled(at),
        None => PendingIn::Outbox,
    }
}

/// A number of a connected extension that can send. Only successful lookups are cached, for ten seconds.
async fn sending_number(gateway: &Gateway, tenant: &TenantId, from: &E164) -> Result<Arc<SendingNumber>> {
    let now = gateway.clock.now();
    let name = format!("{tenant} {from}");
    if let Some(sender) = gateway.cache.senders.get(&name, now) {
        return Ok(sender);
    }
    let (number, connections) =
        tokio::try_join!(gateway.store.number(tenant, from), gateway.store.connections(tenant))?;
    let connection = |extension: &ExtensionId| {
        connections.iter().find(|one| one.extension == *extension && one.status.is_connected())
    };
    if let Some(number) = number.filter(|number| Features::of(&number.features).sms) {
        let connection = connection(&number.extension).ok_or(Error::SenderNotConnected)?;
        let account = connection.identity.account.clone();
        let until = saturating_add(now, SignedDuration::from_secs(limits::SEND_CACHE_SECONDS));
        let sender = Arc::new(SendingNumber { number, account });
        gateway.cache.senders.insert(&name, Arc::clone(&sender), until);
        return Ok(sender);
    }
    if !connections.iter().any(|connection| connection.status.is_connected()) {
        return Err(Error::SenderNotConnected);
    }
    let mut accounts: Vec<_> =
        connections.iter().filter_map(|connection| connection.identity.account.clone()).collect();
    accounts.dedup();
    for account in accounts {
        if gateway.store.is_account_number(tenant, &account, from).await? {
            return Err(Error::SenderNotConnected);
        }
    }
    Err(Error::SenderUnknown { number: from.as_str().to_owned() })
}

/// Parses a message id from a path.
pub fn message_id(text: &str) -> Result<MessageId> {
    MessageId::parse(text).ok_or(Error::InvalidId { kind: "messageId" })
}

/// Reads one message.
pub async fn find(gateway: &Gateway, tenant: &TenantId, id: &MessageId) -> Result<Message> {
    span::set_message(id);
    gateway.store.message(tenant, id).await?.ok_or(Error::NotFound)
}

/// Cancels a message of which nothing was submitted to RingCentral.
///
/// # Errors
/// [`Error::MessageState`] for any other message.
pub async fn cancel(gateway: &Gateway, tenant: &TenantId, id: &MessageId) -> Result<Message> {
    let is_sending = || Error::MessageState { status: MessageStatus::Sending.as_str() };
    retry_on_conflict(limits::CONFLICT_ATTEMPTS, is_sending, || async {
        let mut message = find(gateway, tenant, id).await?;
        if !message.is_cancelable() {
            return Err(Error::MessageState { status: message.status.as_str() });
        }
        let pending_in = pending_in(&message, gateway.clock.now());
        message.end(MessageStatus::Canceled, None, None, gateway.clock.now());
        Ok(match gateway.store.cancel_message(&message, pending_in).await? {
            WriteOutcome::Applied => {
                tracing::info!(tenant.id = %tenant, extension.id = %message.extension, message.id = %id,
                    "message canceled");
                Attempt::Done(message)
            }
            WriteOutcome::Conflict => Attempt::Conflict,
        })
    })
    .await
}

/// Applies the tenant's decision about a message with an unknown outcome.
///
/// # Errors
/// [`Error::MessageState`] if the outcome is known or still being reconciled.
pub async fn resolve(
    gateway: &Gateway,
    tenant: &TenantId,
    id: &MessageId,
    resolution: Resolution,
) -> Result<Message> {
    let exhausted = || Error::unavailable("a message that keeps changing", "resolving it");
    let (message, pending_in) = retry_on_conflict(limits::CONFLICT_ATTEMPTS, exhausted, || async {
        let mut message = find(gateway, tenant, id).await?;
        let previous_status = message.status;
        if sender::resolve(&mut message, resolution, gateway.clock.now()).is_err() {
            return Err(Error::MessageState { status: message.status.as_str() });
        }
        let to = match resolution {
            Resolution::Resend => Some(PendingIn::Outbox),
            Resolution::Drop => None,
        };
        Ok(match gateway.store.move_message(&message, previous_status, None, to).await? {
            WriteOutcome::Applied => Attempt::Done((message, to)),
            WriteOutcome::Conflict => Attempt::Conflict,
        })
    })
    .await?;
    tracing::info!(tenant.id = %tenant, extension.id = %message.extension, message.id = %id,
        resolution = resolution.as_str(), "message resolved");
    if pending_in.is_some() {
        wake(gateway, tenant, &message.extension, 0).await;
    }
    Ok(message)
}
