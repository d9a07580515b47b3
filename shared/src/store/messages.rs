//! Messages, in the table `messages`, partition `tenant`: items `message#<id>`, whose ids sort by time; and
//! `record#<extension>#<RingCentral's id>`, which correlate the records of RingCentral's message store with them.

use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValue, TransactWriteItem};
use jiff::{SignedDuration, Timestamp};

use super::item::{self, Item, Row, Writer};
use super::media;
use super::{
    Page, Store, StoreError, WriteOutcome, complete, failure, is_conditional, is_conflict, made, query,
};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::consent::ConsentUpdate;
use crate::model::event::Event;
use crate::model::ids::{ExtensionId, MessageId, TenantId};
use crate::model::media::MessageKind;
use crate::model::message::{
    DeliveryReport, Direction, HeldFor, Message, MessageClass, MessagePart, MessageStatus, OnAmbiguous,
    PartStage, Priority,
};

/// What is stored about a record of RingCentral's message store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// The message, and the index of the part, that the record is correlated with.
    pub part: Option<(MessageId, usize)>,
    /// A delivery report that came before the record was correlated.
    pub early_report: Option<DeliveryReport>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Correlation {
    /// The record is correlated with the part; the delivery report that came earlier, if any.
    Correlated(Option<DeliveryReport>),
    /// The record is correlated with another part already.
    Taken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyReportOutcome {
    Saved,
    /// The record is correlated with a part: apply the report to its message instead.
    AlreadyCorrelated,
}

/// Which messages of a tenant to list.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    pub direction: Option<Direction>,
    pub status: Option<MessageStatus>,
    pub kind: Option<MessageKind>,
    pub from: Option<String>,
    pub to: Option<String>,
    /// Inclusive.
    pub start: Option<Timestamp>,
    /// Exclusive.
    pub end: Option<Timestamp>,
}

/// A numbered page of a tenant's messages.
#[derive(Debug)]
pub struct NumberedPage {
    /// How many messages match, as far as they were counted.
    pub counted: usize,
    /// True if all were counted.
    pub is_exact: bool,
    pub messages: Vec<Message>,
    /// Where the next page begins, if there may be more.
    pub next: Option<String>,
}

const MESSAGE: &str = "message#";

