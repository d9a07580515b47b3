//! Inbound messages: RingCentral's events, and messages that message sync has found.
//!
//! The webhook URL names the connection that an event belongs to; the verification token of that connection's subscription
//! proves it. The write that stores the event compares token and owner, so that an event costs one call and
//! nothing is written for a forged one. A URL that this deployment did not make costs no call: its tag is wrong.

mod content;

use std::time::{Duration, Instant};

use self::content::{Content, Envelope, Reason, read};
pub use self::content::{RecordRole, is_readable, role};

use crate::consents;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::media;
use crate::model::connection::Connection;
use crate::model::consent::{ConsentPair, ConsentReport, ConsentSource, ConsentUpdate};
use crate::model::consent_keyword::Keyword;
use crate::model::event::{Event, EventKind};
use crate::model::event_route::EventRoute;
use crate::model::ids::{ConnectionId, ExtensionId, TenantId};
use crate::model::media::{Media, MediaSource, MediaView};
use crate::model::message::{InboundMessage, Message};
use crate::model::phone::{self, E164};
use crate::model::quarantine::QuarantineKind;
use crate::model::secret::Secret;
use crate::quarantine::{self, UnreadableRecord};
use crate::ringcentral;
use crate::ringcentral::consents::ConsentPage;
use crate::store::{EventAuth, InboundOutcome, SyncRequested, WorkKind};

/// The outcome of receiving an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveOutcome {
    /// Its message is stored.
    Stored,
    /// Its message was stored before.
    Duplicate,
    /// It reports a change; a sync or a check of the connection is due.
    ChangeNoted,
    /// It could not be read and is in the quarantine; a sync is due, which finds what it reported.
    Quarantined,
    /// It does not belong to the connection in its URL.
    Unauthenticated,
}

/// True if a handshake token may be echoed: printable ASCII without spaces, so that it cannot inject a header.
pub fn may_be_echoed(token: &[u8]) -> bool {
    (1..=limits::HANDSHAKE_CHARS).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic)
}

/// True if this deployment made the webhook URL. If the key can't be read in time, the store has to decide about the event.
pub async fn is_our_route(gateway: &Gateway, route: &EventRoute) -> bool {
    let timeout = Duration::from_millis(limits::EVENT_TAG_MS);
    match tokio::time::timeout(timeout, gateway.event_tag_key()).await {
        Ok(Ok(key)) => route.is_tagged_with(key),
        Ok(Err(_)) | Err(_) => {
            tracing::warn!(alarm = "failure", "key of webhook URLs could not be read");
            true
        }
    }
}

/// Authenticates and stores an event.
///
/// # Errors
/// If the event could not be stored in time. Then a sync is requested; if even that fails, the next regular sync finds what
/// the event reported.
pub async fn receive(
    gateway: &Gateway,
    EventRoute { tenant, connection, .. }: &EventRoute,
    token: &Secret,
    body: &[u8],
) -> Result<ReceiveOutcome> {
    let Envelope { owner, content } = read(body);
    let digest = token.digest();
    let auth = EventAuth { tenant, connection, token_digest: &digest, owner: owner.as_ref() };
    let started = Instant::now();
    let timeout = Duration::from_millis(limits::RECEIVE_TIMEOUT_MS);
    let stored = tokio::time::timeout(timeout, store(gateway, &auth, &content)).await;
    match stored.unwrap_or_else(|_| Err(Error::unavailable("the store", "no response in time"))) {
        Ok(StoreOutcome::Received(outcome)) => Ok(outcome),
        Ok(StoreOutcome::Unreadable(reason)) => {
            let within = timeout + Duration::from_millis(limits::RECEIVE_FALLBACK_MS);
            quarantine_event(gateway, &auth, reason, body, within.saturating_sub(started.elapsed())).await;
            Ok(ReceiveOutcome::Quarantined)
        }
        Err(error) => {
            // There is time for one more write.
            let request = async {
                match content {
                    Content::ConsentsChanged { .. } => gateway.store.request_renewal_now(&auth).await,
                    _ => gateway.store.request_sync_now(&auth).await,
                }
            };
            let _ = tokio::time::timeout(Duration::from_millis(limits::RECEIVE_FALLBACK_MS), request).await;
            Err(error)
        }
    }
}

