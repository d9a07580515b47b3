//! Copies the files of messages to the bucket: those of outbound messages before they are sent, those of inbound messages after their
//! event.
//!
//! A message waits with an entry in the index of due work until its files are stored. A queue message starts a run; the sweep
//! requests another one if it got lost. A run may be repeated: each writes new objects, and the message names those that
//! count.

use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};

use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::media::{self, CopyRequest};
use crate::model::failure;
use crate::model::ids::{ConnectionId, ExtensionId, MessageId, TenantId};
use crate::model::media::{
    Media, MediaId, MediaSource, MediaStatus, media_object, media_type, upload_object,
};
use crate::model::message::{Direction, Message, MessageStatus};
use crate::model::secret::Secret;
use crate::outbound::{ByteBudget, DownloadError};
use crate::retry::{Attempt, retry_on_conflict};
use crate::ringcentral::{self, AttachmentContent, ErrorKind};
use crate::sending::{self, CallPermit};
use crate::span;
use crate::store::{PendingIn, StoreError, WriteOutcome};
use crate::tokens::{self, CallError};

/// Copies the files of a message that are not stored yet.
///
/// # Errors
/// If the store or the bucket is unavailable; SQS then redelivers the request.
pub async fn run(gateway: &Gateway, request: &CopyRequest) -> Result<()> {
    let invalid = || Error::Internal { what: "a copy request with invalid ids", source: None };
    let tenant = TenantId::from_record(&request.tenant_id).ok_or_else(invalid)?;
    let id = MessageId::parse(&request.message_id).ok_or_else(invalid)?;
    span::set_tenant(&tenant);
    span::set_message(&id);
    let exhausted = || Error::unavailable("a message that keeps changing", "copying its files");
    retry_on_conflict(limits::CONFLICT_ATTEMPTS, exhausted, || async {
        let message = match gateway.store.message(&tenant, &id).await {
            Ok(message) => message.filter(|message| message.has_pending_media() && is_open(message)),
            Err(StoreError::Damaged(_)) => {
                let later = SignedDuration::from_secs(limits::UNREADABLE_RETRY_SECONDS);
                let until = saturating_add(gateway.clock.now(), later);
                gateway.store.postpone_fetch(&tenant, &id, until).await?;
                return Ok(Attempt::Done(()));
            }
            Err(error) => return Err(error.into()),
        };
        match message {
            None => gateway.store.remove_fetch(&tenant, &id).await.map(Attempt::Done).map_err(Error::from),
            Some(message) if message.direction == Direction::Outbound => {
                copy_outbound(gateway, message).await
            }
            Some(message) => copy_inbound(gateway, message).await.map(Attempt::Done),
        }
    })
    .await
}

/// True if the files of the message are still needed.
fn is_open(message: &Message) -> bool {
    matches!(message.status, MessageStatus::Queued | MessageStatus::Scheduled | MessageStatus::Received)
}

/// A stored file.
struct Copied {
    object: String,
    content_type: String,
    size: usize,
}

/// Why a file was not copied.
enum CopyFailure {
    /// A later attempt may succeed.
    Transient(String),
    Final {
        code: &'static str,
        reason: String,
    },
}

