//! The files of messages, in the table `messages`:
//!
//! - the attribute `media` of a message;
//! - `fetch#<message>`: a message whose files are to be copied, in the index `due` until they are;
//! - `upload#<id>`: an upload.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};

use super::due::WorkKind;
use super::item::{self, Item, Row, Writer};
use super::{Store, StoreError, WriteOutcome, failure, made};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::ids::{MessageId, TenantId};
use crate::model::media::{Media, MediaId, MediaSource, MediaStatus};

/// A message whose files are to be copied now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueMedia {
    pub tenant: TenantId,
    pub message: MessageId,
    /// The due time that was read.
    pub due: Timestamp,
}

/// A file that a client uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub id: MediaId,
    pub content_type: String,
    /// In bytes.
    pub size: usize,
    /// Empty if there is none.
    pub file_name: String,
    /// From then on the file cannot be sent.
    pub expires_at: Timestamp,
}

impl Store {
    pub async fn add_upload(&self, tenant: &TenantId, upload: &Upload) -> Result<(), StoreError> {
        let row = Writer(upload_key(tenant, &upload.id))
            .set("content_type", item::text(&upload.content_type))
            .set("size", item::number(upload.size))
            .set("file_name", item::text(&upload.file_name))
            .set("expires_at", item::time(upload.expires_at))
            .set("ttl", item::ttl(upload.expires_at));
        let put = self.db.put_item().table_name(&self.tables.messages).set_item(Some(row.done()));
        put.send().await.map(|_| ()).map_err(failure)
    }

    /// Uploads that have not expired, in the order of `ids`; `None` for others.
    pub async fn uploads(
        &self,
        tenant: &TenantId,
        ids: &[MediaId],
    ) -> Result<Vec<Option<Upload>>, StoreError> {
        let mut keys: Vec<Item> = Vec::new();
        for id in ids {
            let key = upload_key(tenant, id);
            // DynamoDB rejects a key that is twice in a batch.
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let rows = self.rows_by_key(&self.tables.messages, keys).await?;
        let now = self.clock.now();
        let uploads = self.readable(&self.tables.messages, &rows, read_upload);
        let find = |id: &MediaId| uploads.iter().find(|upload| upload.id == *id && upload.expires_at > now);
        Ok(ids.iter().map(|id| find(id).cloned()).collect())
    }

    /// Moves the due time of a message whose files are to be copied, so that no other run of the sweep requests it. A conflict if
    /// another one has.
    pub async fn claim_media(&self, due: &DueMedia) -> Result<WriteOutcome, StoreError> {
        let until = saturating_add(self.clock.now(), SignedDuration::from_secs(limits::MEDIA_CLAIM_SECONDS));
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.messages)
            .set_key(Some(item::key(&due.tenant, &fetch_item(&due.message))))
            .update_expression("SET due_at = :until")
            .condition_expression("due_at = :seen")
            .expression_attribute_values(":until", item::time(until))
            .expression_attribute_values(":seen", item::time(due.due));
        made(update.send().await).map(WriteOutcome::applied_if)
    }

    /// Forgets that a message's files are to be copied.
    pub async fn remove_fetch(&self, tenant: &TenantId, message: &MessageId) -> Result<(), StoreError> {
        let delete = self.db.delete_item().table_name(&self.tables.messages);
        let delete = delete.set_key(Some(item::key(tenant, &fetch_item(message))));
        delete.send().await.map(|_| ()).map_err(failure)
    }

    /// Sets when the files of a message are to be copied again. Creates no entry.
    pub async fn postpone_fetch(
        &self,
        tenant: &TenantId,
        message: &MessageId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.messages)
            .set_key(Some(item::key(tenant, &fetch_item(message))))
            .update_expression("SET due_at = :until")
            .condition_expression("attribute_exists(tenant)")
            .expression_attribute_values(":until", item::time(until));
        made(update.send().await).map(drop)
    }
}

const FETCH: &str = "fetch#";
const UPLOAD: &str = "upload#";

pub(super) fn fetch_item(message: &MessageId) -> String {
    format!("{FETCH}{message}")
}