/// Quarantines an authentic event, for which a sync is due. A failure does not fail the response: the sync finds what the
/// event reported, and RingCentral does not repeat events.
async fn quarantine_event(
    gateway: &Gateway,
    auth: &EventAuth<'_>,
    reason: &str,
    content: &[u8],
    within: Duration,
) {
    let record = UnreadableRecord {
        kind: QuarantineKind::Event,
        tenant: Some(auth.tenant),
        connection: Some(auth.connection),
        reason,
        content,
        row: None,
    };
    let added = tokio::time::timeout(within, quarantine::add(gateway, record)).await;
    if let Err(error) =
        added.unwrap_or_else(|_| Err(Error::unavailable("the quarantine", "no response in time")))
    {
        tracing::error!(tenant.id = %auth.tenant, connection.id = %auth.connection, error = error.chain(), reason,
            "event that cannot be read could not be quarantined");
    }
}

enum StoreOutcome {
    Received(ReceiveOutcome),
    /// The event is authentic, but cannot be read. A sync is due.
    Unreadable(Reason),
}

async fn store(gateway: &Gateway, auth: &EventAuth<'_>, content: &Content) -> Result<StoreOutcome> {
    let (outcome, stored) = match (content, auth.owner) {
        (Content::Message(record), Some(extension)) => {
            (store_message(gateway, auth, extension, record).await?, ReceiveOutcome::Stored)
        }
        (Content::MessageStoreChanged, _) => {
            (request_sync(gateway, auth).await?, ReceiveOutcome::ChangeNoted)
        }
        (Content::ExtensionChanged, _) => {
            (gateway.store.request_renewal_now(auth).await?, ReceiveOutcome::ChangeNoted)
        }
        (Content::ConsentsChanged { account, changed }, _) => {
            (record_consents(gateway, auth, account, changed).await?, ReceiveOutcome::ChangeNoted)
        }
        (Content::Message(_), None) => {
            return unreadable(gateway, auth, "the event names no extension").await;
        }
        (Content::Unreadable(reason), _) => return unreadable(gateway, auth, reason).await,
    };
    Ok(StoreOutcome::Received(match outcome {
        InboundOutcome::Stored => stored,
        InboundOutcome::Duplicate => ReceiveOutcome::Duplicate,
        InboundOutcome::ConsentChanged => return Err(consent_keeps_changing()),
        InboundOutcome::Unauthenticated if auth.owner.is_some() => {
            return unreadable(gateway, auth, "the event names another extension").await;
        }
        InboundOutcome::Unauthenticated => ReceiveOutcome::Unauthenticated,
    }))
}

/// Authenticates an event by its token alone, and makes a sync due.
async fn unreadable(gateway: &Gateway, auth: &EventAuth<'_>, reason: Reason) -> Result<StoreOutcome> {
    let by_token = EventAuth { owner: None, ..*auth };
    Ok(match gateway.store.request_sync_now(&by_token).await? {
        InboundOutcome::Unauthenticated => StoreOutcome::Received(ReceiveOutcome::Unauthenticated),
        InboundOutcome::Stored | InboundOutcome::Duplicate | InboundOutcome::ConsentChanged => {
            StoreOutcome::Unreadable(reason)
        }
    })
}

async fn store_message(
    gateway: &Gateway,
    auth: &EventAuth<'_>,
    extension: &ExtensionId,
    record: &ringcentral::Message,
) -> Result<InboundOutcome> {
    let (tenant, connection) = (auth.tenant, auth.connection);
    let inbound = inbound(gateway, tenant, extension, record, Found::ByEvent);
    let message = &inbound.message;
    let outcome = store_inbound(gateway, &inbound, Origin::Event(auth)).await?;
    if outcome == InboundOutcome::Stored {
        tracing::info!(tenant.id = %tenant, connection.id = %connection, extension.id = %extension,
            message.id = %message.id, "inbound message stored");
    }
    Ok(outcome)
}