/// Copies all files side by side. If one cannot be copied, the message fails; if one may be copied later, the message waits.
async fn copy_outbound(gateway: &Gateway, mut message: Message) -> Result<Attempt<()>> {
    let previous_status = message.status;
    if message.is_expired(gateway.clock.now()) {
        message.end(MessageStatus::Expired, None, None, gateway.clock.now());
        return finish(gateway, &message, previous_status).await;
    }
    let stored = message.media.iter().filter(|file| file.status == MediaStatus::Stored);
    let stored: i64 = stored.filter_map(|file| file.size).sum();
    let budget = ByteBudget::of(limits::MEDIA_BYTES.saturating_sub(usize::try_from(stored).unwrap_or(0)));
    let pending = message.media.iter().enumerate().filter(|(_, file)| file.status == MediaStatus::Pending);
    let copies = pending.map(async |(index, file)| {
        let copied = match &file.source {
            Some(MediaSource::Url(url)) => copy_url(gateway, &message, index, url, &budget).await?,
            Some(MediaSource::Upload(id)) => copy_upload(gateway, &message, index, file, id, &budget).await?,
            Some(MediaSource::RingCentral { .. }) | None => Err(unreachable_file("it has no source")),
        };
        Ok::<_, Error>((index, copied))
    });
    let copies = try_join_all(copies).await?;
    let now = gateway.clock.now();
    let (mut failed, mut retry) = (None, None);
    for (index, copied) in copies {
        match copied {
            Ok(Copied { object, content_type, size }) => {
                if let Some(file) = message.media.get_mut(index) {
                    file.store(object, &content_type, size, now);
                }
            }
            Err(CopyFailure::Final { code, reason }) => failed = failed.or(Some((index, code, reason))),
            Err(CopyFailure::Transient(reason)) => retry = retry.or(Some((index, reason))),
        }
    }
    if failed.is_none()
        && let Some((index, reason)) = retry
    {
        let Some(wait) = usize::try_from(message.media_attempts)
            .ok()
            .and_then(|attempts| limits::MEDIA_RETRY_SECONDS.get(attempts))
        else {
            return fail(gateway, message, index, failure::MEDIA_UNREACHABLE, &reason).await;
        };
        message.media_attempts += 1;
        let due = media::copy_overdue_at(saturating_add(now, SignedDuration::from_secs(*wait)));
        let moved = gateway.store.move_message(&message, previous_status, None, Some(PendingIn::Media(due)));
        if moved.await? == WriteOutcome::Conflict {
            return Ok(Attempt::Conflict);
        }
        tracing::info!(tenant.id = %message.tenant, message.id = %message.id, reason, "media download will be retried");
        let delay = i32::try_from(*wait).unwrap_or(0);
        media::request_copy(gateway, &message.tenant, &message.id, delay).await;
        return Ok(Attempt::Done(()));
    }
    if let Some((index, code, reason)) = failed {
        return fail(gateway, message, index, code, &reason).await;
    }
    let to = sending::pending_in(&message, now);
    let from = Some(PendingIn::Media(now));
    if gateway.store.move_message(&message, previous_status, from, Some(to)).await? == WriteOutcome::Conflict
    {
        return Ok(Attempt::Conflict);
    }
    tracing::info!(tenant.id = %message.tenant, extension.id = %message.extension, message.id = %message.id,
        files = message.media.len(), "media stored");
    if to == PendingIn::Outbox {
        sending::wake(gateway, &message.tenant, &message.extension, 0).await;
    }
    Ok(Attempt::Done(()))
}

/// Ends a message because of one of its files.
async fn fail(
    gateway: &Gateway,
    mut message: Message,
    index: usize,
    code: &str,
    reason: &str,
) -> Result<Attempt<()>> {
    let previous_status = message.status;
    let error = format!("File {} cannot be sent: {reason}", index.saturating_add(1));
    let now = gateway.clock.now();
    for file in message.media.iter_mut().filter(|file| file.status == MediaStatus::Pending) {
        file.status = MediaStatus::Failed;
        file.source = None;
    }
    message.end(MessageStatus::Failed, Some(error), Some(code.to_owned()), now);
    finish(gateway, &message, previous_status).await
}

/// Saves a message that has ended.
async fn finish(gateway: &Gateway, message: &Message, previous_status: MessageStatus) -> Result<Attempt<()>> {
    let from = Some(PendingIn::Media(gateway.clock.now()));
    if gateway.store.move_message(message, previous_status, from, None).await? == WriteOutcome::Conflict {
        return Ok(Attempt::Conflict);
    }
    tracing::info!(tenant.id = %message.tenant, extension.id = %message.extension, message.id = %message.id,
        message.status = message.status.as_str(), error = message.error, "message ended without being sent");
    Ok(Attempt::Done(()))
}

fn object_of(message: &Message, index: usize) -> String {
    media_object(&message.tenant, &message.id, index, &Secret::random().expose()[..16])
}

fn unreachable_file(reason: &str) -> CopyFailure {
    CopyFailure::Final { code: failure::MEDIA_UNREACHABLE, reason: reason.to_owned() }
}

fn unsupported(reason: &str) -> CopyFailure {
    CopyFailure::Final { code: failure::MEDIA_TYPE_UNSUPPORTED, reason: reason.to_owned() }
}

fn too_large() -> CopyFailure {
    let reason = format!("the files exceed {} bytes in all", limits::MEDIA_BYTES);
    CopyFailure::Final { code: failure::MEDIA_TOO_LARGE, reason }
}

