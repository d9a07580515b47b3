//! Deliveries, table `deliveries`: partition `tenant`, items `<app>#<delivery>`, in the order of time for each app, and
//! `endpoint#<app>` with what is known of its address. What is due lies in the sparse index `due`; the row's `due_at` is
//! the truth about when.

use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use jiff::{SignedDuration, Timestamp};

use super::due::skip_unreadable;
use super::item::{self, Change, Item, Row, Writer};
use super::{Page, Store, StoreError, complete, failure, is_conditional, made, query};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::delivery::{Delivery, DeliveryStatus, Health};
use crate::model::event::{Event, EventKind};
use crate::model::ids::{AppId, DeliveryId, EventId, TenantId};

/// A delivery that is to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDelivery {
    /// Whose.
    pub tenant: TenantId,
    /// The app that is told.
    pub app: AppId,
    /// Which delivery.
    pub id: DeliveryId,
    /// Since when; a delivery that was moved on since is somebody else's.
    pub at: Timestamp,
}

/// The moment of the delivery where a page of an app's deliveries ends.
pub fn moment_of(position: &str) -> Option<Timestamp> {
    DeliveryId::parse(position.split_once('#')?.1).map(|id| id.at())
}

/// What became of the wish to try an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entered {
    /// The place is taken; this is what is known of the address.
    Yes(Health),
    /// It is not, for what is known says so: look again.
    No(Health),
}

/// What an attempt has brought.
#[derive(Debug, Clone)]
pub struct Outcome<'a> {
    /// The delivery as it is now.
    pub delivery: &'a Delivery,
    /// What was known of the address before.
    pub seen: &'a Health,
    /// What is known of it now.
    pub health: &'a Health,
    /// The place that comes free.
    pub place: usize,
    /// Until when delivery and place were taken for the attempt.
    pub taken: Timestamp,
    /// What the tenant is told beside.
    pub event: Option<&'a Event>,
}

const WORK_KIND: &str = "delivery";

impl Store {
    /// Writes a delivery, due at once for whoever takes it from its queue, and a while later for the sweep. False if it
    /// was written before.
    pub async fn add_delivery(&self, delivery: &Delivery) -> Result<bool, StoreError> {
        let kept = SignedDuration::from_secs(limits::EVENT_KEPT_SECONDS);
        let item = Writer(key(&delivery.tenant, &delivery.app, &delivery.id))
            .set("app", item::text(delivery.app.as_str()))
            .set("event", item::text(delivery.event.as_str()))
            .set("kind", item::text(delivery.kind.as_str()))
            .set("body", item::text(&delivery.body))
            .set("status", item::text(delivery.status.as_str()))
            .set("attempts", item::number(delivery.attempts))
            .maybe("work_kind", delivery.next_attempt.map(|_| item::text(WORK_KIND)))
            .maybe("due_at", delivery.next_attempt.map(item::time))
            .set("ttl", item::ttl(saturating_add(self.clock.now(), kept)))
            .done();
        let put = self
            .db
            .put_item()
            .table_name(&self.tables.deliveries)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(tenant)");
        made(put.send().await)
    }

    /// Takes a delivery: nobody else finds it before `until`. None if it was moved on since, or is done.
    pub async fn take_delivery(
        &self,
        due: &DueDelivery,
        until: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        let taken = self
            .db
            .update_item()
            .table_name(&self.tables.deliveries)
            .set_key(Some(key(&due.tenant, &due.app, &due.id)))
            .update_expression("SET due_at = :until")
            .condition_expression("#status = :pending AND due_at = :seen")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":pending", item::text(DeliveryStatus::Pending.as_str()))
            .expression_attribute_values(":seen", item::time(due.at))
            .expression_attribute_values(":until", item::time(until))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match taken {
            Ok(answer) => read(&Row(answer.attributes.unwrap_or_default())).map(Some),
            Err(error) if is_conditional(&error) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }

