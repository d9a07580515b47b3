//! Messages, table `messages`, partition `tenant`: items `message#<id>`, whose ids are by time; and
//! `record#<extension>#<RingCentral's id>`, which tie RingCentral's records to them.

use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValue, TransactWriteItem};
use jiff::{SignedDuration, Timestamp};

use super::item::{self, Item, Row, Writer};
use super::{Page, Store, StoreError, complete, failure, is_conditional, made, query};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::event::Event;
use crate::model::ids::{ExtensionId, MessageId, TenantId};
use crate::model::message::{
    Direction, Message, MessageFile, MessageStatus, OnAmbiguous, Part, Priority, Stage, Told,
};

/// What is known of a record of RingCentral's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The message of ours that it is, and which of its parts.
    pub tied: Option<(MessageId, usize)>,
    /// What was told of it before it was tied.
    pub told: Option<Told>,
}

/// Which messages of a tenant to list.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// Out or in.
    pub direction: Option<Direction>,
    /// Of this status.
    pub status: Option<MessageStatus>,
    /// From this number.
    pub from: Option<String>,
    /// To this number.
    pub to: Option<String>,
    /// Not before this moment.
    pub start: Option<Timestamp>,
    /// Before this moment.
    pub end: Option<Timestamp>,
}

const MESSAGE: &str = "message#";

