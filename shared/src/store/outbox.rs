//! Messages that wait to be sent, in the table `messages`:
//!
//! - `outbox#<extension>#<priority>#<message>`: a sender's outbox, in the order of sending;
//! - `active#<extension>`: the active marker of a sender whose outbox may not be empty;
//! - `scheduled#<extension>#<milliseconds>#<message>`: messages that wait for `sendAt`;
//! - `reconciling#<extension>#<message>`: messages to be looked up in RingCentral's message store;
//! - `idempotency#<digest>`: the stored response to the request with this idempotency key.
//!
//! The middle three are in the sparse index `due`, where the sweep finds the senders with pending work across all tenants:
//! one entry per sender with an outbox, whatever its length, and one per message that waits for a moment.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem};
use jiff::{SignedDuration, Timestamp};

use super::idempotency::{Idempotency, IdempotentOutcome};
use super::item::{self, Item, Row, Writer};
use super::senders::sender_key;
use super::{Store, StoreError, WriteOutcome, complete, failure, is_conflict, made, query};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::ids::{ExtensionId, MessageId, TenantId};
use crate::model::message::{Message, MessageStatus, Priority};

/// Where a message waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingIn {
    Outbox,
    /// Until `sendAt`.
    Scheduled(Timestamp),
    /// Until it is reconciled, no earlier than this moment.
    Reconciling(Timestamp),
}

/// The response to an earlier request with the same idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    pub message: MessageId,
    /// The message's status at that time.
    pub status: MessageStatus,
    pub segments: u32,
    /// The digest of that request's content.
    pub fingerprint: String,
}

/// A sender with pending work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueSender {
    pub tenant: TenantId,
    pub extension: ExtensionId,
    /// When the active marker was set; `None` if the sender is due for a message whose moment has come.
    pub active_since: Option<Timestamp>,
}

/// The work kind of this file's entries in the index `due`.
const WORK_KIND: &str = "send";

impl Store {
    /// Stores a message, its outbox or schedule entry, and the response for its idempotency key, in one transaction.
    pub async fn accept_message(
        &self,
        message: &Message,
        pending_in: PendingIn,
        key: Option<&Idempotency>,
    ) -> Result<IdempotentOutcome<StoredResponse>, StoreError> {
        self.mark_active(message, Some(pending_in)).await?;
        let mut items = vec![self.put_message(message, None), self.put_pending(message, pending_in)];
        items.extend(key.map(|key| {
            let row = Writer(idempotency_key(&message.tenant, &key.digest))
                .set("message", item::text(message.id.as_str()))
                .set("status", item::text(message.status.as_str()))
                .set("segments", item::number(message.segments));
            self.put_response(&self.tables.messages, row, key)
        }));
        let stored = async |key: &Idempotency| self.stored_response(&message.tenant, key).await;
        self.transact_once(items, key, "message", stored).await
    }