/// Records the consents of an event. If they are too many, or not all of them can be read, the connection's check is due: it reads the
/// list of consents.
async fn record_consents(
    gateway: &Gateway,
    auth: &EventAuth<'_>,
    account: &str,
    changed: &ConsentPage,
) -> Result<InboundOutcome> {
    let records = &changed.records;
    let is_partial = records.len() > limits::CONSENT_EVENT_RECORDS || !records.unreadable().is_empty();
    let outcome = if is_partial {
        gateway.store.request_renewal_now(auth).await?
    } else {
        gateway.store.authenticate(auth).await?
    };
    if outcome == InboundOutcome::Stored {
        let records = records.iter().take(limits::CONSENT_EVENT_RECORDS).cloned();
        let source = ConsentSource::RingcentralEvent;
        consents::record_all(gateway, auth.tenant, account, source, records).await?;
    }
    Ok(outcome)
}

/// Requests a sync, unless this process knows of one that is due. A single message changes several times.
async fn request_sync(gateway: &Gateway, auth: &EventAuth<'_>) -> Result<InboundOutcome> {
    let owner = auth.owner.map_or("", ExtensionId::as_str);
    let name = format!("{} {} {owner}", auth.connection, auth.token_digest);
    let (requested, now) = (&gateway.cache.requested_syncs, gateway.clock.now());
    if requested.get(&name, now).is_some() {
        return Ok(InboundOutcome::Stored);
    }
    Ok(match gateway.store.request_sync(auth).await? {
        SyncRequested::DueAt(at) => {
            requested.insert(&name, (), at);
            InboundOutcome::Stored
        }
        SyncRequested::Unauthenticated => InboundOutcome::Unauthenticated,
    })
}

/// The outcome of storing a message that message sync has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissedMessage {
    Stored,
    /// An event has brought it.
    Duplicate,
}

/// Stores an inbound message that message sync has found.
///
/// # Errors
/// [`Error::NotConnected`] if the connection was removed meanwhile.
pub async fn store_missed(
    gateway: &Gateway,
    connection: &Connection,
    record: &ringcentral::Message,
) -> Result<MissedMessage> {
    let (tenant, extension) = (&connection.tenant, &connection.extension);
    let inbound = inbound(gateway, tenant, extension, record, Found::BySync);
    let message = &inbound.message;
    match store_inbound(gateway, &inbound, Origin::Sync(&connection.id)).await? {
        InboundOutcome::Stored => {
            tracing::info!(tenant.id = %tenant, connection.id = %connection.id, extension.id = %extension,
                message.id = %message.id, "missed inbound message stored");
            Ok(MissedMessage::Stored)
        }
        InboundOutcome::Duplicate => Ok(MissedMessage::Duplicate),
        InboundOutcome::ConsentChanged => Err(consent_keeps_changing()),
        InboundOutcome::Unauthenticated => Err(Error::NotConnected),
    }
}

/// How a message was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    ByEvent,
    /// No event has brought it: the event for the tenant's apps says `late`.
    BySync,
}

/// An inbound message with what follows from it.
struct Inbound {
    message: Message,
    /// For the tenant's apps.
    event: Event,
    /// The opt-out or opt-in that its text is.
    consent: Option<(ConsentPair, ConsentReport)>,
}

/// Where an inbound message comes from.
#[derive(Debug, Clone, Copy)]
enum Origin<'a> {
    Event(&'a EventAuth<'a>),
    /// Message sync of this connection.
    Sync(&'a ConnectionId),
}

/// Stores an inbound message together with the consent that it changes. Another writer may change the consent at the same time: then it
/// is read again.
async fn store_inbound(gateway: &Gateway, inbound: &Inbound, origin: Origin<'_>) -> Result<InboundOutcome> {
    let Inbound { message, event, consent } = inbound;
    for _ in 0..limits::CONFLICT_ATTEMPTS {
        let update = match consent {
            None => None,
            Some((pair, report)) => {
                let (tenant, now) = (&message.tenant, gateway.clock.now());
                let current = gateway.store.consent(tenant, pair).await?;
                ConsentUpdate::of(tenant, pair, &current, report, None, now)
            }
        };
        let (store, update) = (&gateway.store, update.as_ref());
        let outcome = match origin {
            Origin::Event(auth) => store.store_inbound(auth, message, event, update).await?,
            Origin::Sync(connection) => {
                store.store_missed_inbound(connection, message, event, update).await?
            }
        };
        if outcome == InboundOutcome::Stored && message.has_pending_media() {
            media::request_copy(gateway, &message.tenant, &message.id, 0).await;
        }
        if outcome != InboundOutcome::ConsentChanged {
            if let Some(update) = update.filter(|_| outcome == InboundOutcome::Stored) {
                consents::log_update(update);
            }
            return Ok(outcome);
        }
    }
    Err(consent_keeps_changing())
}