    /// Takes a place among the attempts at an app's address until `until`, if what was seen of the address still holds.
    /// A probe closes the address to all others for as long.
    pub async fn enter_endpoint(
        &self,
        tenant: &TenantId,
        app: &AppId,
        place: usize,
        probe_of: Option<&Health>,
        until: Timestamp,
    ) -> Result<Entered, StoreError> {
        let now = self.clock.now();
        let mut update = self
            .db
            .update_item()
            .table_name(&self.tables.deliveries)
            .set_key(Some(endpoint_key(tenant, app)))
            .expression_attribute_names("#place", place_name(place))
            .expression_attribute_values(":until", item::time(until))
            .expression_attribute_values(":now", item::time(now))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let free = "attribute_not_exists(disabled_at) AND (attribute_not_exists(#place) OR #place <= :now)";
        update = match probe_of {
            None => update
                .update_expression("SET #place = :until")
                .condition_expression(format!(
                    "{free} AND (attribute_not_exists(failures) OR failures < :many)"
                ))
                .expression_attribute_values(":many", item::number(limits::BREAKER_FAILURES)),
            Some(seen) => {
                let closed = seen.closed_until.unwrap_or(now);
                update
                    .update_expression("SET #place = :until, closed_until = :until")
                    .condition_expression(format!("{free} AND closed_until = :closed"))
                    .expression_attribute_values(":closed", item::time(closed))
            }
        };
        match update.send().await {
            Ok(answer) => Ok(Entered::Yes(read_health(&Row(answer.attributes.unwrap_or_default()))?)),
            Err(error) if is_conditional(&error) => {
                let refused = error.into_service_error();
                let old = match refused {
                    aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(
                        refused,
                    ) => refused.item.unwrap_or_default(),
                    _ => Item::default(),
                };
                Ok(Entered::No(read_health(&Row(old))?))
            }
            Err(error) => Err(failure(error)),
        }
    }

    /// Writes a delivery alone, with nothing of its address. Somebody who took it meanwhile is left alone.
    pub async fn write_delivery(&self, delivery: &Delivery, seen: Timestamp) -> Result<(), StoreError> {
        let update = self
            .delivery_update(delivery)
            .condition_expression("due_at = :seen")
            .expression_attribute_values(":seen", item::time(seen));
        let items = vec![TransactWriteItem::builder().update(complete(update.build())).build()];
        self.transact(items).await.map(drop)
    }

    /// Writes what an attempt has brought: the delivery, what is known of the address, and what the tenant is told, in
    /// one transaction. False if the delivery was taken by somebody else meanwhile, the notice was given, or the address
    /// was forgotten, for the app has another one.
    pub async fn record_attempt(&self, outcome: &Outcome<'_>) -> Result<bool, StoreError> {
        let delivery = outcome.delivery;
        let update = self
            .delivery_update(delivery)
            .condition_expression("due_at = :seen")
            .expression_attribute_values(":seen", item::time(outcome.taken));
        let mut items = vec![
            TransactWriteItem::builder().update(complete(update.build())).build(),
            self.health_update(&delivery.tenant, &delivery.app, outcome),
        ];
        items.extend(outcome.event.map(|event| self.append(event)));
        Ok(self.transact(items).await?.is_ok())
    }

    /// Lets an address be tried again as if it had never failed. Gives what was known of it.
    pub async fn forget_endpoint(&self, tenant: &TenantId, app: &AppId) -> Result<Health, StoreError> {
        let delete = self
            .db
            .delete_item()
            .table_name(&self.tables.deliveries)
            .set_key(Some(endpoint_key(tenant, app)))
            .return_values(ReturnValue::AllOld);
        read_health(&Row(delete.send().await.map_err(failure)?.attributes.unwrap_or_default()))
    }