    /// The response to an earlier request with this idempotency key, unless it has expired.
    pub async fn stored_response(
        &self,
        tenant: &TenantId,
        key: &Idempotency,
    ) -> Result<Option<StoredResponse>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.messages).consistent_read(true);
        let get = get.set_key(Some(idempotency_key(tenant, &key.digest)));
        let item = get.send().await.map_err(failure)?.item;
        let stored = self.read_one(&self.tables.messages, item, |row| {
            let response = StoredResponse {
                message: row.parsed("message", MessageId::parse)?,
                status: row.parsed("status", MessageStatus::parse)?,
                segments: row.number("segments")?,
                fingerprint: row.text("fingerprint")?.to_owned(),
            };
            Ok((row.time("expires_at")?, response))
        })?;
        Ok(stored.filter(|(until, _)| *until > self.clock.now()).map(|(_, response)| response))
    }

    /// Saves a changed message, moves its pending entry, and appends an event if its status is no longer
    /// `previous_status`, in one transaction.
    pub async fn move_message(
        &self,
        message: &Message,
        previous_status: MessageStatus,
        from: Option<PendingIn>,
        to: Option<PendingIn>,
    ) -> Result<WriteOutcome, StoreError> {
        self.mark_active(message, to).await?;
        let mut items = vec![self.put_message(message, Some(message.version))];
        items.extend(from.map(|pending_in| self.delete_pending(message, pending_in)));
        items.extend(to.map(|pending_in| self.put_pending(message, pending_in)));
        if message.status != previous_status {
            items.push(self.append(&message.status_event()));
        }
        Ok(WriteOutcome::applied_if(self.transact(items).await?.is_ok()))
    }

    /// Saves a canceled message, deletes its pending entry and appends its event, in one transaction, unless the message is
    /// in flight.
    pub async fn cancel_message(
        &self,
        message: &Message,
        from: PendingIn,
    ) -> Result<WriteOutcome, StoreError> {
        let check = ConditionCheck::builder()
            .table_name(&self.tables.messages)
            .set_key(Some(sender_key(&message.tenant, &message.extension)))
            .condition_expression("attribute_not_exists(in_flight_message) OR in_flight_message <> :message")
            .expression_attribute_values(":message", item::text(message.id.as_str()));
        let items = vec![
            self.put_message(message, Some(message.version)),
            self.delete_pending(message, from),
            TransactWriteItem::builder().condition_check(complete(check.build())).build(),
            self.append(&message.status_event()),
        ];
        Ok(WriteOutcome::applied_if(self.transact(items).await?.is_ok()))
    }

    /// Saves a message of which RingCentral has accepted a part. This write comes first: the steps that follow it are
    /// repeated for as long as the sender's state shows the part in flight.
    pub async fn save_accepted(&self, message: &Message) -> Result<WriteOutcome, StoreError> {
        let put = self
            .db
            .put_item()
            .table_name(&self.tables.messages)
            .set_item(Some(super::messages::message_item(message, message.version + 1)))
            .condition_expression("version = :seen")
            .expression_attribute_values(":seen", item::number(message.version));
        match put.send().await {
            // A transaction is changing the message.
            Err(error) if is_conflict(&error) => Ok(WriteOutcome::Conflict),
            written => Ok(WriteOutcome::applied_if(made(written)?)),
        }
    }

    /// Removes a message from its outbox. Succeeds if it is not there.
    pub async fn remove_from_outbox(&self, message: &Message) -> Result<(), StoreError> {
        let delete = self.db.delete_item().table_name(&self.tables.messages);
        let key = item::key(&message.tenant, &pending_item(message, PendingIn::Outbox));
        delete.set_key(Some(key)).send().await.map(|_| ()).map_err(failure)
    }

    /// Postpones a message that cannot be read: a schedule entry, due at `until`, replaces its pending entries.
    pub async fn hold_unreadable(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
        id: &MessageId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let row = Writer(item::key(tenant, &scheduled_item(extension, until, id)))
            .set("work_kind", item::text(WORK_KIND))
            .set("due_at", item::time(until));
        let put = self.db.put_item().table_name(&self.tables.messages).set_item(Some(row.done()));
        put.send().await.map_err(failure)?;
        self.remove_orphan(tenant, extension, id).await
    }

    /// Removes the pending entries of a message that no longer exists.
    pub async fn remove_orphan(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
        id: &MessageId,
    ) -> Result<(), StoreError> {
        let outbox = Priority::ALL.map(|priority| outbox_item(extension, priority, id));
        for name in outbox.into_iter().chain([reconciling_item(extension, id)]) {
            self.remove_entry(tenant, &name).await?;
        }
        Ok(())
    }

    /// Removes a schedule entry whose message no longer waits for it.
    pub async fn remove_scheduled(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
        (at, id): (Timestamp, &MessageId),
    ) -> Result<(), StoreError> {
        self.remove_entry(tenant, &scheduled_item(extension, at, id)).await
    }

    async fn remove_entry(&self, tenant: &TenantId, name: &str) -> Result<(), StoreError> {
        let delete = self.db.delete_item().table_name(&self.tables.messages);
        delete.set_key(Some(item::key(tenant, name))).send().await.map(|_| ()).map_err(failure)
    }

    /// The message at the head of a sender's outbox.
    pub async fn outbox_head(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
    ) -> Result<Option<MessageId>, StoreError> {
        let prefix = format!("outbox#{extension}#");
        let head = self.entries(tenant, &prefix, &format!("{prefix}~"), 1, message_in).await?;
        Ok(head.into_iter().next())
    }

    /// A sender's scheduled messages whose `sendAt` has come, with that time. At most [`limits::SCHEDULED_BATCH`].
    pub async fn due_scheduled(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
    ) -> Result<Vec<(Timestamp, MessageId)>, StoreError> {
        let prefix = format!("scheduled#{extension}#");
        let until = format!("{prefix}{:013}~", self.clock.now().as_millisecond());
        let read = |name: &str| {
            let ms = name.strip_prefix(&prefix).and_then(|rest| rest.split('#').next()?.parse().ok());
            let at =
                ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()).ok_or(StoreError::Damaged("item"))?;
            Ok((at, message_in(name)?))
        };
        self.entries(tenant, &prefix, &until, limits::SCHEDULED_BATCH, read).await
    }

    /// A sender's messages that wait to be reconciled. At most [`limits::RECONCILE_BATCH`].
    pub async fn reconciling(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
    ) -> Result<Vec<MessageId>, StoreError> {
        let prefix = format!("reconciling#{extension}#");
        let last = format!("{prefix}~");
        self.entries(tenant, &prefix, &last, limits::RECONCILE_BATCH, message_in).await
    }

    /// Reads the names of entries. One that cannot be read refers to nothing and is removed.
    async fn entries<T>(
        &self,
        tenant: &TenantId,
        first: &str,
        last: &str,
        most: i32,
        read: impl Fn(&str) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let query = self
            .items(&self.tables.messages, tenant, "#item BETWEEN :first AND :last")
            .expression_attribute_values(":first", item::text(first))
            .expression_attribute_values(":last", item::text(last))
            .projection_expression("#item")
            .limit(most);
        let (mut entries, mut from) = (Vec::new(), None);
        for _ in 0..limits::DUE_PAGES {
            let (rows, next) = query::page(query.clone().set_exclusive_start_key(from)).await?;
            for row in rows {
                let name = row.text("item")?;
                match self.checked(&self.tables.messages, &row, read(name)) {
                    Ok(entry) => entries.push(entry),
                    Err(_) => self.remove_entry(tenant, name).await?,
                }
            }
            from = next.map(|next| next.0);
            if from.is_none() || !entries.is_empty() {
                break;
            }
        }
        Ok(entries)
    }

    /// Senders with pending work across all tenants. The outbox of a sender with an active marker may be empty.
    pub async fn due_senders_of_all_tenants(&self) -> Result<BTreeSet<DueSender>, StoreError> {
        let (mut senders, mut from) = (BTreeSet::new(), None);
        for _ in 0..limits::DUE_PAGES {
            let query = self
                .db
                .query()
                .table_name(&self.tables.messages)
                .index_name("due")
                .key_condition_expression("work_kind = :kind AND due_at <= :now")
                .expression_attribute_values(":kind", item::text(WORK_KIND))
                .expression_attribute_values(":now", item::time(self.clock.now()))
                .set_exclusive_start_key(from);
            let (rows, last) = query::page(query).await?;
            for row in &rows {
                match due_sender(row) {
                    Ok(sender) => drop(senders.insert(sender)),
                    Err(error) => {
                        let (table, index) = (&self.tables.messages, ("work_kind", "due_at"));
                        self.pass_index_entry(table, index, row, |_| false, &error).await;
                    }
                }
            }
            from = last.map(|last| last.0);
            if from.is_none() {
                break;
            }
        }
        Ok(senders)
    }

    /// Deletes the active marker of a sender with an empty outbox, unless it was set again after `active_since`.
    pub async fn clear_active(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
        active_since: Timestamp,
    ) -> Result<(), StoreError> {
        let delete = self
            .db
            .delete_item()
            .table_name(&self.tables.messages)
            .set_key(Some(active_key(tenant, extension)))
            .condition_expression("due_at = :seen")
            .expression_attribute_values(":seen", item::time(active_since));
        made(delete.send().await).map(drop)
    }

    /// Sets the active marker of a sender before a message enters its outbox. Skipped if this process has set it recently:
    /// markers outlive the time for which a process relies on them.
    async fn mark_active(&self, message: &Message, pending_in: Option<PendingIn>) -> Result<(), StoreError> {
        let (sender, now) = (format!("{} {}", message.tenant, message.extension), self.clock.now());
        if pending_in != Some(PendingIn::Outbox) || self.active_senders.get(&sender, now).is_some() {
            return Ok(());
        }
        let row = Writer(active_key(&message.tenant, &message.extension))
            .set("work_kind", item::text(WORK_KIND))
            .set("due_at", item::time(now));
        let put = self.db.put_item().table_name(&self.tables.messages).set_item(Some(row.done()));
        put.send().await.map_err(failure)?;
        let until = saturating_add(now, SignedDuration::from_secs(limits::ACTIVE_MARKER_TRUSTED_SECONDS));
        self.active_senders.insert(&sender, (), until);
        Ok(())
    }

    fn put_pending(&self, message: &Message, pending_in: PendingIn) -> TransactWriteItem {
        let row = Writer(item::key(&message.tenant, &pending_item(message, pending_in)));
        let row = match pending_in {
            PendingIn::Outbox => row,
            PendingIn::Scheduled(at) | PendingIn::Reconciling(at) => {
                row.set("work_kind", item::text(WORK_KIND)).set("due_at", item::time(at))
            }
        };
        let put = Put::builder().table_name(&self.tables.messages).set_item(Some(row.done()));
        TransactWriteItem::builder().put(complete(put.build())).build()
    }

    fn delete_pending(&self, message: &Message, pending_in: PendingIn) -> TransactWriteItem {
        let delete = Delete::builder()
            .table_name(&self.tables.messages)
            .set_key(Some(item::key(&message.tenant, &pending_item(message, pending_in))));
        TransactWriteItem::builder().delete(complete(delete.build())).build()
    }
}

