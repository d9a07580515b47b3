//! Storing what RingCentral's events bring. Every write authenticates its event: a condition on the connection's row, in the
//! same call.

use std::collections::{BTreeSet, HashSet};

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ConditionCheck, KeysAndAttributes, ReturnValue, TransactWriteItem};
use jiff::{SignedDuration, Timestamp};

use super::connection_item::key;
use super::due::WorkKind;
use super::item::{self, Row};
use super::messages::record_key;
use super::{PendingIn, Store, StoreError, complete, failed, failure, is_conditional, made};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::consent::ConsentUpdate;
use crate::model::event::Event;
use crate::model::ids::{ConnectionId, ExtensionId, TenantId};
use crate::model::message::Message;

/// The connection that an event claims to belong to, and what proves it.
#[derive(Debug, Clone, Copy)]
pub struct EventAuth<'a> {
    pub tenant: &'a TenantId,
    pub connection: &'a ConnectionId,
    /// SHA-256 of the verification token that came with the event. The database may compare digests: the time that takes
    /// reveals nothing about the token.
    pub token_digest: &'a str,
    /// The extension id in the event, if it can be read.
    pub owner: Option<&'a ExtensionId>,
}

/// The outcome of a write that authenticates its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboundOutcome {
    Stored,
    /// Stored by an earlier write.
    Duplicate,
    /// The consent has changed since it was read. Nothing was stored.
    ConsentChanged,
    /// The event does not belong to the connection. Nothing was stored.
    Unauthenticated,
}

/// The outcome of requesting a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncRequested {
    /// A sync is due at this moment; until then further changes need no separate request.
    DueAt(Timestamp),
    Unauthenticated,
}

/// Holds for the tokens of the current subscriptions, or for ten minutes after a renewal that of the previous one, and for the owner. Each
/// subscription has its own token, so the token alone proves where an event comes from.
const AUTHENTIC: &str = "(subscription_token_digest = :digest OR consent_token_digest = :digest \
     OR (previous_token_digest = :digest AND previous_token_until > :now)) AND (extension = :owner OR :owner = :none)";

impl EventAuth<'_> {
    fn values(&self, now: Timestamp) -> [(&'static str, aws_sdk_dynamodb::types::AttributeValue); 4] {
        [
            (":digest", item::text(self.token_digest)),
            (":owner", item::text(self.owner.map_or(NO_OWNER, ExtensionId::as_str))),
            (":none", item::text(NO_OWNER)),
            (":now", item::time(now)),
        ]
    }
}

/// Stands for an absent owner; not a valid extension id.
const NO_OWNER: &str = "-";

/// DynamoDB's limit of items per BatchGetItem.
const MAX_BATCH_GET: usize = 100;

impl Store {
    /// Stores the message of an event, its correlated record, the event for the tenant's apps, and the consent that the message
    /// changes, in one transaction.
    pub async fn store_inbound(
        &self,
        auth: &EventAuth<'_>,
        message: &Message,
        event: &Event,
        consent: Option<&ConsentUpdate>,
    ) -> Result<InboundOutcome, StoreError> {
        self.transact_if(self.check_authentic(auth), self.items_with_follow_up(message, event, consent)?)
            .await
    }

    /// Stores a message that message sync has found, as [`Store::store_inbound`] does. Unauthenticated if the connection is
    /// gone.
    pub async fn store_missed_inbound(
        &self,
        connection: &ConnectionId,
        message: &Message,
        event: &Event,
        consent: Option<&ConsentUpdate>,
    ) -> Result<InboundOutcome, StoreError> {
        let check = ConditionCheck::builder()
            .table_name(&self.tables.connections)
            .set_key(Some(key(&message.tenant, connection)))
            .condition_expression("extension = :owner")
            .expression_attribute_values(":owner", item::text(message.extension.as_str()));
        let check = TransactWriteItem::builder().condition_check(complete(check.build())).build();
        self.transact_if(check, self.items_with_follow_up(message, event, consent)?).await
    }

    /// Those of these records, by RingCentral's ids, that are correlated with a message.
    pub async fn correlated_records(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
        rc_ids: BTreeSet<String>,
    ) -> Result<HashSet<String>, StoreError> {
        let mut correlated = HashSet::new();
        let rc_ids: Vec<String> = rc_ids.into_iter().collect();
        for chunk in rc_ids.chunks(MAX_BATCH_GET) {
            let keys = chunk.iter().map(|rc_id| record_key(tenant, extension, rc_id)).collect();
            let keys =
                KeysAndAttributes::builder().set_keys(Some(keys)).projection_expression("#item, message");
            let keys = keys.expression_attribute_names("#item", "item");
            let request =
                self.db.batch_get_item().request_items(&self.tables.messages, complete(keys.build()));
            let answer = request.send().await.map_err(failure)?;
            // Unprocessed keys count as not correlated: storing a message again does nothing.
            let rows = answer.responses.unwrap_or_default().remove(&self.tables.messages);
            for row in rows.unwrap_or_default().into_iter().map(Row) {
                if row.maybe_text("message").is_some() {
                    correlated.extend(row.text("item")?.rsplit('#').next().map(str::to_owned));
                }
            }
        }
        Ok(correlated)
    }