/// Downloads a file, checks it, and stores it.
async fn copy_url(
    gateway: &Gateway,
    message: &Message,
    index: usize,
    url: &str,
    budget: &ByteBudget,
) -> Result<Result<Copied, CopyFailure>> {
    let download = match gateway.outbound().download(url, budget).await {
        Ok(download) => download,
        Err(DownloadError::TooLarge) => return Ok(Err(too_large())),
        Err(DownloadError::Encoded) => return Ok(Err(unsupported("the server compresses it"))),
        Err(error) if error.is_transient() => {
            return Ok(Err(CopyFailure::Transient(format!("it could not be downloaded ({error})"))));
        }
        Err(error) => return Ok(Err(unreachable_file(&format!("it could not be downloaded ({error})")))),
    };
    let Some(known) = media_type(&download.content_type) else {
        return Ok(Err(unsupported("RingCentral does not accept its media type")));
    };
    // A login page or an error page in place of the file.
    if known.name == "text/html" {
        return Ok(Err(unsupported("the URL returns a web page")));
    }
    if download.bytes.is_empty() {
        return Ok(Err(unreachable_file("it is empty")));
    }
    if !known.may_be(&download.bytes) {
        return Ok(Err(unsupported(&format!("it is not of the type {}", known.name))));
    }
    let (object, size) = (object_of(message, index), download.bytes.len());
    gateway.media_bucket().put(&object, known.name, download.bytes).await?;
    Ok(Ok(Copied { object, content_type: known.name.to_owned(), size }))
}

/// Copies an upload, whose size and type the bucket has checked.
async fn copy_upload(
    gateway: &Gateway,
    message: &Message,
    index: usize,
    file: &Media,
    upload: &MediaId,
    budget: &ByteBudget,
) -> Result<Result<Copied, CopyFailure>> {
    let size = file.size.and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
    if budget.take(size).is_err() {
        return Ok(Err(too_large()));
    }
    let object = object_of(message, index);
    let is_copied = gateway.media_bucket().copy(&upload_object(&message.tenant, upload), &object).await?;
    if !is_copied {
        return Ok(Err(unreachable_file("its upload has expired")));
    }
    Ok(Ok(Copied { object, content_type: file.content_type.clone().unwrap_or_default(), size }))
}

/// Copies the files of an inbound message one after another: each is a call of RingCentral, which counts against the limit of the
/// extension's sends and comes after them.
async fn copy_inbound(gateway: &Gateway, message: Message) -> Result<()> {
    let (tenant, id, extension) = (&message.tenant, &message.id, &message.extension);
    for (index, file) in message.media.iter().enumerate() {
        let Some(MediaSource::RingCentral { attachment, uri }) = &file.source else { continue };
        if file.status != MediaStatus::Pending {
            continue;
        }
        let outcome = match connection(gateway, tenant, extension).await? {
            None => InboundCopy::Later(None),
            Some(connection) => match sending::take_call(gateway, tenant, extension).await? {
                CallPermit::NotBefore(at) => {
                    let wait =
                        at.duration_since(gateway.clock.now()).as_secs().clamp(1, i64::from(MAX_DELAY));
                    let due = media::copy_overdue_at(saturating_add(at, SignedDuration::from_secs(1)));
                    gateway.store.postpone_fetch(tenant, id, due).await?;
                    media::request_copy(gateway, tenant, id, i32::try_from(wait).unwrap_or(MAX_DELAY)).await;
                    return Ok(());
                }
                CallPermit::Granted => {
                    download_attachment(gateway, &message, &connection, attachment, uri.as_deref()).await?
                }
            },
        };
        match outcome {
            InboundCopy::Content(content) => {
                let object = object_of(&message, index);
                let (content_type, size) = (inbound_type(&content, file), content.bytes.len());
                gateway.media_bucket().put(&object, &content_type, content.bytes.into()).await?;
                let now = gateway.clock.now();
                update_file(gateway, tenant, id, index, |file| {
                    file.store(object.clone(), &content_type, size, now);
                })
                .await?;
            }
            InboundCopy::Gone => {
                update_file(gateway, tenant, id, index, |file| file.status = MediaStatus::Gone).await?;
            }
            InboundCopy::Rejected => {
                update_file(gateway, tenant, id, index, |file| file.status = MediaStatus::Failed).await?;
            }
            InboundCopy::Later(wait) => return postpone(gateway, &message, wait).await,
        }
    }
    tracing::info!(tenant.id = %tenant, extension.id = %extension, message.id = %id, "media of inbound message copied");
    Ok(gateway.store.remove_fetch(tenant, id).await?)
}

const MAX_DELAY: i32 = crate::queue::MAX_DELAY_SECONDS;

/// The outcome of downloading a file from RingCentral.
enum InboundCopy {
    Content(AttachmentContent),
    /// RingCentral does not have it any more.
    Gone,
    /// It can never be copied.
    Rejected,
    /// It is tried again, no earlier than after this wait.
    Later(Option<SignedDuration>),
}

async fn connection(
    gateway: &Gateway,
    tenant: &TenantId,
    extension: &ExtensionId,
) -> Result<Option<ConnectionId>> {
    let issuer = &gateway.config.ringcentral_server;
    let owner = gateway.store.extension_owner_of_any_tenant(issuer, extension, tenant).await?;
    Ok(owner.filter(|owner| owner.tenant == *tenant).map(|owner| owner.connection))
}