impl Store {
    /// One message.
    pub async fn message(&self, tenant: &TenantId, id: &MessageId) -> Result<Option<Message>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.messages).set_key(Some(message_key(tenant, id)));
        let answer = get.consistent_read(true).send().await.map_err(failure)?;
        answer.item.map(|row| read_message(&Row(row))).transpose()
    }

    /// The parts of a transaction that stores a message that came in: the message, the tie of its record, the event.
    pub(super) fn inbound_items(
        &self,
        message: &Message,
        event: &Event,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let rc_id = message.rc_id().ok_or(StoreError::Damaged("rc_id"))?;
        let record = Put::builder()
            .table_name(&self.tables.messages)
            .set_item(Some(record_item(message, 0, rc_id)))
            .condition_expression("attribute_not_exists(message)");
        Ok(vec![
            self.put_message(message, None),
            TransactWriteItem::builder().put(complete(record.build())).build(),
            self.append(event),
        ])
    }

    /// What is known of a record of RingCentral's.
    pub async fn record(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
        rc_id: &str,
    ) -> Result<Option<Record>, StoreError> {
        let key = record_key(tenant, extension, rc_id);
        let get = self.db.get_item().table_name(&self.tables.messages).set_key(Some(key));
        let answer = get.consistent_read(true).send().await.map_err(failure)?;
        answer.item.map(|row| read_record(&Row(row))).transpose()
    }

    /// Ties a record to a part of a message. Gives what was told of it before; `None` if it is tied to another one.
    pub async fn tie_record(
        &self,
        message: &Message,
        part: usize,
        rc_id: &str,
    ) -> Result<Option<Option<Told>>, StoreError> {
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
            Ok(answer) => Ok(Some(
                answer.attributes.map(|row| read_record(&Row(row))).transpose()?.and_then(|r| r.told),
            )),
            Err(error) if is_conditional(&error) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }

    /// Remembers what was told of a record that is not tied to a message, in case that it will be. False if it is tied.
    pub async fn remember_told(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
        rc_id: &str,
        told: &Told,
    ) -> Result<bool, StoreError> {
        let until =
            saturating_add(self.clock.now(), SignedDuration::from_secs(limits::UNTIED_RECORD_SECONDS));
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.messages)
            .set_key(Some(record_key(tenant, extension, rc_id)))
            .condition_expression("attribute_not_exists(message)")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":stage", item::text(told.stage.as_str()))
            .expression_attribute_values(":ttl", item::ttl(until));
        let update = match &told.error_code {
            Some(code) => update
                .update_expression("SET told_stage = :stage, told_code = :code, #ttl = :ttl")
                .expression_attribute_values(":code", item::text(code)),
            None => update.update_expression("SET told_stage = :stage, #ttl = :ttl"),
        };
        made(update.send().await)
    }

    /// Writes a message that was changed, and the event if its status was another one. False if it changed meanwhile:
    /// read it again.
    pub async fn change_message(&self, message: &Message, was: MessageStatus) -> Result<bool, StoreError> {
        let mut items = vec![self.put_message(message, Some(message.version))];
        if message.status != was {
            items.push(self.append(&message.event()));
        }
        Ok(self.transact(items).await?.is_ok())
    }

    /// The part of a transaction that writes a message. `seen` is the version that it had; none if it is new.
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

    /// A tenant's messages, the newest first, and where the next page begins if there may be more. A page may have fewer
    /// entries than asked for, even none, and go on: no more than [`limits::LIST_PAGES`] are read.
    pub async fn messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        page: &Page,
    ) -> Result<(Vec<Message>, Option<String>), StoreError> {
        let most = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let (mut messages, mut after) = (Vec::new(), page.after.clone());
        for _ in 0..limits::LIST_PAGES {
            let (rows, next) = self.message_rows(tenant, filter, after.as_deref(), false).await?;
            for row in rows {
                messages.push(read_message(&row)?);
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

    /// How many messages fit, those of one page of the numbered pages, and where the next page begins if there may be
    /// more. It is counted up to [`limits::LISTED_MESSAGES`], and as far as [`limits::LIST_PAGES`] reach.
    pub async fn numbered_messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        skip: usize,
        most: usize,
    ) -> Result<(usize, Vec<Message>, Option<String>), StoreError> {
        let (mut names, mut after) = (Vec::new(), None::<String>);
        for _ in 0..limits::LIST_PAGES {
            let (rows, next) = self.message_rows(tenant, filter, after.as_deref(), true).await?;
            for row in rows {
                names.push(row.text("item")?.to_owned());
            }
            after = next;
            if after.is_none() || names.len() >= limits::LISTED_MESSAGES {
                break;
            }
        }
        if names.len() > limits::LISTED_MESSAGES {
            names.truncate(limits::LISTED_MESSAGES);
            after = names.last().cloned();
        }
        let end = skip.saturating_add(most);
        let shown = names.iter().skip(skip).take(most);
        let next = if end < names.len() { shown.clone().next_back().cloned() } else { after };
        let keys: Vec<Item> = shown.map(|name| item::key(tenant, name)).collect();
        let rows = self.rows_by_key(&self.tables.messages, keys).await?;
        let mut messages = rows.iter().map(read_message).collect::<Result<Vec<_>, _>>()?;
        messages.sort_by(|one, other| other.id.cmp(&one.id));
        Ok((names.len(), messages, next))
    }

    async fn message_rows(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        after: Option<&str>,
        names_only: bool,
    ) -> Result<(Vec<Row>, Option<String>), StoreError> {
        let first = filter.start.map_or_else(String::new, MessageId::first_of);
        // "~" sorts behind every id. The range includes its end, where no whole id is.
        let last = filter.end.map_or_else(|| "~".to_owned(), MessageId::first_of);
        let mut query = self
            .items(&self.tables.messages, tenant, "#item BETWEEN :first AND :last")
            .scan_index_forward(false)
            .expression_attribute_values(":first", item::text(format!("{MESSAGE}{first}")))
            .expression_attribute_values(":last", item::text(format!("{MESSAGE}{last}")))
            .set_exclusive_start_key(after.map(|name| item::key(tenant, name)));
        let wanted = [
            ("direction", filter.direction.map(|word| word.as_str().to_owned())),
            ("status", filter.status.map(|word| word.as_str().to_owned())),
            ("from", filter.from.clone()),
            ("to", filter.to.clone()),
        ];
        let mut conditions = Vec::new();
        for (name, value) in wanted {
            if let Some(value) = value {
                conditions.push(format!("#{name} = :{name}"));
                query = query
                    .expression_attribute_names(format!("#{name}"), name)
                    .expression_attribute_values(format!(":{name}"), item::text(value));
            }
        }
        if !conditions.is_empty() {
            query = query.filter_expression(conditions.join(" AND "));
        }
        if names_only {
            query = query.projection_expression("#item");
        }
        let (rows, last) = query::page(query).await?;
        Ok((rows, last.and_then(|key| key.maybe_text("item"))))
    }
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

fn read_record(row: &Row) -> Result<Record, StoreError> {
    let tied = match row.maybe_text("message") {
        None => None,
        Some(id) => Some((MessageId::parse(&id).ok_or(StoreError::Damaged("message"))?, row.number("part")?)),
    };
    let told = row.maybe_text("told_stage").and_then(|stage| Stage::parse(&stage));
    let told = told.map(|stage| Told { stage, error_code: row.maybe_text("told_code") });
    Ok(Record { tied, told })
}

/// Until when a message is kept.
pub(super) fn kept(message: &Message) -> Timestamp {
    let begin = message.send_at.unwrap_or(message.created_at).max(message.created_at);
    saturating_add(begin, SignedDuration::from_secs(limits::MESSAGE_KEPT_SECONDS))
}

fn part_value(part: &Part) -> AttributeValue {
    let writer = Writer::default()
        .set("end", item::number(part.end))
        .set("stage", item::text(part.stage.as_str()))
        .maybe("rc_id", part.rc_id.as_ref().map(item::text))
        .maybe("posted_at", part.posted_at.map(item::time));
    AttributeValue::M(writer.done())
}

fn file_value(file: &MessageFile) -> AttributeValue {
    let writer = Writer::default()
        .set("id", item::text(&file.id))
        .maybe("content_type", file.content_type.as_ref().map(item::text))
        .maybe("size", file.size.map(item::number));
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
        .maybe("send_at", message.send_at.map(item::time))
        .maybe("expires_at", message.expires_at.map(item::time))
        .set("segments", item::number(message.segments))
        .set("attempts", item::number(message.attempts))
        .set("parts", AttributeValue::L(message.parts.iter().map(part_value).collect()))
        .maybe(
            "files",
            (!message.files.is_empty())
                .then(|| AttributeValue::L(message.files.iter().map(file_value).collect())),
        )
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
        Ok(Part {
            end: row.number("end")?,
            stage: Stage::parse(row.text("stage")?).ok_or(StoreError::Damaged("stage"))?,
            rc_id: row.maybe_text("rc_id"),
            posted_at: row.maybe_time("posted_at")?,
        })
    };
    let file = |row: &Row| {
        let size = row.0.contains_key("size").then(|| row.number("size")).transpose()?;
        Ok(MessageFile { id: row.text("id")?.to_owned(), content_type: row.maybe_text("content_type"), size })
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
        send_at: row.maybe_time("send_at")?,
        expires_at: row.maybe_time("expires_at")?,
        segments: row.number("segments")?,
        attempts: row.number("attempts")?,
        parts: row.rows("parts").iter().map(part).collect::<Result<_, StoreError>>()?,
        files: row.rows("files").iter().map(file).collect::<Result<_, StoreError>>()?,
        error: row.maybe_text("error"),
        error_code: row.maybe_text("error_code"),
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        version: row.number("version")?,
    })
}