    /// The items of an inbound message. A keyword that is followed up also waits in the schedule of its sender, and files wait to be
    /// copied.
    fn items_with_follow_up(
        &self,
        message: &Message,
        event: &Event,
        consent: Option<&ConsentUpdate>,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let mut items = self.inbound_items(message, event, consent)?;
        if consent.is_some_and(ConsentUpdate::needs_follow_up) {
            items.push(self.put_active(message));
            items.push(self.put_pending(message, PendingIn::Scheduled(message.created_at)));
        }
        if message.has_pending_media() {
            let claim = SignedDuration::from_secs(limits::MEDIA_CLAIM_SECONDS);
            items
                .push(self.put_pending(message, PendingIn::Media(saturating_add(message.created_at, claim))));
        }
        Ok(items)
    }

    async fn transact_if(
        &self,
        check: TransactWriteItem,
        items: impl IntoIterator<Item = TransactWriteItem>,
    ) -> Result<InboundOutcome, StoreError> {
        let items = std::iter::once(check).chain(items).collect();
        Ok(match self.transact(items).await? {
            Ok(()) => InboundOutcome::Stored,
            Err(reasons) if failed(&reasons, 0) => InboundOutcome::Unauthenticated,
            Err(reasons) if failed(&reasons, 1) => InboundOutcome::Duplicate,
            Err(_) => InboundOutcome::ConsentChanged,
        })
    }

    /// Authenticates an event whose content is stored afterwards.
    pub async fn authenticate(&self, auth: &EventAuth<'_>) -> Result<InboundOutcome, StoreError> {
        self.transact_if(self.check_authentic(auth), []).await
    }

    /// Requests a sync because a connection's messages have changed. It is due in [`limits::SYNC_DEBOUNCE_SECONDS`], with
    /// all changes until then.
    pub async fn request_sync(&self, auth: &EventAuth<'_>) -> Result<SyncRequested, StoreError> {
        let now = self.clock.now();
        let soon = saturating_add(now, SignedDuration::from_secs(limits::SYNC_DEBOUNCE_SECONDS));
        let update = self
            .request_work(auth, now, WorkKind::Sync, soon)
            // Never later than the sync is due already, or it would never run while there is traffic; and not while the
            // connection is rate-limited: then the run that claims the sync postpones it to the end of the penalty.
            .condition_expression(format!(
                "{AUTHENTIC} AND (attribute_not_exists(sync_due) OR sync_due > :due) \
                 AND (attribute_not_exists(rate_limited_until) OR rate_limited_until <= :due OR sync_due > rate_limited_until)"
            ));
        match update.send().await {
            Ok(_) => return Ok(SyncRequested::DueAt(soon)),
            Err(error) if is_conditional(&error) => {}
            Err(error) => return Err(failure(error)),
        }
        // A sync is due already, or the event is not authentic. The function may not read the whole row, so a second write, which
        // changes nothing, tells them apart and returns when the sync is due.
        let unchanged = self
            .request_work(auth, now, WorkKind::Sync, soon)
            .update_expression("SET sync_kind = :kind, sync_due = if_not_exists(sync_due, :due)")
            .condition_expression(AUTHENTIC)
            .return_values(ReturnValue::UpdatedNew);
        match unchanged.send().await {
            Ok(answer) => {
                let due = Row(answer.attributes.unwrap_or_default()).maybe_time("sync_due");
                Ok(SyncRequested::DueAt(due.ok().flatten().unwrap_or(soon)))
            }
            Err(error) if is_conditional(&error) => Ok(SyncRequested::Unauthenticated),
            Err(error) => Err(failure(error)),
        }
    }

    /// Requests a sync at once, because an event could not be stored.
    pub async fn request_sync_now(&self, auth: &EventAuth<'_>) -> Result<InboundOutcome, StoreError> {
        self.request_work_now(auth, WorkKind::Sync).await
    }

    /// Requests a check of a connection's subscription and numbers at once, because its extension has changed.
    pub async fn request_renewal_now(&self, auth: &EventAuth<'_>) -> Result<InboundOutcome, StoreError> {
        self.request_work_now(auth, WorkKind::Renewal).await
    }

    async fn request_work_now(
        &self,
        auth: &EventAuth<'_>,
        kind: WorkKind,
    ) -> Result<InboundOutcome, StoreError> {
        let now = self.clock.now();
        let update = self.request_work(auth, now, kind, now);
        let is_authentic = made(update.condition_expression(AUTHENTIC).send().await)?;
        Ok(if is_authentic { InboundOutcome::Stored } else { InboundOutcome::Unauthenticated })
    }

    fn request_work(
        &self,
        auth: &EventAuth<'_>,
        now: Timestamp,
        kind: WorkKind,
        due: Timestamp,
    ) -> UpdateItemFluentBuilder {
        let index = kind.index();
        let mut update = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key(auth.tenant, auth.connection)))
            .update_expression(format!("SET {} = :kind, {} = :due", index.kind, index.due))
            .expression_attribute_values(":kind", kind.partition(auth.connection))
            .expression_attribute_values(":due", item::time(due));
        for (name, value) in auth.values(now) {
            update = update.expression_attribute_values(name, value);
        }
        update
    }

    fn check_authentic(&self, auth: &EventAuth<'_>) -> TransactWriteItem {
        let mut check = ConditionCheck::builder()
            .table_name(&self.tables.connections)
            .set_key(Some(key(auth.tenant, auth.connection)))
            .condition_expression(AUTHENTIC);
        for (name, value) in auth.values(self.clock.now()) {
            check = check.expression_attribute_values(name, value);
        }
        TransactWriteItem::builder().condition_check(complete(check.build())).build()
    }
}
