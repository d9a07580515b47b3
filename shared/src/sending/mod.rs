//! Messages that go out: accepting them, taking them back, and what becomes of them.
//!
//! An accepted message and its place in its sender's queue are one transaction. SQS only rings the worker
//! ([`deliver::run`]); a ring that is lost is made up for by [`ring_due`], which looks once a minute.

pub mod dispatch;
mod filter;
mod reconcile;
mod request;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::ids::{ExtensionId, MessageId, TenantId};
use crate::model::message::{Message, MessageStatus, Stage, Told};
use crate::model::number::Features;
use crate::model::phone::E164;
use crate::model::sender;
use crate::ringcentral;
use crate::store::{Accepted, DueSender, FirstAnswer, Idempotency, Place, Record};

pub use filter::filter;
pub use request::{Order, SendRequest, checked_body};

/// How often a message is read again when it changes meanwhile.
const ATTEMPTS: u32 = 5;

/// What the worker is told: somebody has something to send.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ring {
    /// The tenant.
    pub tenant_id: String,
    /// The sender.
    pub extension_id: String,
}

/// What an accepted request is answered.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The message.
    pub message: MessageId,
    /// How far it had come when it was accepted.
    pub status: MessageStatus,
    /// Its segments.
    pub segments: u32,
}

/// Accepts a message: from here on it is never lost. The same request with the same key is accepted once.
///
/// # Errors
/// [`Error::SenderUnknown`] or [`Error::SenderNotConnected`] for a number that can't send;
/// [`Error::IdempotencyReused`] and [`Error::IdempotencyInProgress`].
pub async fn accept(gateway: &Gateway, tenant: &TenantId, order: Order) -> Result<Receipt> {
    let key = order.idempotency();
    match (accept_now(gateway, tenant, order, key.as_ref()).await, &key) {
        // What has changed since the first request does not change its answer.
        (Err(error), Some(key)) if error.is_of_the_moment() => {
            let first = gateway.store.first_answer(tenant, key).await?;
            first.map_or(Err(error), |first| repeated(first, key))
        }
        (accepted, _) => accepted,
    }
}

async fn accept_now(
    gateway: &Gateway,
    tenant: &TenantId,
    order: Order,
    key: Option<&Idempotency>,
) -> Result<Receipt> {
    order.is_in_time(gateway.clock.now())?;
    let extension = sender(gateway, tenant, &order.from).await?;
    let message = order.into_message(tenant.clone(), extension, gateway.clock.now());
    let place = place_of(&message);
    let receipt = match (gateway.store.accept_message(&message, place, key).await?, key) {
        (Accepted::Yes, _) => {
            Receipt { message: message.id.clone(), status: message.status, segments: message.segments }
        }
        (Accepted::Before(first), Some(key)) => repeated(first, key)?,
        (Accepted::Before(_), None) => return Err(Error::IdempotencyReused),
        (Accepted::InProgress, _) => return Err(Error::IdempotencyInProgress),
    };
    if place == Place::Outbox {
        ring_once(gateway, tenant, &message.extension).await;
    }
    Ok(receipt)
}

/// The first answer, to the same request.
fn repeated(first: FirstAnswer, key: &Idempotency) -> Result<Receipt> {
    if first.fingerprint != key.fingerprint {
        return Err(Error::IdempotencyReused);
    }
    Ok(Receipt { message: first.message, status: first.status, segments: first.segments })
}

/// Wakes the worker of a sender for a message that was accepted just now. Of many in a row, the first wakes it at once, and
/// the next one for all that come until then.
async fn ring_once(gateway: &Gateway, tenant: &TenantId, extension: &ExtensionId) {
    let (rung, now) = (&gateway.cache.rung_senders, gateway.clock.now());
    let (name, wait) =
        (format!("{tenant} {extension}"), SignedDuration::from_secs(limits::RING_SECONDS.into()));
    match rung.get(&name, now) {
        // Somebody is rung for after this moment.
        Some(true) => {}
        Some(false) => {
            rung.insert(&name, true, saturating_add(now, wait));
            // A second more than the queue counts: what is accepted until then is there when it wakes.
            ring(gateway, tenant, extension, limits::RING_SECONDS + 1).await;
        }
        None => {
            rung.insert(&name, false, saturating_add(now, wait));
            ring(gateway, tenant, extension, 0).await;
        }
    }
}

fn place_of(message: &Message) -> Place {
    match message.send_at.filter(|_| message.status == MessageStatus::Scheduled) {
        Some(at) => Place::Scheduled(at),
        None => Place::Outbox,
    }
}