    /// What is known of an app's address.
    pub async fn endpoint(&self, tenant: &TenantId, app: &AppId) -> Result<Health, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.deliveries).consistent_read(true);
        let answer = get.set_key(Some(endpoint_key(tenant, app))).send().await.map_err(failure)?;
        read_health(&Row(answer.item.unwrap_or_default()))
    }

    /// One delivery.
    pub async fn delivery(
        &self,
        tenant: &TenantId,
        app: &AppId,
        id: &DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.deliveries).consistent_read(true);
        let answer = get.set_key(Some(key(tenant, app, id))).send().await.map_err(failure)?;
        answer.item.map(|row| read(&Row(row))).transpose()
    }

    /// An app's deliveries between two moments, the newest first, of one status if one is named, and where the next page
    /// begins if there may be more. A page may have fewer entries than asked for, even none, and go on.
    pub async fn deliveries(
        &self,
        tenant: &TenantId,
        app: &AppId,
        between: (Timestamp, Timestamp),
        filter: (Option<DeliveryStatus>, Option<EventKind>),
        page: &Page,
    ) -> Result<(Vec<Delivery>, Option<String>), StoreError> {
        let (from, to) = (DeliveryId::floor(between.0), DeliveryId::ceiling(between.1));
        let mut query = self
            .items(&self.tables.deliveries, tenant, "#item BETWEEN :from AND :to")
            .scan_index_forward(false)
            .expression_attribute_values(":from", item::text(format!("{app}#{from}")))
            .expression_attribute_values(":to", item::text(format!("{app}#{to}")))
            .limit(page.rows());
        let mut conditions = Vec::new();
        if let Some(status) = filter.0 {
            conditions.push("#status = :status");
            query = query
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":status", item::text(status.as_str()));
        }
        if let Some(kind) = filter.1 {
            conditions.push("kind = :kind");
            query = query.expression_attribute_values(":kind", item::text(kind.as_str()));
        }
        if !conditions.is_empty() {
            query = query.filter_expression(conditions.join(" AND "));
        }
        let start = page.after.as_ref().map(|after| item::key(tenant, after));
        let (rows, last) = query::page(query.set_exclusive_start_key(start)).await?;
        let next = last.and_then(|key| key.maybe_text("item"));
        Ok((rows.iter().map(read).collect::<Result<_, _>>()?, next))
    }

    /// Makes a delivery that is done due again, with all its attempts before it. False if it is not done, or gone.
    pub async fn renew_delivery(&self, delivery: &Delivery, due: Timestamp) -> Result<bool, StoreError> {
        let renewed = Delivery {
            status: DeliveryStatus::Pending,
            attempts: 0,
            crowded: 0,
            next_attempt: Some(due),
            ..delivery.clone()
        };
        let update = self
            .delivery_update(&renewed)
            .condition_expression("attribute_exists(tenant) AND #status <> :status");
        let items = vec![TransactWriteItem::builder().update(complete(update.build())).build()];
        Ok(self.transact(items).await?.is_ok())
    }

    /// A page of the deliveries across all tenants that are overdue, the earliest first, and where the next one begins if
    /// there may be more.
    pub async fn overdue_deliveries_of_all_tenants(
        &self,
        from: Option<DueDelivery>,
    ) -> Result<(Vec<DueDelivery>, Option<DueDelivery>), StoreError> {
        let start = from.map(|due| {
            Writer(key(&due.tenant, &due.app, &due.id))
                .set("work_kind", item::text(WORK_KIND))
                .set("due_at", item::time(due.at))
                .done()
        });
        let query = self
            .db
            .query()
            .table_name(&self.tables.deliveries)
            .index_name("due")
            .key_condition_expression("work_kind = :kind AND due_at <= :now")
            .expression_attribute_values(":kind", item::text(WORK_KIND))
            .expression_attribute_values(":now", item::time(self.clock.now()))
            .set_exclusive_start_key(start);
        let read = |row: &Row| {
            let (app, id) = names(row)?;
            Ok::<_, StoreError>(DueDelivery { tenant: row.tenant()?, app, id, at: row.time("due_at")? })
        };
        let (rows, last) = query::page(query).await?;
        let due = rows.iter().filter_map(|row| skip_unreadable(read(row))).collect();
        Ok((due, last.and_then(|last| skip_unreadable(read(&last)))))
    }

    fn delivery_update(&self, delivery: &Delivery) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        let change = Change::of([
            ("status", Some(item::text(delivery.status.as_str()))),
            ("attempts", Some(item::number(delivery.attempts))),
            ("crowded", (delivery.crowded > 0).then(|| item::number(delivery.crowded))),
            ("last_status", delivery.last_status.map(item::number)),
            ("last_error", delivery.last_error.as_ref().map(item::text)),
            ("last_ms", delivery.last_ms.map(item::number)),
            ("work_kind", delivery.next_attempt.map(|_| item::text(WORK_KIND))),
            ("due_at", delivery.next_attempt.map(item::time)),
        ]);
        Update::builder()
            .table_name(&self.tables.deliveries)
            .set_key(Some(key(&delivery.tenant, &delivery.app, &delivery.id)))
            .update_expression(change.expression)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
    }

    /// What is known of an address changes only as it was seen, apart from the places, which belong to whoever took them.
    fn health_update(&self, tenant: &TenantId, app: &AppId, outcome: &Outcome<'_>) -> TransactWriteItem {
        let health = outcome.health;
        let change = Change::of([
            ("app", Some(item::text(app.as_str()))),
            (place_name(outcome.place), None),
            ("failures", (health.failures > 0).then(|| item::number(health.failures))),
            ("failing_since", health.failing_since.map(item::time)),
            ("closed_until", health.closed_until.map(item::time)),
            ("notices", (health.notices > 0).then(|| item::number(health.notices))),
            ("disabled_at", health.disabled_at.map(item::time)),
        ]);
        let update = Update::builder()
            .table_name(&self.tables.deliveries)
            .set_key(Some(endpoint_key(tenant, app)))
            .update_expression(change.expression)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values));
        // What an attempt says of an address counts as long as its place is its own: it is not when the address was
        // forgotten meanwhile. A notice is given once: whoever gives one has seen how many there were.
        let own = format!("#{} = :taken", place_name(outcome.place));
        let update = update.expression_attribute_values(":taken", item::time(outcome.taken));
        let update = match (outcome.event, outcome.seen.notices) {
            (None, _) => update.condition_expression(own),
            (Some(_), 0) => update.condition_expression(format!(
                "{own} AND attribute_not_exists(notices) AND attribute_not_exists(disabled_at)"
            )),
            (Some(_), seen) => update
                .condition_expression(format!(
                    "{own} AND notices = :seen AND attribute_not_exists(disabled_at)"
                ))
                .expression_attribute_values(":seen", item::number(seen)),
        };
        TransactWriteItem::builder().update(complete(update.build())).build()
    }
}

