//! Messages that wait to be sent, in the table `messages`:
//!
//! - `pending#<extension>#outbox#<priority>#<message>`: a sender's outbox, in the order of sending;
//! - `pending#<extension>#reconciling#<message>`: messages to be looked up in RingCentral's message store;
//! - `pending#<extension>#scheduled#<milliseconds>#<message>`: messages that wait for `sendAt`;
//! - `fetch#<message>`: messages whose files are to be copied (see `media`);
//! - `active#<extension>`: the active marker of a sender that may have any of these;
//! - `idempotency#<digest>`: the stored response to the request with this idempotency key.
//!
//! Only the active marker is in the sparse index `due`, where the sweep finds the senders of all tenants: one entry per sender,
//! however many messages wait. Every writer sets its due time to now, so that the sweep looks at the sender every minute. When
//! nothing was due for [`limits::ACTIVE_MARKER_KEPT_SECONDS`], the sweep moves it to the time of the next scheduled message, or
//! deletes it.

use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem};
use jiff::{SignedDuration, Timestamp};

use super::due::{self, WorkKind};
use super::idempotency::{Idempotency, IdempotentOutcome};
use super::item::{self, Item, Row, Writer};
use super::media::{self, DueMedia, due_media, fetch_item};
use super::senders::sender_key;
use super::{Store, StoreError, WriteOutcome, complete, failure, made, query};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::consent::DecisiveConsents;
use crate::model::event::Event;
use crate::model::ids::{ExtensionId, MessageId, TenantId};
use crate::model::media::MediaUrls;
use crate::model::message::{HeldFor, Message, MessageStatus, Priority};
use crate::model::number::{SendWarning, WarningCode};
use crate::model::phone::E164;
use crate::model::shard::Shard;

/// Where a message waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingIn {
    Outbox,
    /// Until `sendAt`.
    Scheduled(Timestamp),
    /// Until it is reconciled.
    Reconciling,
    /// Until its files are copied. Without a copy until this moment, the sweep requests one again.
    Media(Timestamp),
}

/// The head of an outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxHead {
    pub message: MessageId,
    /// Its sender and recipient; `None` if the entry does not show them.
    pub parties: Option<(E164, E164)>,
}

/// The response to an earlier request with the same idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    pub message: MessageId,
    /// The message's status at that time.
    pub status: MessageStatus,
    pub segments: u32,
    pub send_at: Option<Timestamp>,
    pub held_for: Option<HeldFor>,
    pub warning: Option<SendWarning>,
    /// The digest of that request's content.
    pub fingerprint: String,
}

/// A sender whose active marker is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueSender {
    pub tenant: TenantId,
    pub extension: ExtensionId,
    /// The due time of the marker that was read.
    pub active_since: Timestamp,
}

/// Work that leads to sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DueSend {
    Sender(DueSender),
    Media(DueMedia),
}

impl Store {
    /// Makes the URLs of files.
    pub fn media_urls(&self) -> &MediaUrls {
        &self.media_urls
    }

    /// The event of a message's status.
    pub fn status_event(&self, message: &Message) -> Event {
        message.status_event(&self.media_urls)
    }

    /// Stores a message, its outbox or schedule entry, and the response for its idempotency key, in one transaction. Refused if the
    /// recipient has opted out.
    pub async fn accept_message(
        &self,
        message: &Message,
        pending_in: PendingIn,
        consents: &DecisiveConsents,
        response: Option<(&Idempotency, Option<&SendWarning>)>,
    ) -> Result<IdempotentOutcome<StoredResponse>, StoreError> {
        self.mark_active(message, Some(pending_in)).await?;
        let mut items = vec![
            self.put_message(message, None),
            self.put_pending(message, pending_in),
            self.check_not_opted_out(&message.tenant, consents),
        ];
        items.extend(response.map(|(key, warning)| {
            let row = Writer(idempotency_key(&message.tenant, &key.digest))
                .set("message", item::text(message.id.as_str()))
                .set("status", item::text(message.status.as_str()))
                .set("segments", item::number(message.segments))
                .maybe("send_at", message.send_at.map(item::time))
                .maybe("held_for", message.held_for.map(|reason| item::text(reason.as_str())))
                .maybe("warning", warning.map(|warning| item::text(warning.code.as_str())))
                .maybe("warning_text", warning.map(|warning| item::text(&warning.text)));
            self.put_response(&self.tables.messages, row, key)
        }));
        let stored = async |key: &Idempotency| self.stored_response(&message.tenant, key).await;
        self.transact_once(items, response.map(|(key, _)| key), stored).await
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
            let warning = row.maybe_parsed("warning", WarningCode::parse)?;
            let response = StoredResponse {
                message: row.parsed("message", MessageId::parse)?,
                status: row.parsed("status", MessageStatus::parse)?,
                segments: row.number("segments")?,
                send_at: row.maybe_time("send_at")?,
                held_for: row.maybe_parsed("held_for", HeldFor::parse)?,
                warning: warning.map(|code| SendWarning {
                    code,
                    text: row.maybe_text("warning_text").unwrap_or_default(),
                }),
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
            items.push(self.append(&self.status_event(message)));
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
            self.append(&self.status_event(message)),
        ];
        Ok(WriteOutcome::applied_if(self.transact(items).await?.is_ok()))
    }