/// The extension that a number sends as. What was found is remembered for ten seconds, what was not is not.
async fn sender(gateway: &Gateway, tenant: &TenantId, from: &E164) -> Result<ExtensionId> {
    let now = gateway.clock.now();
    let name = format!("{tenant} {from}");
    if let Some(extension) = gateway.cache.senders.get(&name, now) {
        return Ok(extension);
    }
    let (number, connections) =
        tokio::try_join!(gateway.store.number(tenant, from), gateway.store.connections(tenant))?;
    let is_connected = |extension: &ExtensionId| {
        connections.iter().any(|one| one.extension == *extension && one.status.is_connected())
    };
    if let Some(number) = number.filter(|number| Features::of(&number.features).sms) {
        if !is_connected(&number.extension) {
            return Err(Error::SenderNotConnected);
        }
        let until = saturating_add(now, SignedDuration::from_secs(limits::SEND_CACHE_SECONDS));
        gateway.cache.senders.insert(&name, number.extension.clone(), until);
        return Ok(number.extension);
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

/// Wakes the worker of a sender. That it can't be woken is no reason to fail: it is looked after once a minute.
pub(crate) async fn ring(gateway: &Gateway, tenant: &TenantId, extension: &ExtensionId, delay_seconds: i32) {
    let ring = Ring { tenant_id: tenant.as_str().to_owned(), extension_id: extension.as_str().to_owned() };
    let queue = &gateway.config.deliver_sms_queue;
    if let Err(error) = gateway.queues().put(queue, tenant, &ring, delay_seconds).await {
        tracing::warn!(tenant.id = %tenant, error = %error, "a sender was not rung");
    }
}

/// Rings every sender, across all tenants, for whom something is due. Gives how many.
pub async fn ring_due(gateway: &Gateway) -> Result<usize> {
    use futures_util::StreamExt;
    let senders = gateway.store.due_senders_of_all_tenants().await?;
    let rings = senders.into_iter().map(|sender| ring_if_due(gateway, sender));
    let rung = futures_util::stream::iter(rings).buffer_unordered(limits::RINGS_AT_ONCE);
    Ok(rung.filter(|rung| std::future::ready(*rung)).count().await)
}

/// Rings a sender, unless its mark is all that there is. One whose queue can't be read is rung: the worker will see.
async fn ring_if_due(gateway: &Gateway, sender: DueSender) -> bool {
    let DueSender { tenant, extension, marked } = sender;
    if let (Some(marked), Ok(None)) = (marked, gateway.store.first_of_outbox(&tenant, &extension).await) {
        let end = saturating_add(marked, SignedDuration::from_secs(limits::MARK_KEPT_SECONDS));
        if end <= gateway.clock.now()
            && let Err(error) = gateway.store.unmark(&tenant, &extension, marked).await
        {
            tracing::warn!(tenant.id = %tenant, error = %error, "a mark was not taken away");
        }
        return false;
    }
    ring(gateway, &tenant, &extension, 0).await;
    true
}

/// The id of a message in a path.
pub fn message_id(text: &str) -> Result<MessageId> {
    MessageId::parse(text).ok_or(Error::InvalidId { kind: "messageId" })
}

/// One message of a tenant.
pub async fn find(gateway: &Gateway, tenant: &TenantId, id: &MessageId) -> Result<Message> {
    gateway.store.message(tenant, id).await?.ok_or(Error::NotFound)
}

/// Takes a message back that was not begun.
///
/// # Errors
/// [`Error::MessageState`] if it has come too far.
pub async fn cancel(gateway: &Gateway, tenant: &TenantId, id: &MessageId) -> Result<Message> {
    for _ in 0..ATTEMPTS {
        let mut message = find(gateway, tenant, id).await?;
        if !message.is_untouched() {
            return Err(Error::MessageState { status: message.status.as_str() });
        }
        let place = place_of(&message);
        message.end(MessageStatus::Canceled, None, None, gateway.clock.now());
        if gateway.store.cancel_message(&message, place).await? {
            return Ok(message);
        }
    }
    Err(Error::MessageState { status: MessageStatus::Sending.as_str() })
}

/// Carries out what the tenant decides about a message whose fate is unknown: to send it again, or to give it up.
///
/// # Errors
/// [`Error::MessageState`] if its fate is known, or still being looked for.
pub async fn resolve(gateway: &Gateway, tenant: &TenantId, id: &MessageId, resend: bool) -> Result<Message> {
    for _ in 0..ATTEMPTS {
        let mut message = find(gateway, tenant, id).await?;
        let was = message.status;
        if !sender::decide(&mut message, resend, gateway.clock.now()) {
            return Err(Error::MessageState { status: message.status.as_str() });
        }
        let to = resend.then_some(Place::Outbox);
        if gateway.store.move_message(&message, was, None, to).await? {
            if resend {
                ring(gateway, tenant, &message.extension, 0).await;
            }
            return Ok(message);
        }
    }
    Err(Error::unavailable("a message that keeps changing", "resolving it"))
}

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
        return apply(gateway, tenant, &message, part, &told).await;
    }
    Err(Error::unavailable("a message that keeps changing", "noting what became of it"))
}

/// What a record tells; `None` if that is nothing yet.
pub(crate) fn told(record: &ringcentral::Message) -> Option<Told> {
    let stage = match record.status.as_ref()? {
        ringcentral::MessageStatus::Sent => Stage::Sent,
        ringcentral::MessageStatus::Delivered => Stage::Delivered,
        ringcentral::MessageStatus::DeliveryFailed | ringcentral::MessageStatus::SendingFailed => {
            Stage::Failed
        }
        // Queued, received, or a word that RingCentral added later.
        _ => return None,
    };
    Some(Told { stage, error_code: record.delivery_error_code.clone() })
}

/// Applies what was told of a part to its message.
pub(crate) async fn apply(
    gateway: &Gateway,
    tenant: &TenantId,
    id: &MessageId,
    part: usize,
    told: &Told,
) -> Result<Noted> {
    for _ in 0..ATTEMPTS {
        let Some(mut message) = gateway.store.message(tenant, id).await? else {
            return Ok(Noted::NotOurs);
        };
        let before = message.clone();
        message.note_part(part, told, gateway.clock.now());
        if message == before {
            return Ok(Noted::Unchanged);
        }
        if gateway.store.change_message(&message, before.status).await? {
            return Ok(Noted::Changed);
        }
    }
    Err(Error::unavailable("a message that keeps changing", "noting what became of it"))
}