impl Store {
    pub async fn message(&self, tenant: &TenantId, id: &MessageId) -> Result<Option<Message>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.messages).set_key(Some(message_key(tenant, id)));
        let answer = get.consistent_read(true).send().await.map_err(failure)?;
        self.read_one(&self.tables.messages, answer.item, read_message)
    }

    /// The items of a transaction that stores an inbound message: its correlated record, the message, the event, and the consent that
    /// its keyword changes.
    pub(super) fn inbound_items(
        &self,
        message: &Message,
        event: &Event,
        consent: Option<&ConsentUpdate>,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let rc_id = message.rc_id().ok_or(StoreError::Damaged("rc_id"))?;
        let record = Put::builder()
            .table_name(&self.tables.messages)
            .set_item(Some(record_item(message, 0, rc_id)))
            .condition_expression("attribute_not_exists(message)");
        let mut items = vec![
            TransactWriteItem::builder().put(complete(record.build())).build(),
            self.put_message(message, None),
            self.append(event),
        ];
        items.extend(consent.into_iter().flat_map(|update| self.consent_items(update)));
        Ok(items)
    }

    /// What is stored about the record with RingCentral's id `rc_id`.
    pub async fn record(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
        rc_id: &str,
    ) -> Result<Option<StoredRecord>, StoreError> {
        let key = record_key(tenant, extension, rc_id);
        let get = self.db.get_item().table_name(&self.tables.messages).set_key(Some(key));
        let answer = get.consistent_read(true).send().await.map_err(failure)?;
        self.read_one(&self.tables.messages, answer.item, read_record)
    }

    /// Correlates a record with a part of a message. Idempotent.
    pub async fn correlate_record(
        &self,
        message: &Message,
        part: usize,
        rc_id: &str,
    ) -> Result<Correlation, StoreError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.messages)
            .set_key(Some(record_key(&message.tenant, &message.extension, rc_id)))
            .update_expression("SET message = :message, #part = :part, #ttl = :ttl")
            .condition_expression("attribute_not_exists(message) OR (message = :message AND #part = :part)")
            .expression_attribute_names("#part", "part")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":message", item::text(message.id.as_str()))
            .expression_attribute_values(":part", item::number(part))
            .expression_attribute_values(":ttl", item::ttl(kept(message)))
            .return_values(ReturnValue::AllNew);
        match update.send().await {
            Ok(answer) => {
                let record = self.read_one(&self.tables.messages, answer.attributes, read_record);
                // The record is correlated even if another attribute cannot be read.
                Ok(Correlation::Correlated(record.ok().flatten().and_then(|record| record.early_report)))
            }
            Err(error) if is_conditional(&error) => Ok(Correlation::Taken),
            Err(error) => Err(failure(error)),
        }
    }

    /// Saves a delivery report about a record that is not correlated yet. [`Store::correlate_record`] returns it.
    pub async fn save_early_report(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
        rc_id: &str,
        report: &DeliveryReport,
    ) -> Result<EarlyReportOutcome, StoreError> {
        let kept = SignedDuration::from_secs(limits::UNCORRELATED_RECORD_KEPT_SECONDS);
        let until = saturating_add(self.clock.now(), kept);
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.messages)
            .set_key(Some(record_key(tenant, extension, rc_id)))
            .condition_expression("attribute_not_exists(message)")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":stage", item::text(report.stage.as_str()))
            .expression_attribute_values(":ttl", item::ttl(until));
        let update = match &report.error_code {
            Some(code) => update
                .update_expression("SET report_stage = :stage, report_error_code = :code, #ttl = :ttl")
                .expression_attribute_values(":code", item::text(code)),
            None => update.update_expression("SET report_stage = :stage, #ttl = :ttl"),
        };
        let is_saved = made(update.send().await)?;
        Ok(if is_saved { EarlyReportOutcome::Saved } else { EarlyReportOutcome::AlreadyCorrelated })
    }

    /// Saves a changed message. This write comes first: the caller repeats the steps that follow it until they are made.
    pub async fn save_message(&self, message: &Message) -> Result<WriteOutcome, StoreError> {
        let put = self
            .db
            .put_item()
            .table_name(&self.tables.messages)
            .set_item(Some(message_item(message, message.version + 1)))
            .condition_expression("version = :seen")
            .expression_attribute_values(":seen", item::number(message.version));
        match put.send().await {
            // A transaction is changing the message.
            Err(error) if is_conflict(&error) => Ok(WriteOutcome::Conflict),
            written => Ok(WriteOutcome::applied_if(made(written)?)),
        }
    }

    /// The transaction item that writes a message. `seen` is the version that was read; `None` for a new message.
    pub(super) fn put_message(&self, message: &Message, seen: Option<u64>) -> TransactWriteItem {
        let put = Put::builder()
            .table_name(&self.tables.messages)
            .set_item(Some(message_item(message, seen.map_or(0, |seen| seen + 1))));
        let put = match seen {
            None => put.condition_expression("attribute_not_exists(tenant)"),
            Some(seen) => put
                .condition_expression("version = :seen")
                .expression_attribute_values(":seen", item::number(seen)),
        };
        TransactWriteItem::builder().put(complete(put.build())).build()
    }

    /// A tenant's messages, newest first, and where the next page begins if there may be more. A page may have fewer entries
    /// than requested, even none, without being the last one: at most [`limits::LIST_PAGES`] pages of the table are read.
    pub async fn messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        page: &Page,
    ) -> Result<(Vec<Message>, Option<String>), StoreError> {
        let most = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let (mut messages, mut after) = (Vec::new(), page.after.clone());
        for _ in 0..limits::LIST_PAGES {
            let (rows, next) = self.message_rows(tenant, filter, after.as_deref(), Projection::All).await?;
            for row in rows {
                // An unreadable message is passed.
                messages.extend(self.checked(&self.tables.messages, &row, read_message(&row)));
                if messages.len() == most {
                    let last = row.text("item")?.to_owned();
                    return Ok((messages, Some(last)));
                }
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        Ok((messages, after))
    }

    /// The messages of one numbered page. Rows are counted in steps of [`limits::COUNTED_ROWS`], no further than the step in
    /// which the page ends.
    pub async fn numbered_messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        skip: usize,
        most: usize,
    ) -> Result<NumberedPage, StoreError> {
        let end = skip.saturating_add(most);
        let (mut names, mut after) = (Vec::new(), None::<String>);
        for _ in 0..limits::LIST_PAGES {
            let (rows, next) =
                self.message_rows(tenant, filter, after.as_deref(), Projection::ItemNames).await?;
            for row in rows {
                names.push(row.text("item")?.to_owned());
            }
            after = next;
            if after.is_none() || names.len() >= end {
                break;
            }
        }
        let is_exact = after.is_none();
        let shown = names.iter().skip(skip).take(most);
        let next = if end < names.len() { shown.clone().next_back().cloned() } else { after };
        let keys: Vec<Item> = shown.map(|name| item::key(tenant, name)).collect();
        let rows = self.rows_by_key(&self.tables.messages, keys).await?;
        let mut messages = self.readable(&self.tables.messages, &rows, read_message);
        messages.sort_by(|one, other| other.id.cmp(&one.id));
        Ok(NumberedPage { counted: names.len(), is_exact, messages, next })
    }

    async fn message_rows(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        after: Option<&str>,
        projection: Projection,
    ) -> Result<(Vec<Row>, Option<String>), StoreError> {
        let first = filter.start.map_or_else(String::new, MessageId::first_of);
        // "~" sorts after every id. The range includes its end, which no complete id equals.
        let last = filter.end.map_or_else(|| "~".to_owned(), MessageId::first_of);
        let query = self
            .items(&self.tables.messages, tenant, "#item BETWEEN :first AND :last")
            .scan_index_forward(false)
            .expression_attribute_values(":first", item::text(format!("{MESSAGE}{first}")))
            .expression_attribute_values(":last", item::text(format!("{MESSAGE}{last}")))
            .set_exclusive_start_key(after.map(|name| item::key(tenant, name)));
        let attributes = [
            ("direction", filter.direction.map(|word| word.as_str().to_owned())),
            ("status", filter.status.map(|word| word.as_str().to_owned())),
            ("from", filter.from.clone()),
            ("to", filter.to.clone()),
        ];
        let mut query = query::filtered(query, attributes);
        if let Some(kind) = filter.kind {
            query = query::filtered_by_presence(query, "media", kind == MessageKind::Mms);
        }
        if projection == Projection::ItemNames {
            query = query.projection_expression("#item").limit(limits::COUNTED_ROWS);
        }
        let (rows, last) = query::page(query).await?;
        Ok((rows, last.and_then(|key| key.maybe_text("item"))))
    }
}