    /// Queues the confirmation of an inbound opt-out, and moves the schedule entry of the opt-out from `at` to `until`, in one
    /// transaction. A conflict if an earlier write did so.
    pub async fn confirm_opt_out(
        &self,
        inbound: &Message,
        at: Timestamp,
        confirmation: &Message,
        until: Timestamp,
    ) -> Result<WriteOutcome, StoreError> {
        self.mark_active(confirmation, Some(PendingIn::Outbox)).await?;
        let items = vec![
            self.put_message(confirmation, None),
            self.put_pending(confirmation, PendingIn::Outbox),
            self.delete_existing(inbound, PendingIn::Scheduled(at)),
            self.put_pending(inbound, PendingIn::Scheduled(until)),
        ];
        Ok(WriteOutcome::applied_if(self.transact(items).await?.is_ok()))
    }

    /// Moves the schedule entry of an inbound keyword from `at` to `until`. A conflict if it is not at `at` any more.
    pub async fn postpone_follow_up(
        &self,
        inbound: &Message,
        at: Timestamp,
        until: Timestamp,
    ) -> Result<WriteOutcome, StoreError> {
        self.mark_active(inbound, Some(PendingIn::Scheduled(until))).await?;
        let items = vec![
            self.put_pending(inbound, PendingIn::Scheduled(until)),
            self.delete_existing(inbound, PendingIn::Scheduled(at)),
        ];
        Ok(WriteOutcome::applied_if(self.transact(items).await?.is_ok()))
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
        let row = Writer(item::key(tenant, &scheduled_item(extension, until, id)));
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
    ) -> Result<Option<OutboxHead>, StoreError> {
        let prefix = pending_prefix(extension) + "outbox#";
        let read = |row: &Row| {
            let party = |name| row.maybe_text(name).as_deref().and_then(E164::parse);
            Ok(OutboxHead { message: message_of(row)?, parties: party("from").zip(party("to")) })
        };
        let head = self.entries(tenant, &prefix, &format!("{prefix}~"), 1, read).await?;
        Ok(head.into_iter().next())
    }

