//! The worker of a sender: what `dispatch` and `reconcile` work with while they hold the sender's lease.

use std::time::Duration;

use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::find::{FoundMessage, find_message};
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::consent::DecisiveConsents;
use crate::model::ids::{ConnectionId, MessageId, TenantId};
use crate::model::media::{Media, MessageKind};
use crate::model::message::Message;
use crate::model::phone::E164;
use crate::model::refresh::TokenPriority;
use crate::ringcentral::sms::MediaFile;
use crate::ringcentral::{self, Api, Mms, Retry};
use crate::store::{PendingIn, SenderLease, WorkKind, WriteOutcome};
use crate::tokens::{self, UsableToken};

/// An inbound keyword whose schedule entry is due.
#[derive(Debug)]
pub(super) struct DueKeyword {
    /// The time of the schedule entry.
    pub(super) at: Timestamp,
    pub(super) inbound: Message,
}

pub(super) struct Worker<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) lease: &'a SenderLease,
    pub(super) started: Instant,
    pub(super) token: Option<UsableToken>,
    /// Inbound keywords to follow up in this run.
    pub(super) keywords: Vec<DueKeyword>,
}

/// The connection of a sender.
#[derive(Debug, Clone)]
pub struct SenderConnection {
    pub tenant: TenantId,
    pub connection: ConnectionId,
}