/// Which attributes a query returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Projection {
    All,
    ItemNames,
}

fn message_key(tenant: &TenantId, id: &MessageId) -> Item {
    item::key(tenant, &format!("{MESSAGE}{id}"))
}

pub(super) fn record_key(tenant: &TenantId, extension: &ExtensionId, rc_id: &str) -> Item {
    item::key(tenant, &format!("record#{extension}#{rc_id}"))
}

fn record_item(message: &Message, part: usize, rc_id: &str) -> Item {
    Writer(record_key(&message.tenant, &message.extension, rc_id))
        .set("message", item::text(message.id.as_str()))
        .set("part", item::number(part))
        .set("ttl", item::ttl(kept(message)))
        .done()
}

fn read_record(row: &Row) -> Result<StoredRecord, StoreError> {
    let part = match row.maybe_text("message") {
        None => None,
        Some(id) => Some((MessageId::parse(&id).ok_or(StoreError::Damaged("message"))?, row.number("part")?)),
    };
    let stage = row.maybe_text("report_stage").and_then(|stage| PartStage::parse(&stage));
    let early_report =
        stage.map(|stage| DeliveryReport { stage, error_code: row.maybe_text("report_error_code") });
    Ok(StoredRecord { part, early_report })
}

/// When a message expires from the table.
pub(super) fn kept(message: &Message) -> Timestamp {
    let begin = message.send_at.unwrap_or(message.created_at).max(message.created_at);
    saturating_add(begin, SignedDuration::from_secs(limits::MESSAGE_KEPT_SECONDS))
}