    /// A sender's scheduled messages whose `sendAt` has come, with that time. At most [`limits::SCHEDULED_BATCH`].
    pub async fn due_scheduled(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
    ) -> Result<Vec<(Timestamp, MessageId)>, StoreError> {
        let prefix = pending_prefix(extension) + "scheduled#";
        let until = format!("{prefix}{:013}~", self.clock.now().as_millisecond());
        let read = |row: &Row| {
            let name = row.text("item")?;
            let at = name.strip_prefix(&prefix).and_then(scheduled_at).ok_or(StoreError::Damaged("item"))?;
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
        let prefix = pending_prefix(extension) + "reconciling#";
        let last = format!("{prefix}~");
        self.entries(tenant, &prefix, &last, limits::RECONCILE_BATCH, message_of).await
    }

    /// Where the first of a sender's pending messages waits: in its outbox if that is not empty, otherwise to be reconciled, otherwise
    /// for the earliest `sendAt`.
    pub async fn first_pending(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
    ) -> Result<Option<(PendingIn, MessageId)>, StoreError> {
        let prefix = pending_prefix(extension);
        let read = |row: &Row| {
            let name = row.text("item")?;
            let (kind, rest) =
                name.strip_prefix(&prefix).and_then(|name| name.split_once('#')).unwrap_or_default();
            let pending_in = match kind {
                "outbox" => Some(PendingIn::Outbox),
                "reconciling" => Some(PendingIn::Reconciling),
                "scheduled" => scheduled_at(rest).map(PendingIn::Scheduled),
                _ => None,
            };
            Ok((pending_in.ok_or(StoreError::Damaged("item"))?, message_in(name)?))
        };
        let first = self.entries(tenant, &prefix, &format!("{prefix}~"), 1, read).await?;
        Ok(first.into_iter().next())
    }

    /// Reads entries. One that cannot be read refers to nothing and is removed.
    async fn entries<T>(
        &self,
        tenant: &TenantId,
        first: &str,
        last: &str,
        most: i32,
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let query = self
            .items(&self.tables.messages, tenant, "#item BETWEEN :first AND :last")
            .expression_attribute_values(":first", item::text(first))
            .expression_attribute_values(":last", item::text(last))
            .projection_expression("#item, #from, #to")
            .expression_attribute_names("#from", "from")
            .expression_attribute_names("#to", "to")
            .limit(most);
        let (mut entries, mut from) = (Vec::new(), None);
        for _ in 0..limits::DUE_PAGES {
            let (rows, next) = query::page(query.clone().set_exclusive_start_key(from)).await?;
            for row in rows {
                match self.checked(&self.tables.messages, &row, read(&row)) {
                    Ok(entry) => entries.push(entry),
                    Err(_) => self.remove_entry(tenant, row.text("item")?).await?,
                }
            }
            from = next.map(|next| next.0);
            if from.is_none() || !entries.is_empty() {
                break;
            }
        }
        Ok(entries)
    }

    /// A page of the senders of all tenants in a shard whose active markers are due, and of the messages whose files are to be
    /// copied; and where it ended if there may be more.
    pub async fn due_sends_of_all_tenants(
        &self,
        shard: Shard,
        after: Option<&str>,
    ) -> Result<(Vec<DueSend>, Option<String>), StoreError> {
        let (rows, last) = query::page(self.pass_over_work(WorkKind::Send, shard, after)).await?;
        let mut due = Vec::new();
        for row in &rows {
            if let Ok(media) = media::due_media_in(row) {
                due.push(DueSend::Media(media));
                continue;
            }
            match (due_sender(row), marked_sender(row)) {
                (Ok(sender), _) => due.push(DueSend::Sender(sender)),
                // Only its time cannot be read, so it is set again.
                (Err(_), Ok((tenant, extension))) => {
                    let marker = active_marker(&tenant, &extension, self.clock.now());
                    let put = self.db.put_item().table_name(&self.tables.messages).set_item(Some(marker));
                    put.send().await.map_err(failure)?;
                }
                (Err(error), Err(_)) => {
                    let (table, index) = (&self.tables.messages, ("work_kind", "due_at"));
                    self.pass_index_entry(table, index, row, |_| false, &error).await;
                }
            }
        }
        Ok((due, last.as_ref().and_then(|last| due::position(WorkKind::Send, last))))
    }

    /// Deletes the active marker of a sender without pending messages, or sets when it is due next, unless it was set again after
    /// it was read.
    pub async fn defer_active(&self, sender: &DueSender, until: Option<Timestamp>) -> Result<(), StoreError> {
        let (table, key) = (&self.tables.messages, active_key(&sender.tenant, &sender.extension));
        let seen = item::time(sender.active_since);
        match until {
            None => {
                let delete = self.db.delete_item().table_name(table).set_key(Some(key));
                let delete = delete.condition_expression("due_at = :seen");
                made(delete.expression_attribute_values(":seen", seen).send().await).map(drop)
            }
            Some(until) => {
                let update = self.db.update_item().table_name(table).set_key(Some(key));
                let update = update
                    .update_expression("SET due_at = :until")
                    .condition_expression("due_at = :seen")
                    .expression_attribute_values(":until", item::time(until));
                made(update.expression_attribute_values(":seen", seen).send().await).map(drop)
            }
        }
    }

    /// Sets the active marker of a sender before a message of it becomes pending. Skipped if this process has set it recently:
    /// markers outlive the time for which a process relies on them.
    async fn mark_active(&self, message: &Message, pending_in: Option<PendingIn>) -> Result<(), StoreError> {
        let (sender, now) = (format!("{} {}", message.tenant, message.extension), self.clock.now());
        if matches!(pending_in, None | Some(PendingIn::Media(_)))
            || self.active_senders.get(&sender, now).is_some()
        {
            return Ok(());
        }
        let marker = active_marker(&message.tenant, &message.extension, now);
        let put = self.db.put_item().table_name(&self.tables.messages).set_item(Some(marker));
        put.send().await.map_err(failure)?;
        let until = saturating_add(now, SignedDuration::from_secs(limits::ACTIVE_MARKER_TRUSTED_SECONDS));
        self.active_senders.insert(&sender, (), until);
        Ok(())
    }

    pub(super) fn put_pending(&self, message: &Message, pending_in: PendingIn) -> TransactWriteItem {
        let entry = Writer(item::key(&message.tenant, &pending_item(message, pending_in)));
        let entry = match pending_in {
            PendingIn::Media(due) => due_media(entry, &message.id, due),
            PendingIn::Outbox | PendingIn::Scheduled(_) | PendingIn::Reconciling => {
                entry.set("from", item::text(&message.from)).set("to", item::text(&message.to))
            }
        };
        let put = Put::builder().table_name(&self.tables.messages).set_item(Some(entry.done()));
        TransactWriteItem::builder().put(complete(put.build())).build()
    }

    /// The part of a transaction that sets the active marker of a message's sender.
    pub(super) fn put_active(&self, message: &Message) -> TransactWriteItem {
        let marker = active_marker(&message.tenant, &message.extension, self.clock.now());
        let put = Put::builder().table_name(&self.tables.messages).set_item(Some(marker));
        TransactWriteItem::builder().put(complete(put.build())).build()
    }

    /// Like [`Store::delete_pending`], and fails if there is no such entry.
    fn delete_existing(&self, message: &Message, pending_in: PendingIn) -> TransactWriteItem {
        let delete = Delete::builder()
            .table_name(&self.tables.messages)
            .set_key(Some(item::key(&message.tenant, &pending_item(message, pending_in))))
            .condition_expression("attribute_exists(tenant)");
        TransactWriteItem::builder().delete(complete(delete.build())).build()
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

fn active_marker(tenant: &TenantId, extension: &ExtensionId, due: Timestamp) -> Item {
    Writer(active_key(tenant, extension))
        .set("work_kind", WorkKind::Send.partition_of(extension.as_str()))
        .set("due_at", item::time(due))
        .done()
}

fn pending_prefix(extension: &ExtensionId) -> String {
    format!("pending#{extension}#")
}

/// The time of a scheduled message, from `<milliseconds>#<message>`.
fn scheduled_at(name: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(name.split('#').next()?.parse().ok()?).ok()
}

fn pending_item(message: &Message, pending_in: PendingIn) -> String {
    let Message { extension, id, priority, .. } = message;
    match pending_in {
        PendingIn::Outbox => outbox_item(extension, *priority, id),
        PendingIn::Scheduled(at) => scheduled_item(extension, at, id),
        PendingIn::Reconciling => reconciling_item(extension, id),
        PendingIn::Media(_) => fetch_item(id),
    }
}

fn scheduled_item(extension: &ExtensionId, at: Timestamp, id: &MessageId) -> String {
    format!("{}scheduled#{:013}#{id}", pending_prefix(extension), at.as_millisecond())
}

fn reconciling_item(extension: &ExtensionId, id: &MessageId) -> String {
    format!("{}reconciling#{id}", pending_prefix(extension))
}

fn outbox_item(extension: &ExtensionId, priority: Priority, id: &MessageId) -> String {
    let digit = match priority {
        Priority::High => 1,
        Priority::Normal => 2,
        Priority::Bulk => 3,
    };
    format!("{}outbox#{digit}#{id}", pending_prefix(extension))
}

/// Reads an entry of the index.
fn due_sender(row: &Row) -> Result<DueSender, StoreError> {
    let (tenant, extension) = marked_sender(row)?;
    Ok(DueSender { tenant, extension, active_since: row.time("due_at")? })
}

/// The sender in the key of its active marker.
fn marked_sender(row: &Row) -> Result<(TenantId, ExtensionId), StoreError> {
    let extension = row.text("item")?.strip_prefix(ACTIVE).and_then(ExtensionId::parse);
    Ok((row.tenant()?, extension.ok_or(StoreError::Damaged("item"))?))
}

fn message_of(row: &Row) -> Result<MessageId, StoreError> {
    message_in(row.text("item")?)
}

fn message_in(name: &str) -> Result<MessageId, StoreError> {
    name.rsplit('#').next().and_then(MessageId::parse).ok_or(StoreError::Damaged("item"))
}

fn idempotency_key(tenant: &TenantId, digest: &str) -> Item {
    item::key(tenant, &format!("idempotency#{digest}"))
}
