//! What waits to be sent, in the table `messages`:
//!
//! - `outbox#<extension>#<priority>#<message>`: the queue of a sender, in its order;
//! - `waiting#<extension>`: that something may be in that queue;
//! - `scheduled#<extension>#<milliseconds>#<message>`: what waits for its time;
//! - `settling#<extension>#<message>`: what is to be looked for in RingCentral's message store;
//! - `idempotency#<digest>`: the first answer to a request with this key.
//!
//! The middle three are in the sparse index `due`, from which whoever rings the senders finds them across all tenants: one
//! line for each sender with a queue, however long that is, and one for each message that waits for a moment.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem};
use jiff::{SignedDuration, Timestamp};

use super::due::legible;
use super::item::{self, Item, Row, Writer};
use super::senders::sender_key;
use super::{Store, StoreError, complete, failed, failure, is_conflict, made, query};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::ids::{ExtensionId, MessageId, TenantId};
use crate::model::message::{Message, MessageStatus, Priority};

/// Where a message waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In its sender's queue.
    Outbox,
    /// For its time.
    Scheduled(Timestamp),
    /// To be looked for.
    Settling(Timestamp),
}

/// A request that may be repeated.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The digest of the caller's key.
    pub digest: String,
    /// The digest of what was asked for.
    pub fingerprint: String,
}

/// The answer to a request that was accepted before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstAnswer {
    /// The message.
    pub message: MessageId,
    /// Its status then.
    pub status: MessageStatus,
    /// Its segments.
    pub segments: u32,
    /// The digest of what was asked for.
    pub fingerprint: String,
}

/// What came of accepting a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is stored.
    Yes,
    /// Its key was used before.
    Before(FirstAnswer),
    /// Somebody else is at it with the same key.
    InProgress,
}

/// A sender for whom something is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueSender {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub extension: ExtensionId,
    /// Since when it is marked as having something in its queue; none if a message waits for a moment that has come.
    pub marked: Option<Timestamp>,
}

/// The lane of the index `due`.
const LANE: &str = "deliver";

impl Store {
    /// Stores a message and its place in the queue, and under which key it was asked for, in one transaction.
    pub async fn accept_message(
        &self,
        message: &Message,
        place: Place,
        key: Option<&Idempotency>,
    ) -> Result<Accepted, StoreError> {
        self.mark(message, Some(place)).await?;
        let now = self.clock.now();
        let mut items = vec![self.put_message(message, None), self.put_place(message, place)];
        if let Some(key) = key {
            let kept = saturating_add(now, SignedDuration::from_secs(limits::IDEMPOTENCY_KEPT_SECONDS));
            let row = Writer(idempotency_key(&message.tenant, &key.digest))
                .set("message", item::text(message.id.as_str()))
                .set("status", item::text(message.status.as_str()))
                .set("segments", item::number(message.segments))
                .set("fingerprint", item::text(&key.fingerprint))
                .set("expires_at", item::time(kept))
                .set("ttl", item::ttl(kept));
            let put = Put::builder()
                .table_name(&self.tables.messages)
                .set_item(Some(row.done()))
                .condition_expression("attribute_not_exists(tenant) OR expires_at <= :now")
                .expression_attribute_values(":now", item::time(now));
            items.push(TransactWriteItem::builder().put(complete(put.build())).build());
        }
        match self.transact(items).await {
            Ok(Ok(())) => Ok(Accepted::Yes),
            Ok(Err(reasons)) if failed(&reasons, 2) => {
                let before = match key {
                    Some(key) => self.first_answer(&message.tenant, key).await?,
                    None => None,
                };
                Ok(before.map_or(Accepted::InProgress, Accepted::Before))
            }
            Ok(Err(_)) => Err(StoreError::Damaged("message")),
            // Others with the same key were always faster.
            Err(StoreError::Unavailable(code)) if key.is_some() && code == "TransactionCanceledException" => {
                Ok(Accepted::InProgress)
            }
            Err(error) => Err(error),
        }
    }