async fn download_attachment(
    gateway: &Gateway,
    message: &Message,
    connection: &ConnectionId,
    attachment: &str,
    uri: Option<&str>,
) -> Result<InboundCopy> {
    let (Ok(file), Some(Ok(record))) = (attachment.parse(), message.rc_id().map(str::parse)) else {
        return Ok(InboundCopy::Rejected);
    };
    let file = ringcentral::Attachment {
        id: file,
        uri: uri.map(str::to_owned),
        kind: None,
        content_type: None,
        size: None,
    };
    let call = |api: ringcentral::Api, _| {
        let file = file.clone();
        async move {
            Ok(if file.uri.is_some() {
                api.attachment(&file).await?
            } else {
                api.attachment_by_id(record, file.id).await?
            })
        }
    };
    let failure = match tokens::call(gateway, &message.tenant, connection, call).await {
        Ok(content) if content.bytes.is_empty() => return Ok(InboundCopy::Rejected),
        Ok(content) => return Ok(InboundCopy::Content(content)),
        Err(failure) => failure,
    };
    tracing::warn!(tenant.id = %message.tenant, extension.id = %message.extension, message.id = %message.id,
        error = failure.reason(), "media download from RingCentral failed");
    Ok(match failure {
        CallError::RingCentral(error) => match error.kind() {
            ErrorKind::NotFound => InboundCopy::Gone,
            ErrorKind::Refused => InboundCopy::Rejected,
            _ => InboundCopy::Later(SignedDuration::try_from(sending::retry_after(&error)).ok()),
        },
        CallError::Store(_) | CallError::Timeout | CallError::Gateway(_) => InboundCopy::Later(None),
    })
}

/// The media type of a file from RingCentral: its known name, or as RingCentral reports it.
fn inbound_type(content: &AttachmentContent, file: &Media) -> String {
    let reported = content.content_type.as_deref().or(file.content_type.as_deref()).unwrap_or_default();
    if let Some(known) = media_type(reported) {
        return known.name.to_owned();
    }
    let name = reported.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'+' | b'.' | b'_');
    let is_type = name.len() <= 100 && name.contains('/') && name.bytes().all(is_plain);
    if is_type { name } else { "application/octet-stream".to_owned() }
}

/// Changes one file of a message.
async fn update_file(
    gateway: &Gateway,
    tenant: &TenantId,
    id: &MessageId,
    index: usize,
    change: impl Fn(&mut Media),
) -> Result<()> {
    let exhausted = || Error::unavailable("a message that keeps changing", "saving its files");
    retry_on_conflict(limits::CONFLICT_ATTEMPTS, exhausted, || async {
        let Some(mut message) = gateway.store.message(tenant, id).await? else {
            return Ok(Attempt::Done(()));
        };
        let Some(file) = message.media.get_mut(index) else { return Ok(Attempt::Done(())) };
        change(file);
        message.media_attempts = 0;
        Ok(match gateway.store.save_message(&message).await? {
            WriteOutcome::Applied => Attempt::Done(()),
            WriteOutcome::Conflict => Attempt::Conflict,
        })
    })
    .await
}

/// Tries the remaining files later, unless they have been tried for three days: then they have failed.
async fn postpone(gateway: &Gateway, message: &Message, wait: Option<SignedDuration>) -> Result<()> {
    let (tenant, id, now) = (&message.tenant, &message.id, gateway.clock.now());
    let give_up = SignedDuration::from_secs(limits::MEDIA_COPY_GIVE_UP_SECONDS);
    let is_over = saturating_add(message.created_at, give_up) <= now;
    let Some(mut message) = gateway.store.message(tenant, id).await? else {
        return Ok(gateway.store.remove_fetch(tenant, id).await?);
    };
    let backoff = limits::MEDIA_COPY_RETRY_SECONDS << message.media_attempts.min(10);
    let backoff = SignedDuration::from_secs(backoff.min(limits::MEDIA_COPY_RETRY_MAX_SECONDS));
    message.media_attempts = message.media_attempts.saturating_add(1);
    if is_over {
        for file in message.media.iter_mut().filter(|file| file.status == MediaStatus::Pending) {
            file.status = MediaStatus::Failed;
        }
    }
    // After a conflict the attempt is not counted.
    let _: WriteOutcome = gateway.store.save_message(&message).await?;
    if is_over {
        tracing::warn!(tenant.id = %tenant, message.id = %id, "media of inbound message could not be copied");
        return Ok(gateway.store.remove_fetch(tenant, id).await?);
    }
    let until: Timestamp = saturating_add(now, wait.unwrap_or(SignedDuration::ZERO).max(backoff));
    Ok(gateway.store.postpone_fetch(tenant, id, until).await?)
}