fn part_value(part: &MessagePart) -> AttributeValue {
    let writer = Writer::default()
        .set("end", item::number(part.end))
        .set("stage", item::text(part.stage.as_str()))
        .maybe("rc_id", part.rc_id.as_ref().map(item::text))
        .maybe("submitted_at", part.submitted_at.map(item::time));
    AttributeValue::M(writer.done())
}

pub(super) fn message_item(message: &Message, version: u64) -> Item {
    Writer(message_key(&message.tenant, &message.id))
        .set("direction", item::text(message.direction.as_str()))
        .set("status", item::text(message.status.as_str()))
        .set("from", item::text(&message.from))
        .set("to", item::text(&message.to))
        .set("body", item::text(&message.body))
        .set("extension", item::text(message.extension.as_str()))
        .maybe("user_id", message.user_id.as_ref().map(item::text))
        .set("priority", item::text(message.priority.as_str()))
        .set("on_ambiguous", item::text(message.on_ambiguous.as_str()))
        .maybe("confirms", message.confirms.as_ref().map(|id| item::text(id.as_str())))
        .set("class", item::text(message.class.as_str()))
        .maybe("send_at", message.send_at.map(item::time))
        .maybe("held_for", message.held_for.map(|reason| item::text(reason.as_str())))
        .maybe("expires_at", message.expires_at.map(item::time))
        .set("segments", item::number(message.segments))
        .set("attempts", item::number(message.attempts))
        .set("parts", AttributeValue::L(message.parts.iter().map(part_value).collect()))
        .maybe("media", media::value_of(&message.media))
        .maybe("media_attempts", (message.media_attempts > 0).then(|| item::number(message.media_attempts)))
        .maybe("error", message.error.as_ref().map(item::text))
        .maybe("error_code", message.error_code.as_ref().map(item::text))
        .set("created_at", item::time(message.created_at))
        .set("updated_at", item::time(message.updated_at))
        .set("version", item::number(version))
        .set("ttl", item::ttl(kept(message)))
        .done()
}

fn read_message(row: &Row) -> Result<Message, StoreError> {
    let id = row.text("item")?.strip_prefix(MESSAGE).and_then(MessageId::parse);
    let part = |row: &Row| {
        Ok(MessagePart {
            end: row.number("end")?,
            stage: PartStage::parse(row.text("stage")?).ok_or(StoreError::Damaged("stage"))?,
            rc_id: row.maybe_text("rc_id"),
            submitted_at: row.maybe_time("submitted_at")?,
        })
    };
    Ok(Message {
        tenant: row.tenant()?,
        id: id.ok_or(StoreError::Damaged("item"))?,
        direction: Direction::parse(row.text("direction")?).ok_or(StoreError::Damaged("direction"))?,
        status: MessageStatus::parse(row.text("status")?).ok_or(StoreError::Damaged("status"))?,
        from: row.text("from")?.to_owned(),
        to: row.text("to")?.to_owned(),
        body: row.text("body")?.to_owned(),
        extension: row.extension()?,
        user_id: row.maybe_text("user_id"),
        priority: Priority::parse(row.text("priority")?).ok_or(StoreError::Damaged("priority"))?,
        on_ambiguous: OnAmbiguous::parse(row.text("on_ambiguous")?)
            .ok_or(StoreError::Damaged("on_ambiguous"))?,
        confirms: row.maybe_text("confirms").as_deref().and_then(MessageId::parse),
        class: row.parsed("class", MessageClass::parse)?,
        send_at: row.maybe_time("send_at")?,
        held_for: row.maybe_parsed("held_for", HeldFor::parse)?,
        expires_at: row.maybe_time("expires_at")?,
        segments: row.number("segments")?,
        attempts: row.number("attempts")?,
        parts: row.rows("parts").iter().map(part).collect::<Result<_, StoreError>>()?,
        media: media::read(row)?,
        media_attempts: row.maybe_number("media_attempts")?.unwrap_or(0),
        error: row.maybe_text("error"),
        error_code: row.maybe_text("error_code"),
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        version: row.number("version")?,
    })
}
