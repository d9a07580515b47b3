//! Table `events`, with the events of each tenant by id, which is by time. Events are immutable. The table's stream triggers the
//! fan-out, so writing an event is all it takes to notify every app.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::item::{self, Item, Row, Writer};
use super::{Page, Store, StoreError, WriteOutcome, complete, failure, query, write_outcome};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::event::{Event, EventKind};
use crate::model::ids::{EventId, TenantId};

impl Store {
    /// The part of a transaction that writes its event.
    pub(super) fn append(&self, event: &Event) -> TransactWriteItem {
        let put = Put::builder()
            .table_name(&self.tables.events)
            .set_item(Some(event_item(event)))
            .condition_expression("attribute_not_exists(tenant)");
        TransactWriteItem::builder().put(complete(put.build())).build()
    }

    /// A conflict if the event exists already.
    pub async fn append_event(&self, event: &Event) -> Result<WriteOutcome, StoreError> {
        let put = self
            .db
            .put_item()
            .table_name(&self.tables.events)
            .set_item(Some(event_item(event)))
            .condition_expression("attribute_not_exists(tenant)");
        write_outcome(put.send().await)
    }

    /// Writes an event that occurred earlier, unless it was written then. It gets a new id, because polling clients may be past the
    /// position of its original id.
    pub async fn append_late(&self, event: &Event) -> Result<(), StoreError> {
        if !self.has_event(event).await? {
            let id = EventId::generate(self.clock.now());
            let _ = self.append_event(&Event { id, ..event.clone() }).await?;
        }
        Ok(())
    }

    /// True if an event with this one's id exists.
    pub async fn has_event(&self, event: &Event) -> Result<bool, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.events).consistent_read(true);
        let get = get.set_key(Some(item::key(&event.tenant, event.id.as_str())));
        Ok(get.send().await.map_err(failure)?.item.is_some())
    }

    /// A page of a tenant's events.
    pub async fn events(&self, tenant: &TenantId, page: &Page) -> Result<EventPage, StoreError> {
        let start = page.after.as_ref().map(|after| item::key(tenant, after));
        let query = self
            .db
            .query()
            .table_name(&self.tables.events)
            .consistent_read(true)
            .key_condition_expression("tenant = :tenant")
            .expression_attribute_values(":tenant", item::text(tenant.as_str()))
            .limit(page.rows())
            .set_exclusive_start_key(start);
        let (rows, _) = query::page(query).await?;
        let events = self.readable(&self.tables.events, &rows, read);
        let last = rows.iter().rev().find_map(|row| row.parsed("item", EventId::parse).ok());
        Ok(EventPage { events, last })
    }

    /// The event in the new image of a stream record. An unreadable one is passed.
    pub fn event_of_image(&self, image: &Value) -> Option<Event> {
        let row = Row(image.as_object().into_iter().flatten().filter_map(attribute).collect());
        self.checked(&self.tables.events, &row, read(&row)).ok()
    }
}

/// A page of a tenant's events.
#[derive(Debug, Clone)]
pub struct EventPage {
    /// Oldest first, without unreadable ones.
    pub events: Vec<Event>,
    /// The id of the last event of the page, even if that is unreadable.
    pub last: Option<EventId>,
}

fn event_item(event: &Event) -> Item {
    let kept = SignedDuration::from_secs(limits::EVENT_RETENTION_SECONDS);
    Writer(item::key(&event.tenant, event.id.as_str()))
        .set("kind", item::text(event.kind.as_str()))
        .set("at", item::time(event.at))
        .set("data", item::text(Value::Object(event.data.clone()).to_string()))
        .set("ttl", item::ttl(saturating_add(event.at, kept)))
        .done()
}

/// An attribute of the image of a stream record.
fn attribute((name, value): (&String, &Value)) -> Option<(String, AttributeValue)> {
    let text = |kind: &str| value[kind].as_str().map(str::to_owned);
    let value = text("S").map(AttributeValue::S).or_else(|| text("N").map(AttributeValue::N))?;
    Some((name.clone(), value))
}

fn read(row: &Row) -> Result<Event, StoreError> {
    let data: Map<String, Value> =
        serde_json::from_str(row.text("data")?).map_err(|_| StoreError::Damaged("data"))?;
    Ok(Event {
        id: row.parsed("item", EventId::parse)?,
        tenant: row.tenant()?,
        kind: row.parsed("kind", EventKind::parse)?,
        at: row.time("at")?,
        data,
    })
}