const PLACES: [&str; limits::DELIVERIES_AT_ONCE] = ["place_0", "place_1", "place_2", "place_3"];

fn place_name(place: usize) -> &'static str {
    PLACES[place % PLACES.len()]
}

fn key(tenant: &TenantId, app: &AppId, id: &DeliveryId) -> Item {
    item::key(tenant, &format!("{app}#{id}"))
}

fn endpoint_key(tenant: &TenantId, app: &AppId) -> Item {
    item::key(tenant, &format!("endpoint#{app}"))
}

fn names(row: &Row) -> Result<(AppId, DeliveryId), StoreError> {
    let damaged = StoreError::Damaged("item");
    let Some((app, id)) = row.text("item")?.split_once('#') else { return Err(damaged) };
    match (AppId::parse(app), DeliveryId::parse(id)) {
        (Some(app), Some(id)) => Ok((app, id)),
        _ => Err(damaged),
    }
}

fn read(row: &Row) -> Result<Delivery, StoreError> {
    let (app, id) = names(row)?;
    let maybe = |name: &'static str| row.0.contains_key(name).then(|| row.number(name)).transpose();
    Ok(Delivery {
        tenant: row.tenant()?,
        app,
        id,
        event: EventId::parse(row.text("event")?).ok_or(StoreError::Damaged("event"))?,
        kind: EventKind::parse(row.text("kind")?).ok_or(StoreError::Damaged("kind"))?,
        body: row.text("body")?.to_owned(),
        status: DeliveryStatus::parse(row.text("status")?).ok_or(StoreError::Damaged("status"))?,
        attempts: row.number("attempts")?,
        crowded: row.maybe_number("crowded")?.unwrap_or_default(),
        last_status: maybe("last_status")?.and_then(|status: u64| u16::try_from(status).ok()),
        last_error: row.maybe_text("last_error"),
        last_ms: maybe("last_ms")?,
        next_attempt: row.maybe_time("due_at")?,
    })
}

fn read_health(row: &Row) -> Result<Health, StoreError> {
    let count = |name: &'static str| if row.0.contains_key(name) { row.number(name) } else { Ok(0) };
    let mut places = [None; limits::DELIVERIES_AT_ONCE];
    for (place, name) in places.iter_mut().zip(PLACES) {
        *place = row.maybe_time(name)?;
    }
    Ok(Health {
        failures: count("failures")?,
        failing_since: row.maybe_time("failing_since")?,
        closed_until: row.maybe_time("closed_until")?,
        notices: count("notices")?,
        disabled_at: row.maybe_time("disabled_at")?,
        places,
    })
}