    /// The first answer to a request with this key, unless it is forgotten.
    pub async fn first_answer(
        &self,
        tenant: &TenantId,
        key: &Idempotency,
    ) -> Result<Option<FirstAnswer>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.messages).consistent_read(true);
        let get = get.set_key(Some(idempotency_key(tenant, &key.digest)));
        let Some(row) = get.send().await.map_err(failure)?.item.map(Row) else { return Ok(None) };
        if row.time("expires_at")? <= self.clock.now() {
            return Ok(None);
        }
        Ok(Some(FirstAnswer {
            message: MessageId::parse(row.text("message")?).ok_or(StoreError::Damaged("message"))?,
            status: MessageStatus::parse(row.text("status")?).ok_or(StoreError::Damaged("status"))?,
            segments: row.number("segments")?,
            fingerprint: row.text("fingerprint")?.to_owned(),
        }))
    }

    /// Writes a message that was changed, takes it from one place to another, and writes the event if its status was
    /// another one, in one transaction. False if it changed meanwhile.
    pub async fn move_message(
        &self,
        message: &Message,
        was: MessageStatus,
        from: Option<Place>,
        to: Option<Place>,
    ) -> Result<bool, StoreError> {
        self.mark(message, to).await?;
        let mut items = vec![self.put_message(message, Some(message.version))];
        items.extend(from.map(|place| self.delete_place(message, place)));
        items.extend(to.map(|place| self.put_place(message, place)));
        if message.status != was {
            items.push(self.append(&message.event()));
        }
        Ok(self.transact(items).await?.is_ok())
    }

    /// Takes a message back from where it waits, unless it is on its way. False if it is, or changed meanwhile.
    pub async fn cancel_message(&self, message: &Message, from: Place) -> Result<bool, StoreError> {
        let check = ConditionCheck::builder()
            .table_name(&self.tables.messages)
            .set_key(Some(sender_key(&message.tenant, &message.extension)))
            .condition_expression("attribute_not_exists(flight_message) OR flight_message <> :message")
            .expression_attribute_values(":message", item::text(message.id.as_str()));
        let items = vec![
            self.put_message(message, Some(message.version)),
            self.delete_place(message, from),
            TransactWriteItem::builder().condition_check(complete(check.build())).build(),
            self.append(&message.event()),
        ];
        Ok(self.transact(items).await?.is_ok())
    }

    /// Writes that a part was taken. The message comes first: what follows from it is repeated if it was not written,
    /// for as long as the lane says that the part is on its way. False if the message changed meanwhile: read it again.
    pub async fn record_taken(&self, message: &Message) -> Result<bool, StoreError> {
        let put = self
            .db
            .put_item()
            .table_name(&self.tables.messages)
            .set_item(Some(super::messages::message_item(message, message.version + 1)))
            .condition_expression("version = :seen")
            .expression_attribute_values(":seen", item::number(message.version));
        match put.send().await {
            // Somebody's transaction is changing it right now.
            Err(error) if is_conflict(&error) => Ok(false),
            written => made(written),
        }
    }

    /// Takes a message out of its queue, if it is there.
    pub async fn leave_outbox(&self, message: &Message) -> Result<(), StoreError> {
        let delete = self.db.delete_item().table_name(&self.tables.messages);
        let key = item::key(&message.tenant, &place_name(message, Place::Outbox));
        delete.set_key(Some(key)).send().await.map(|_| ()).map_err(failure)
    }

    /// Takes out of the queue what is no message any more.
    pub async fn drop_from_outbox(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
        id: &MessageId,
    ) -> Result<(), StoreError> {
        for priority in Priority::ALL {
            let name = outbox_name(extension, *priority, id);
            let delete = self.db.delete_item().table_name(&self.tables.messages);
            delete.set_key(Some(item::key(tenant, &name))).send().await.map_err(failure)?;
        }
        Ok(())
    }

    /// The message that is first in a sender's queue.
    pub async fn first_of_outbox(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
    ) -> Result<Option<MessageId>, StoreError> {
        let prefix = format!("outbox#{extension}#");
        let names = self.entries(tenant, &prefix, &format!("{prefix}~"), 1).await?;
        names.first().map(|name| message_in(name)).transpose()
    }

    /// What of a sender has been scheduled for now or earlier, and when.
    pub async fn due_scheduled(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
    ) -> Result<Vec<(Timestamp, MessageId)>, StoreError> {
        let prefix = format!("scheduled#{extension}#");
        let until = format!("{prefix}{:013}~", self.clock.now().as_millisecond());
        let names = self.entries(tenant, &prefix, &until, limits::SCHEDULED_AT_ONCE).await?;
        let read = |name: &String| {
            let ms = name.strip_prefix(&prefix).and_then(|rest| rest.split('#').next()?.parse().ok());
            let at =
                ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()).ok_or(StoreError::Damaged("item"))?;
            Ok((at, message_in(name)?))
        };
        names.iter().map(read).collect()
    }

    /// What of a sender is to be looked for.
    pub async fn settling(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
    ) -> Result<Vec<MessageId>, StoreError> {
        let prefix = format!("settling#{extension}#");
        let names = self.entries(tenant, &prefix, &format!("{prefix}~"), limits::SETTLING_AT_ONCE).await?;
        names.iter().map(|name| message_in(name)).collect()
    }

    async fn entries(
        &self,
        tenant: &TenantId,
        first: &str,
        last: &str,
        most: i32,
    ) -> Result<Vec<String>, StoreError> {
        let query = self
            .items(&self.tables.messages, tenant, "#item BETWEEN :first AND :last")
            .expression_attribute_values(":first", item::text(first))
            .expression_attribute_values(":last", item::text(last))
            .projection_expression("#item")
            .limit(most);
        query::page(query).await?.0.iter().map(|row| Ok(row.text("item")?.to_owned())).collect()
    }

    /// Senders across all tenants for whom something is due, or may be.
    pub async fn due_senders_of_all_tenants(&self) -> Result<BTreeSet<DueSender>, StoreError> {
        let (mut senders, mut from) = (BTreeSet::new(), None);
        for _ in 0..limits::DUE_PAGES {
            let query = self
                .db
                .query()
                .table_name(&self.tables.messages)
                .index_name("due")
                .key_condition_expression("due_lane = :lane AND due_at <= :now")
                .expression_attribute_values(":lane", item::text(LANE))
                .expression_attribute_values(":now", item::time(self.clock.now()))
                .set_exclusive_start_key(from);
            let (rows, last) = query::page(query).await?;
            senders.extend(rows.iter().filter_map(|row| legible(due_sender(row))));
            from = last.map(|last| last.0);
            if from.is_none() {
                break;
            }
        }
        Ok(senders)
    }

    /// Takes away the mark of a sender with an empty queue, unless it was marked again meanwhile.
    pub async fn unmark(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
        seen: Timestamp,
    ) -> Result<bool, StoreError> {
        let delete = self
            .db
            .delete_item()
            .table_name(&self.tables.messages)
            .set_key(Some(item::key(tenant, &format!("{MARK}{extension}"))))
            .condition_expression("due_at = :seen")
            .expression_attribute_values(":seen", item::time(seen));
        made(delete.send().await)
    }

    /// Marks a sender as having something in its queue, before it is put there; unless this process has done so a while ago:
    /// a mark stays for longer than any process relies on it.
    async fn mark(&self, message: &Message, place: Option<Place>) -> Result<(), StoreError> {
        let (sender, now) = (format!("{} {}", message.tenant, message.extension), self.clock.now());
        if place != Some(Place::Outbox) || self.marked.get(&sender, now).is_some() {
            return Ok(());
        }
        let row = Writer(item::key(&message.tenant, &format!("{MARK}{}", message.extension)))
            .set("due_lane", item::text(LANE))
            .set("due_at", item::time(now));
        let put = self.db.put_item().table_name(&self.tables.messages).set_item(Some(row.done()));
        put.send().await.map_err(failure)?;
        let until = saturating_add(now, SignedDuration::from_secs(limits::MARK_TRUSTED_SECONDS));
        self.marked.insert(&sender, (), until);
        Ok(())
    }

    fn put_place(&self, message: &Message, place: Place) -> TransactWriteItem {
        let row = Writer(item::key(&message.tenant, &place_name(message, place)));
        let row = match place {
            Place::Outbox => row,
            Place::Scheduled(at) | Place::Settling(at) => {
                row.set("due_lane", item::text(LANE)).set("due_at", item::time(at))
            }
        };
        let put = Put::builder().table_name(&self.tables.messages).set_item(Some(row.done()));
        TransactWriteItem::builder().put(complete(put.build())).build()
    }

    fn delete_place(&self, message: &Message, place: Place) -> TransactWriteItem {
        let delete = Delete::builder()
            .table_name(&self.tables.messages)
            .set_key(Some(item::key(&message.tenant, &place_name(message, place))));
        TransactWriteItem::builder().delete(complete(delete.build())).build()
    }
}