const ACTIVE: &str = "active#";

fn active_key(tenant: &TenantId, extension: &ExtensionId) -> Item {
    item::key(tenant, &format!("{ACTIVE}{extension}"))
}

fn pending_item(message: &Message, pending_in: PendingIn) -> String {
    let Message { extension, id, priority, .. } = message;
    match pending_in {
        PendingIn::Outbox => outbox_item(extension, *priority, id),
        PendingIn::Scheduled(at) => scheduled_item(extension, at, id),
        PendingIn::Reconciling(_) => reconciling_item(extension, id),
    }
}

fn scheduled_item(extension: &ExtensionId, at: Timestamp, id: &MessageId) -> String {
    format!("scheduled#{extension}#{:013}#{id}", at.as_millisecond())
}

fn reconciling_item(extension: &ExtensionId, id: &MessageId) -> String {
    format!("reconciling#{extension}#{id}")
}

fn outbox_item(extension: &ExtensionId, priority: Priority, id: &MessageId) -> String {
    let digit = match priority {
        Priority::High => 1,
        Priority::Normal => 2,
        Priority::Bulk => 3,
    };
    format!("outbox#{extension}#{digit}#{id}")
}

/// Reads an entry of the index.
fn due_sender(row: &Row) -> Result<DueSender, StoreError> {
    let name = row.text("item")?;
    let extension = name.split('#').nth(1).and_then(ExtensionId::parse);
    // A sender whose marker has no readable time is woken, as for a message whose moment has come.
    let active_since = if name.starts_with(ACTIVE) { row.time("due_at").ok() } else { None };
    let extension = extension.ok_or(StoreError::Damaged("item"))?;
    Ok(DueSender { tenant: row.tenant()?, extension, active_since })
}

fn message_in(name: &str) -> Result<MessageId, StoreError> {
    name.rsplit('#').next().and_then(MessageId::parse).ok_or(StoreError::Damaged("item"))
}

fn idempotency_key(tenant: &TenantId, digest: &str) -> Item {
    item::key(tenant, &format!("idempotency#{digest}"))
}
