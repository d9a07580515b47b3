//! Events, table `events`: partition `tenant`, in it by id, which is by time. They are only ever put. The table's stream
//! tells the function that fans them out, so whoever writes one has told everybody.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::item::{self, Item, Row, Writer};
use super::{Page, Store, StoreError, complete, failure, made, query};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::event::{Event, EventKind};
use crate::model::ids::{EventId, TenantId};

impl Store {
    /// Writes down what happened, as a part of the transaction that makes it happen.
    pub(super) fn append(&self, event: &Event) -> TransactWriteItem {
        let put = Put::builder()
            .table_name(&self.tables.events)
            .set_item(Some(event_item(event)))
            .condition_expression("attribute_not_exists(tenant)");
        TransactWriteItem::builder().put(complete(put.build())).build()
    }

    /// Writes down what happened. False if it was written before.
    pub async fn append_event(&self, event: &Event) -> Result<bool, StoreError> {
        let put = self
            .db
            .put_item()
            .table_name(&self.tables.events)
            .set_item(Some(event_item(event)))
            .condition_expression("attribute_not_exists(tenant)");
        made(put.send().await)
    }

    /// Writes down what happened some time ago and may not have been written then. It gets a new id: whoever reads events one
    /// after another may be past the place of its own.
    pub async fn append_late(&self, event: &Event) -> Result<(), StoreError> {
        let get = self.db.get_item().table_name(&self.tables.events).consistent_read(true);
        let get = get.set_key(Some(item::key(&event.tenant, event.id.as_str())));
        if get.send().await.map_err(failure)?.item.is_none() {
            let id = EventId::generate(self.clock.now());
            self.append_event(&Event { id, ..event.clone() }).await?;
        }
        Ok(())
    }

    /// A tenant's events after a place, the oldest first, and where the next page begins if there may be more.
    pub async fn events(
        &self,
        tenant: &TenantId,
        page: &Page,
    ) -> Result<(Vec<Event>, Option<String>), StoreError> {
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
        let (rows, last) = query::page(query).await?;
        let next = last.and_then(|key| key.maybe_text("item"));
        Ok((rows.iter().map(read).collect::<Result<_, _>>()?, next))
    }
}

fn event_item(event: &Event) -> Item {
    let kept = SignedDuration::from_secs(limits::EVENT_KEPT_SECONDS);
    Writer(item::key(&event.tenant, event.id.as_str()))
        .set("kind", item::text(event.kind.as_str()))
        .set("at", item::time(event.at))
        .set("data", item::text(Value::Object(event.data.clone()).to_string()))
        .set("ttl", item::ttl(saturating_add(event.at, kept)))
        .done()
}

/// The event in a record of the table's stream.
pub fn event_of_image(image: &Value) -> Result<Event, StoreError> {
    let attribute = |(name, value): (&String, &Value)| {
        let text = |kind: &str| value[kind].as_str().map(str::to_owned);
        let value = text("S").map(AttributeValue::S).or_else(|| text("N").map(AttributeValue::N));
        value.map(|value| (name.clone(), value))
    };
    let fields = image.as_object().ok_or(StoreError::Damaged("image"))?;
    read(&Row(fields.iter().filter_map(attribute).collect()))
}

fn read(row: &Row) -> Result<Event, StoreError> {
    let data: Map<String, Value> =
        serde_json::from_str(row.text("data")?).map_err(|_| StoreError::Damaged("data"))?;
    Ok(Event {
        id: EventId::parse(row.text("item")?).ok_or(StoreError::Damaged("item"))?,
        tenant: row.tenant()?,
        kind: EventKind::parse(row.text("kind")?).ok_or(StoreError::Damaged("kind"))?,
        at: row.time("at")?,
        data,
    })
}