fn consent_keeps_changing() -> Error {
    Error::unavailable("a consent that keeps changing", "storing a message")
}

/// The message in a record, the event for the tenant's apps, and the change of consent.
fn inbound(
    gateway: &Gateway,
    tenant: &TenantId,
    extension: &ExtensionId,
    record: &ringcentral::Message,
    found: Found,
) -> Inbound {
    let now = gateway.clock.now();
    let to = phone::address(record.target_number().unwrap_or_default(), None);
    let home = E164::parse(&to);
    let from = record
        .from
        .as_ref()
        .and_then(|party| party.phone_number.as_deref().or(party.extension_number.as_deref()));
    let from = from.map(|from| phone::address(from, home.as_ref())).filter(|from| !from.is_empty());
    let mut message = Message::inbound(
        tenant.clone(),
        extension.clone(),
        record.id.to_string(),
        from.unwrap_or_else(|| "anonymous".to_owned()),
        to,
        record.text.clone().unwrap_or_default(),
        now,
    );
    message.media = record.media().take(limits::INBOUND_FILES).map(media_of).collect();
    let keyword = Keyword::of_message(&message.body);
    let consent = keyword.and_then(|keyword| consents::of_keyword(&message, record.creation_time, keyword));
    let data = InboundMessage {
        message_id: message.id.as_str(),
        from: &message.from,
        to: &message.to,
        body: &message.body,
        rc_message_id: &record.id.to_string(),
        extension_id: extension.as_str(),
        kind: message.kind(),
        attachments: MediaView::all(&message.id, &message.media, gateway.store.media_urls()),
        consent: keyword.map(|keyword| keyword.intent),
        late: found == Found::BySync,
    };
    let event = Event::new(tenant, EventKind::SmsInbound, now, &data);
    Inbound { message, event, consent }
}

fn media_of(file: &ringcentral::Attachment) -> Media {
    let uri = file.uri.clone().filter(|uri| uri.len() <= limits::MEDIA_URL_CHARS);
    let mut media = Media::of(MediaSource::RingCentral { attachment: file.id.to_string(), uri });
    media.content_type.clone_from(&file.content_type);
    media.size = file.size;
    media
}

/// Processes a quarantined event again: stores its message, or makes the sync or check due that it asks for.
///
/// # Errors
/// [`Error::StillUnreadable`], or if the store is unavailable.
pub async fn reprocess_event(gateway: &Gateway, connection: &Connection, body: &[u8]) -> Result<()> {
    let Envelope { owner, content } = read(body);
    if owner.is_some_and(|owner| owner != connection.extension) {
        return Err(Error::StillUnreadable { reason: "the event names another extension".to_owned() });
    }
    let (tenant, id) = (&connection.tenant, &connection.id);
    match content {
        Content::Message(record) => {
            store_missed(gateway, connection, &record).await?;
        }
        // A conflict means that the work is due.
        Content::MessageStoreChanged => _ = gateway.store.make_due(WorkKind::Sync, tenant, id).await?,
        Content::ExtensionChanged | Content::ConsentsChanged { .. } => {
            _ = gateway.store.make_due(WorkKind::Renewal, tenant, id).await?;
        }
        Content::Unreadable(reason) => return Err(Error::StillUnreadable { reason: reason.to_owned() }),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_token_is_echoed() {
        assert!(may_be_echoed(b"3f9c1f0e-7d1b"));
        for bad in [&b"with space"[..], &[b'a'; 257], "\u{e9}".as_bytes(), b"", b"a\r\nx: y"] {
            assert!(!may_be_echoed(bad));
        }
    }
}