impl Worker<'_> {
    /// `None` if the extension is not connected any more.
    pub(super) async fn sender_connection(&self) -> Result<Option<SenderConnection>> {
        let connection = match &self.token {
            Some(token) => Ok(token.connection.id.clone()),
            None => self.connection().await,
        };
        match connection {
            Ok(connection) => Ok(Some(SenderConnection { tenant: self.lease.tenant.clone(), connection })),
            Err(Error::NotConnected) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.gateway.clock.now()
    }

    /// A message of this sender that waits in the outbox. One that does not exist is removed from there; one that cannot be read is
    /// held.
    pub(super) async fn pending_message(&self, id: &MessageId) -> Result<Option<Message>> {
        match find_message(self.gateway, &self.lease.tenant, id).await? {
            FoundMessage::Readable(message) => return Ok(Some(message)),
            FoundMessage::Unreadable => self.hold_unreadable(id).await?,
            FoundMessage::Absent => {
                let (tenant, extension) = (&self.lease.tenant, &self.lease.extension);
                self.gateway.store.remove_orphan(tenant, extension, id).await?;
            }
        }
        Ok(None)
    }

    pub(super) async fn access_token(&self) -> Result<UsableToken> {
        let (connection, priority) = (self.connection().await?, TokenPriority::Normal);
        match tokens::access_token(self.gateway, &self.lease.tenant, &connection, priority).await {
            // The user may have authorized again meanwhile, which creates a new connection.
            Err(Error::NotConnected) => match self.connection().await? {
                again if again == connection => Err(Error::NotConnected),
                other => tokens::access_token(self.gateway, &self.lease.tenant, &other, priority).await,
            },
            token => token,
        }
    }

    /// Replaces the access token, which RingCentral has rejected.
    pub(super) async fn replace_token(&mut self) -> Result<TokenReplacement> {
        let Some(rejected) = self.token.take() else { return Ok(TokenReplacement::Unavailable) };
        let (tenant, generation) = (&self.lease.tenant, rejected.connection.generation);
        match tokens::replace_rejected_token(self.gateway, tenant, &rejected.connection.id, generation).await
        {
            Ok(token) => self.token = Some(token),
            Err(Error::NotConnected | Error::Unavailable { .. }) => return Ok(TokenReplacement::Unavailable),
            Err(error) => return Err(error),
        }
        Ok(TokenReplacement::Replaced)
    }

    /// The connection of the sender's extension.
    pub(super) async fn connection(&self) -> Result<ConnectionId> {
        let issuer = &self.gateway.config.ringcentral_server;
        let (store, lease) = (&self.gateway.store, self.lease);
        let owner = store.extension_owner_of_any_tenant(issuer, &lease.extension, &lease.tenant).await?;
        let owner = owner.filter(|owner| owner.tenant == self.lease.tenant);
        owner.map(|owner| owner.connection).ok_or(Error::NotConnected)
    }

    /// RingCentral's API with the extension's access token.
    pub(super) fn api(&self) -> Result<Option<Api>> {
        let client = self.gateway.ringcentral()?;
        Ok(self.token.as_ref().map(|token| client.api(&token.access)))
    }

    /// The MMS that a message with files is sent as. Its files are read from the bucket.
    pub(super) async fn mms(&self, message: &Message) -> Result<Content> {
        if message.kind() == MessageKind::Sms {
            return Ok(Content::Sms);
        }
        let bucket = self.gateway.media_bucket();
        let file = async |(index, file): (usize, &Media)| {
            let Some(object) = &file.object else { return Ok(None) };
            let content_type = file.content_type.as_deref().unwrap_or_default();
            let bytes = bucket.get(object).await?;
            Ok::<_, Error>(bytes.map(|bytes| MediaFile::new(file.name(index), content_type, bytes)))
        };
        let files = try_join_all(message.media.iter().enumerate().map(file)).await?;
        let Some(attachments) = files.into_iter().collect() else { return Ok(Content::Missing) };
        let text = Some(message.body.clone()).filter(|text| !text.is_empty());
        Ok(Content::Mms(Mms { from: message.from.clone(), to: vec![message.to.clone()], text, attachments }))
    }

    /// The consents that decide about a message of this sender.
    pub(super) fn decisive_consents(&self, from: &E164, to: &E164) -> DecisiveConsents {
        let account = self.token.as_ref().and_then(|token| token.connection.identity.account.as_deref());
        DecisiveConsents::of(from, to, account)
    }

    /// Tries a message that cannot be read again later, so that it does not hold up the others.
    pub(super) async fn hold_unreadable(&self, id: &MessageId) -> Result<()> {
        let later = SignedDuration::from_secs(limits::UNREADABLE_RETRY_SECONDS);
        let until = saturating_add(self.gateway.clock.now(), later);
        let (tenant, extension) = (&self.lease.tenant, &self.lease.extension);
        Ok(self.gateway.store.hold_unreadable(tenant, extension, id, until).await?)
    }

    /// Moves a message, or what is left of it, from the outbox to the schedule. After a conflict it is still the head of the outbox,
    /// and is processed again.
    pub(super) async fn hold_until(&self, mut message: Message, until: Timestamp) -> Result<()> {
        let previous_status = message.status;
        message.hold(until, self.gateway.clock.now());
        let to = message.scheduled_for().map(PendingIn::Scheduled);
        let store = &self.gateway.store;
        if store.move_message(&message, previous_status, Some(PendingIn::Outbox), to).await?
            == WriteOutcome::Applied
        {
            tracing::info!(tenant.id = %message.tenant, extension.id = %message.extension, message.id = %message.id,
                "message held until quiet hours end");
        }
        Ok(())
    }

    /// Makes the connection's message sync due within the interval of an active connection. Usually it is, which the row
    /// that was read with the token shows. A failure is only logged: the sync then comes later.
    pub(super) async fn sync_while_active(&mut self) {
        let now = self.gateway.clock.now();
        let Some(UsableToken { connection, .. }) = &mut self.token else { return };
        let by = self.gateway.config.sync_intervals.next_while_active(&connection.id, now);
        if connection.sync_due.is_none_or(|due| due <= by) {
            return;
        }
        let (store, tenant) = (&self.gateway.store, &self.lease.tenant);
        match store.make_due_by(WorkKind::Sync, tenant, &connection.id, by).await {
            // After a conflict it is due earlier.
            Ok(WriteOutcome::Applied | WriteOutcome::Conflict) => connection.sync_due = Some(by),
            Err(error) => {
                let error = Error::from(error);
                tracing::warn!(tenant.id = %tenant, connection.id = %connection.id, error = error.chain(),
                    "message sync of a sender could not be requested");
            }
        }
    }
}

/// What a message is sent as.
pub(super) enum Content {
    Sms,
    Mms(Mms),
    /// A file is no longer stored.
    Missing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenReplacement {
    Replaced,
    Unavailable,
}

/// The wait that RingCentral requests.
pub(crate) fn retry_after(error: &ringcentral::Error) -> Duration {
    if let Retry::After(wait) = error.retry() { wait } else { Duration::ZERO }
}

/// Rounded down: the worker sleeps for the rest.
pub(super) fn whole_seconds(now: Timestamp, at: Timestamp) -> i32 {
    i32::try_from(at.duration_since(now).as_secs()).unwrap_or(0).max(0)
}

/// When the sender's worker runs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextRun {
    /// Nothing is pending.
    WhenWoken,
    /// Messages are pending, and this run's time is over.
    Now,
    /// Messages are pending and can be sent from this moment on.
    At(Timestamp),
}