fn upload_key(tenant: &TenantId, id: &MediaId) -> Item {
    item::key(tenant, &format!("{UPLOAD}{id}"))
}

/// Adds the attributes of the index.
pub(super) fn due_media(entry: Writer, message: &MessageId, due: Timestamp) -> Writer {
    entry.set("work_kind", WorkKind::Send.partition_of(message.as_str())).set("due_at", item::time(due))
}

/// Reads an entry of the index.
pub(super) fn due_media_in(row: &Row) -> Result<DueMedia, StoreError> {
    let message = row.text("item")?.strip_prefix(FETCH).and_then(MessageId::parse);
    let message = message.ok_or(StoreError::Damaged("item"))?;
    Ok(DueMedia { tenant: row.tenant()?, message, due: row.time("due_at")? })
}

fn read_upload(row: &Row) -> Result<Upload, StoreError> {
    let id = row.text("item")?.strip_prefix(UPLOAD).and_then(MediaId::parse);
    Ok(Upload {
        id: id.ok_or(StoreError::Damaged("item"))?,
        content_type: row.text("content_type")?.to_owned(),
        size: row.number("size")?,
        file_name: row.text("file_name")?.to_owned(),
        expires_at: row.time("expires_at")?,
    })
}

/// The value of the attribute `media`; `None` for a message without files.
pub(super) fn value_of(media: &[Media]) -> Option<AttributeValue> {
    let value = |file: &Media| {
        let (mut url, mut upload, mut attachment, mut uri) = (None, None, None, None);
        match &file.source {
            None => {}
            Some(MediaSource::Url(text)) => url = Some(item::text(text)),
            Some(MediaSource::Upload(id)) => upload = Some(item::text(id.to_string())),
            Some(MediaSource::RingCentral { attachment: id, uri: text }) => {
                attachment = Some(item::text(id));
                uri = text.as_ref().map(item::text);
            }
        }
        let row = Writer::default()
            .set("status", item::text(file.status.as_str()))
            .maybe("url", url)
            .maybe("upload", upload)
            .maybe("attachment", attachment)
            .maybe("uri", uri)
            .maybe("content_type", file.content_type.as_ref().map(item::text))
            .maybe("size", file.size.map(item::number))
            .set("file_name", item::text(&file.file_name))
            .maybe("object", file.object.as_ref().map(item::text))
            .maybe("stored_at", file.stored_at.map(item::time));
        AttributeValue::M(row.done())
    };
    (!media.is_empty()).then(|| AttributeValue::L(media.iter().map(value).collect()))
}

/// Reads the attribute `media`.
pub(super) fn read(row: &Row) -> Result<Vec<Media>, StoreError> {
    let file = |row: &Row| {
        let source = if let Some(url) = row.maybe_text("url") {
            Some(MediaSource::Url(url))
        } else if let Some(upload) = row.maybe_parsed("upload", MediaId::parse)? {
            Some(MediaSource::Upload(upload))
        } else {
            let uri = row.maybe_text("uri");
            row.maybe_text("attachment").map(|attachment| MediaSource::RingCentral { attachment, uri })
        };
        Ok(Media {
            source,
            status: row.parsed("status", MediaStatus::parse)?,
            content_type: row.maybe_text("content_type"),
            size: row.maybe_number("size")?,
            file_name: row.maybe_text("file_name").unwrap_or_default(),
            object: row.maybe_text("object"),
            stored_at: row.maybe_time("stored_at")?,
        })
    };
    row.rows("media").iter().map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_back() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut stored = Media::of(MediaSource::Url("https://example.com/a.png".to_owned()));
        stored.store("media/a".to_owned(), "image/png", 7, now);
        let media = [
            Media::of(MediaSource::Url("https://example.com/a.png".to_owned())),
            Media::of(MediaSource::Upload(MediaId::generate_upload(now))),
            Media::of(MediaSource::RingCentral { attachment: "7".to_owned(), uri: None }),
            stored,
        ];
        let row = Row(Writer::default().maybe("media", value_of(&media)).done());
        assert_eq!(read(&row).unwrap(), media);
        assert_eq!(value_of(&[]), None);
        assert_eq!(read(&Row(Item::new())).unwrap(), []);
    }
}
