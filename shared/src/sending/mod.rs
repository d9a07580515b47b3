//! Outbound messages: accepting, canceling and resolving them, and applying delivery reports.
//!
//! An accepted message and its outbox entry are stored in one transaction. An SQS message then wakes the sender's worker
//! ([`dispatch::run`]). The sweep recovers lost queue messages ([`wake_due_senders`]): all pending work is recorded in the
//! table.

pub mod dispatch;
mod filter;
mod find;
mod opt_out;
mod reconcile;
mod reports;
mod request;
mod wakeup;
mod worker;

use jiff::SignedDuration;

use crate::cache::SendingExtension;
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::consent::ConsentPair;
use crate::model::ids::{ExtensionId, MessageId, TenantId};
use crate::model::message::{Message, MessageStatus, Resolution};
use crate::model::number::Features;
use crate::model::phone::E164;
use crate::model::sender;
use crate::retry::{Attempt, retry_on_conflict};
use crate::span;
use crate::store::{Idempotency, IdempotentOutcome, PendingIn, StoredResponse, WriteOutcome};

pub use filter::filter;
pub use reports::{ReportOutcome, apply_delivery_report, is_final};
pub use request::{SendRequest, ValidatedSend, validate_body};
pub use wakeup::{Wakeup, wake_due_senders};
pub use worker::SenderConnection;

use wakeup::{wake, wake_debounced};

/// The response to an accepted request.
#[derive(Debug, Clone)]
pub struct Receipt {
    pub message: MessageId,
    /// The status when the message was accepted.
    pub status: MessageStatus,
    pub segments: u32,
}

/// Accepts a message: from here on it is not lost. Requests with the same idempotency key accept one message.
///
/// # Errors
/// [`Error::SenderUnknown`] or [`Error::SenderNotConnected`] for a number that cannot send; [`Error::RecipientOptedOut`];
/// [`Error::IdempotencyReused`] and [`Error::IdempotencyInProgress`].
pub async fn accept(gateway: &Gateway, tenant: &TenantId, send: ValidatedSend) -> Result<Receipt> {
    let key = send.idempotency();
    match (accept_new(gateway, tenant, send, key.as_ref()).await, &key) {
        // A replay gets the stored response even if the request would be rejected now.
        (Err(error), Some(key)) if error.may_succeed_later() => {
            let response = gateway.store.stored_response(tenant, key).await?;
            response.map_or(Err(error), |response| replay(response, key))
        }
        (accepted, _) => accepted,
    }
}

async fn accept_new(
    gateway: &Gateway,
    tenant: &TenantId,
    send: ValidatedSend,
    key: Option<&Idempotency>,
) -> Result<Receipt> {
    send.validate_times(gateway.clock.now())?;
    let sender = sending_extension(gateway, tenant, &send.from).await?;
    let pairs = ConsentPair::that_block(&send.from, &send.to, sender.account.as_deref());
    let message = send.into_message(tenant.clone(), sender.extension, gateway.clock.now());
    span::set_message(&message.id);
    let pending_in = pending_in(&message);
    let receipt = match (gateway.store.accept_message(&message, pending_in, &pairs, key).await?, key) {
        (IdempotentOutcome::Applied, _) => {
            tracing::info!(tenant.id = %tenant, extension.id = %message.extension, message.id = %message.id,
                message.status = message.status.as_str(), "message accepted");
            Receipt { message: message.id.clone(), status: message.status, segments: message.segments }
        }
        (IdempotentOutcome::Replayed(response), Some(key)) => replay(response, key)?,
        (IdempotentOutcome::Replayed(_), None) => return Err(Error::IdempotencyReused),
        (IdempotentOutcome::InProgress, _) => return Err(Error::IdempotencyInProgress),
        (IdempotentOutcome::Refused, _) => return Err(Error::RecipientOptedOut),
    };
    if pending_in == PendingIn::Outbox {
        wake_debounced(gateway, tenant, &message.extension).await;
    }
    Ok(receipt)
}

/// The stored response, provided that the request is the same.
fn replay(response: StoredResponse, key: &Idempotency) -> Result<Receipt> {
    span::set_message(&response.message);
    if response.fingerprint != key.fingerprint {
        return Err(Error::IdempotencyReused);
    }
    Ok(Receipt { message: response.message, status: response.status, segments: response.segments })
}

fn pending_in(message: &Message) -> PendingIn {
    match message.send_at.filter(|_| message.status == MessageStatus::Scheduled) {
        Some(at) => PendingIn::Scheduled(at),
        None => PendingIn::Outbox,
    }
}

/// The connected extension that a number belongs to, with its account. Only successful lookups are cached, for ten seconds.
async fn sending_extension(gateway: &Gateway, tenant: &TenantId, from: &E164) -> Result<SendingExtension> {
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
        let sender = SendingExtension { extension: number.extension, account };
        gateway.cache.senders.insert(&name, sender.clone(), until);
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
        let pending_in = pending_in(&message);
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