const MARK: &str = "waiting#";

fn place_name(message: &Message, place: Place) -> String {
    let Message { extension, id, priority, .. } = message;
    match place {
        Place::Outbox => outbox_name(extension, *priority, id),
        Place::Scheduled(at) => format!("scheduled#{extension}#{:013}#{id}", at.as_millisecond()),
        Place::Settling(_) => format!("settling#{extension}#{id}"),
    }
}

fn outbox_name(extension: &ExtensionId, priority: Priority, id: &MessageId) -> String {
    let digit = match priority {
        Priority::High => 1,
        Priority::Normal => 2,
        Priority::Bulk => 3,
    };
    format!("outbox#{extension}#{digit}#{id}")
}

/// A line of the index.
fn due_sender(row: &Row) -> Result<DueSender, StoreError> {
    let name = row.text("item")?;
    let extension = name.split('#').nth(1).and_then(ExtensionId::parse);
    let marked = if name.starts_with(MARK) { Some(row.time("due_at")?) } else { None };
    let extension = extension.ok_or(StoreError::Damaged("item"))?;
    Ok(DueSender { tenant: row.tenant()?, extension, marked })
}

fn message_in(name: &str) -> Result<MessageId, StoreError> {
    name.rsplit('#').next().and_then(MessageId::parse).ok_or(StoreError::Damaged("item"))
}

fn idempotency_key(tenant: &TenantId, digest: &str) -> Item {
    item::key(tenant, &format!("idempotency#{digest}"))
}
