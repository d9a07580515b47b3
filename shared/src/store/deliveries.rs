//! Table `deliveries`. In the partition of a tenant: items `<app>#<delivery>`, in the order of time for each app, and
//! `endpoint#<app>` with the health of the app's endpoint. Pending deliveries are in the sparse index `due`, which may lag; the
//! item's `due_at` is authoritative.
//!
//! A delivery is in the index from its creation on, so that the sweep finds it even if its queue message is lost. A lease is a separate
//! attribute and leaves the index alone: a delivery that succeeds at once writes the index twice, at its creation
//! and at its end.

use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use jiff::{SignedDuration, Timestamp};

use super::due::{self, WorkKind};
use super::item::{self, Change, Item, Row, Writer};
use super::{Page, Store, StoreError, WriteOutcome, complete, failure, is_conditional, query, write_outcome};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::delivery::{Delivery, DeliveryStatus, EndpointHealth};
use crate::model::event::{Event, EventKind};
use crate::model::ids::{AppId, DeliveryId, EventId, MessageId, TenantId};
use crate::model::shard::Shard;

/// A due delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDelivery {
    pub tenant: TenantId,
    pub app: AppId,
    pub id: DeliveryId,
    /// The `due_at` that was read. If the item has another one by now, another worker has rescheduled it.
    pub at: Timestamp,
}

/// The time of the delivery at a position in the list of an app's deliveries.
pub fn time_of_position(position: &str) -> Option<Timestamp> {
    DeliveryId::parse(position.split_once('#')?.1).map(|id| id.at())
}

/// The result of acquiring a slot, with the health of the endpoint as read by that write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotOutcome {
    Acquired(EndpointHealth),
    /// The slot is busy, or the endpoint is paused or disabled.
    Rejected(EndpointHealth),
}

/// A completed attempt, to be recorded.
#[derive(Debug, Clone)]
pub struct AttemptRecord<'a> {
    /// The delivery after the attempt.
    pub delivery: &'a Delivery,
    /// The health of the endpoint before the attempt.
    pub before: &'a EndpointHealth,
    /// The health of the endpoint after the attempt.
    pub health: &'a EndpointHealth,
    /// The slot that is released.
    pub slot: usize,
    /// The end of the lease of delivery and slot, which identifies it.
    pub leased_until: Timestamp,
    /// The event that notifies the tenant of the endpoint's state.
    pub event: Option<&'a Event>,
}

impl Store {
    /// Stores a delivery, unless it is stored already. It is due at once for its queue, and after
    /// [`limits::DELIVERY_GRACE_SECONDS`] for the sweep.
    pub async fn create_delivery(&self, delivery: &Delivery) -> Result<(), StoreError> {
        let kept = SignedDuration::from_secs(limits::EVENT_RETENTION_SECONDS);
        let item = Writer(key(&delivery.tenant, &delivery.app, &delivery.id))
            .set("app", item::text(delivery.app.as_str()))
            .set("event", item::text(delivery.event.as_str()))
            .set("kind", item::text(delivery.kind.as_str()))
            .maybe("message", delivery.message.as_ref().map(|message| item::text(message.as_str())))
            .set("body", item::text(&delivery.body))
            .set("status", item::text(delivery.status.as_str()))
            .set("attempts", item::number(delivery.attempts))
            .maybe(
                "work_kind",
                delivery.next_attempt.map(|_| WorkKind::Delivery.partition_of(delivery.id.as_str())),
            )
            .maybe("due_at", delivery.next_attempt.map(item::time))
            .set("ttl", item::ttl(saturating_add(self.clock.now(), kept)))
            .done();
        let put = self
            .db
            .put_item()
            .table_name(&self.tables.deliveries)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(tenant)");
        write_outcome(put.send().await).map(drop)
    }

    /// Leases a delivery until `until`. `None` if it is not pending, leased, or was rescheduled since it was read.
    pub async fn lease_delivery(
        &self,
        due: &DueDelivery,
        until: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        let now = self.clock.now();
        let leased = self
            .db
            .update_item()
            .table_name(&self.tables.deliveries)
            .set_key(Some(key(&due.tenant, &due.app, &due.id)))
            .update_expression("SET leased_until = :until")
            // True unless a lease holds: also if it cannot be read, or is much longer than any.
            .condition_expression(
                "#status = :pending AND due_at = :seen AND NOT leased_until BETWEEN :now AND :far",
            )
            .expression_attribute_values(":now", item::time(now))
            .expression_attribute_values(":far", item::time(saturating_add(until, until.duration_since(now))))
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":pending", item::text(DeliveryStatus::Pending.as_str()))
            .expression_attribute_values(":seen", item::time(due.at))
            .expression_attribute_values(":until", item::time(until))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match leased {
            Ok(answer) => {
                let row = Row(answer.attributes.unwrap_or_default());
                match self.checked(&self.tables.deliveries, &row, read(&row)) {
                    Ok(delivery) => Ok(Some(delivery)),
                    Err(error) => {
                        // It can't be attempted.
                        self.pass_delivery(&row, |_| false, &error).await;
                        Ok(None)
                    }
                }
            }
            Err(error) if is_conditional(&error) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }

    /// Acquires a slot for an attempt at an app's endpoint until `until`, if the endpoint is neither disabled nor paused.
    /// With `probe_of`, the health read before, the attempt is a probe: it pauses the endpoint for all others until `until`.
    pub async fn acquire_slot(
        &self,
        tenant: &TenantId,
        app: &AppId,
        slot: usize,
        probe_of: Option<&EndpointHealth>,
        until: Timestamp,
    ) -> Result<SlotOutcome, StoreError> {
        let now = self.clock.now();
        let mut update = self
            .db
            .update_item()
            .table_name(&self.tables.deliveries)
            .set_key(Some(endpoint_key(tenant, app)))
            .expression_attribute_names("#slot", slot_attribute(slot))
            .expression_attribute_values(":until", item::time(until))
            .expression_attribute_values(":now", item::time(now))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let free = "attribute_not_exists(disabled_at) AND (attribute_not_exists(#slot) OR #slot <= :now)";
        update = match probe_of {
            None => update
                .update_expression("SET #slot = :until")
                .condition_expression(format!(
                    "{free} AND (attribute_not_exists(failures) OR failures < :many)"
                ))
                .expression_attribute_values(":many", item::number(limits::BREAKER_FAILURES)),
            Some(seen) => {
                let paused = seen.paused_until.unwrap_or(now);
                update
                    .update_expression("SET #slot = :until, paused_until = :until")
                    .condition_expression(format!("{free} AND paused_until = :paused"))
                    .expression_attribute_values(":paused", item::time(paused))
            }
        };
        match update.send().await {
            Ok(answer) => {
                let row = Row(answer.attributes.unwrap_or_default());
                self.slot_outcome(tenant, app, row, SlotOutcome::Acquired).await
            }
            Err(error) if is_conditional(&error) => {
                let old = match error.into_service_error() {
                    aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(
                        failed,
                    ) => failed.item.unwrap_or_default(),
                    _ => Item::default(),
                };
                self.slot_outcome(tenant, app, Row(old), SlotOutcome::Rejected).await
            }
            Err(error) => Err(failure(error)),
        }
    }

    /// The outcome with the health in the row. An unreadable health is deleted, so that the endpoint counts as healthy; the caller
    /// tries again.
    async fn slot_outcome(
        &self,
        tenant: &TenantId,
        app: &AppId,
        row: Row,
        outcome: impl FnOnce(EndpointHealth) -> SlotOutcome,
    ) -> Result<SlotOutcome, StoreError> {
        match self.checked(&self.tables.deliveries, &row, read_health(&row)) {
            Ok(health) => Ok(outcome(health)),
            Err(_) => Ok(SlotOutcome::Rejected(self.reset_endpoint(tenant, app).await?)),
        }
    }

    /// The health in the row; that of a healthy endpoint if it cannot be read.
    fn health_in(&self, row: &Row) -> EndpointHealth {
        self.checked(&self.tables.deliveries, row, read_health(row)).unwrap_or_default()
    }

    async fn pass_delivery(&self, row: &Row, key_is_readable: impl FnOnce(&Row) -> bool, error: &StoreError) {
        let index = ("work_kind", "due_at");
        self.pass_index_entry(&self.tables.deliveries, index, row, key_is_readable, error).await;
    }

    /// Saves a delivery without the endpoint's health. Nothing is written if another worker has leased the delivery since.
    pub async fn save_delivery(
        &self,
        delivery: &Delivery,
        leased_until: Timestamp,
    ) -> Result<(), StoreError> {
        let update = self
            .delivery_update(delivery)
            .condition_expression("leased_until = :leased")
            .expression_attribute_values(":leased", item::time(leased_until));
        let items = vec![TransactWriteItem::builder().update(complete(update.build())).build()];
        self.transact(items).await.map(drop)
    }

    /// Records an attempt in one transaction: the delivery, the endpoint's health, the released slot and the event.
    /// A conflict if another worker has leased the delivery since, if the same notice was sent concurrently, or if the
    /// endpoint was reset because the app's webhook URL changed.
    pub async fn record_attempt(&self, attempt: &AttemptRecord<'_>) -> Result<WriteOutcome, StoreError> {
        let delivery = attempt.delivery;
        let update = self
            .delivery_update(delivery)
            .condition_expression("leased_until = :leased")
            .expression_attribute_values(":leased", item::time(attempt.leased_until));
        let mut items = vec![
            TransactWriteItem::builder().update(complete(update.build())).build(),
            self.health_update(&delivery.tenant, &delivery.app, attempt),
        ];
        items.extend(attempt.event.map(|event| self.append(event)));
        Ok(WriteOutcome::applied_if(self.transact(items).await?.is_ok()))
    }

    /// Deletes the recorded health of an app's endpoint, so that it counts as healthy, and returns it.
    pub async fn reset_endpoint(&self, tenant: &TenantId, app: &AppId) -> Result<EndpointHealth, StoreError> {
        let delete = self
            .db
            .delete_item()
            .table_name(&self.tables.deliveries)
            .set_key(Some(endpoint_key(tenant, app)))
            .return_values(ReturnValue::AllOld);
        let deleted = delete.send().await.map_err(failure)?.attributes;
        Ok(self.health_in(&Row(deleted.unwrap_or_default())))
    }

    pub async fn endpoint_health(
        &self,
        tenant: &TenantId,
        app: &AppId,
    ) -> Result<EndpointHealth, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.deliveries).consistent_read(true);
        let answer = get.set_key(Some(endpoint_key(tenant, app))).send().await.map_err(failure)?;
        Ok(self.health_in(&Row(answer.item.unwrap_or_default())))
    }

    pub async fn delivery(
        &self,
        tenant: &TenantId,
        app: &AppId,
        id: &DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.deliveries).consistent_read(true);
        let answer = get.set_key(Some(key(tenant, app, id))).send().await.map_err(failure)?;
        self.read_one(&self.tables.deliveries, answer.item, read)
    }

    /// A page of an app's deliveries in a time range, newest first, optionally of one status and one event type; and the
    /// position of the next page, if there may be one. A page may have fewer entries than its limit, or none, and still not
    /// be the last.
    pub async fn deliveries(
        &self,
        tenant: &TenantId,
        app: &AppId,
        between: (Timestamp, Timestamp),
        filter: (Option<DeliveryStatus>, Option<EventKind>),
        page: &Page,
    ) -> Result<(Vec<Delivery>, Option<String>), StoreError> {
        let (from, to) = (DeliveryId::floor(between.0), DeliveryId::ceiling(between.1));
        let query = self
            .items(&self.tables.deliveries, tenant, "#item BETWEEN :from AND :to")
            .scan_index_forward(false)
            .expression_attribute_values(":from", item::text(format!("{app}#{from}")))
            .expression_attribute_values(":to", item::text(format!("{app}#{to}")))
            .limit(page.rows());
        let query = query::filtered(
            query,
            [
                ("status", filter.0.map(|status| status.as_str().to_owned())),
                ("kind", filter.1.map(|kind| kind.as_str().to_owned())),
            ],
        );
        let start = page.after.as_ref().map(|after| item::key(tenant, after));
        let (rows, last) = query::page(query.set_exclusive_start_key(start)).await?;
        let next = last.and_then(|key| key.maybe_text("item"));
        Ok((self.readable(&self.tables.deliveries, &rows, read), next))
    }

    /// Makes a completed delivery pending again, with a new retry schedule. A conflict if it is pending, or expired.
    pub async fn replay_delivery(
        &self,
        delivery: &Delivery,
        due: Timestamp,
    ) -> Result<WriteOutcome, StoreError> {
        let replayed = Delivery {
            status: DeliveryStatus::Pending,
            attempts: 0,
            busy_count: 0,
            next_attempt: Some(due),
            ..delivery.clone()
        };
        let update = self
            .delivery_update(&replayed)
            .condition_expression("attribute_exists(tenant) AND #status <> :status");
        let items = vec![TransactWriteItem::builder().update(complete(update.build())).build()];
        Ok(WriteOutcome::applied_if(self.transact(items).await?.is_ok()))
    }

    /// A page of the overdue deliveries of a shard, earliest first, and where it ended if there may be more.
    pub async fn overdue_deliveries_of_all_tenants(
        &self,
        shard: Shard,
        after: Option<&str>,
    ) -> Result<(Vec<DueDelivery>, Option<String>), StoreError> {
        let query = self.pass_over_work(WorkKind::Delivery, shard, after);
        let read = |row: &Row| {
            let (app, id) = names(row)?;
            Ok::<_, StoreError>(DueDelivery { tenant: row.tenant()?, app, id, at: row.time("due_at")? })
        };
        let (rows, last) = query::page(query).await?;
        let mut due = Vec::new();
        for row in &rows {
            match read(row) {
                Ok(delivery) => due.push(delivery),
                Err(error) => {
                    self.pass_delivery(row, |row| row.tenant().is_ok() && names(row).is_ok(), &error).await;
                }
            }
        }
        Ok((due, last.as_ref().and_then(|last| due::position(WorkKind::Delivery, last))))
    }

    fn delivery_update(&self, delivery: &Delivery) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        let change = Change::of([
            ("status", Some(item::text(delivery.status.as_str()))),
            ("attempts", Some(item::number(delivery.attempts))),
            ("busy_count", (delivery.busy_count > 0).then(|| item::number(delivery.busy_count))),
            ("last_status", delivery.last_status.map(item::number)),
            ("last_error", delivery.last_error.as_ref().map(item::text)),
            ("last_ms", delivery.last_ms.map(item::number)),
            (
                "work_kind",
                delivery.next_attempt.map(|_| WorkKind::Delivery.partition_of(delivery.id.as_str())),
            ),
            ("due_at", delivery.next_attempt.map(item::time)),
            ("leased_until", None),
        ]);
        Update::builder()
            .table_name(&self.tables.deliveries)
            .set_key(Some(key(&delivery.tenant, &delivery.app, &delivery.id)))
            .update_expression(change.expression)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
    }

    fn health_update(
        &self,
        tenant: &TenantId,
        app: &AppId,
        attempt: &AttemptRecord<'_>,
    ) -> TransactWriteItem {
        let health = attempt.health;
        let slot = slot_attribute(attempt.slot);
        let change = Change::of([
            ("app", Some(item::text(app.as_str()))),
            (slot, None),
            ("failures", (health.failures > 0).then(|| item::number(health.failures))),
            ("failing_since", health.failing_since.map(item::time)),
            ("paused_until", health.paused_until.map(item::time)),
            ("warnings_sent", (health.warnings_sent > 0).then(|| item::number(health.warnings_sent))),
            ("disabled_at", health.disabled_at.map(item::time)),
        ]);
        let update = Update::builder()
            .table_name(&self.tables.deliveries)
            .set_key(Some(endpoint_key(tenant, app)))
            .update_expression(change.expression)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values));
        // The health counts only while the attempt still holds its slot; a reset of the endpoint has deleted it. A notice is
        // sent once: the condition on `warnings_sent` lets one of two concurrent attempts send it.
        let holds_slot = format!("#{slot} = :leased");
        let update = update.expression_attribute_values(":leased", item::time(attempt.leased_until));
        let update = match (attempt.event, attempt.before.warnings_sent) {
            (None, _) => update.condition_expression(holds_slot),
            (Some(_), 0) => update.condition_expression(format!(
                "{holds_slot} AND attribute_not_exists(warnings_sent) AND attribute_not_exists(disabled_at)"
            )),
            (Some(_), seen) => update
                .condition_expression(format!(
                    "{holds_slot} AND warnings_sent = :seen AND attribute_not_exists(disabled_at)"
                ))
                .expression_attribute_values(":seen", item::number(seen)),
        };
        TransactWriteItem::builder().update(complete(update.build())).build()
    }
}

const SLOTS: [&str; limits::DELIVERIES_AT_ONCE] = ["slot_0", "slot_1", "slot_2", "slot_3"];

fn slot_attribute(slot: usize) -> &'static str {
    SLOTS[slot % SLOTS.len()]
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
    Ok(Delivery {
        tenant: row.tenant()?,
        app,
        id,
        event: row.parsed("event", EventId::parse)?,
        kind: row.parsed("kind", EventKind::parse)?,
        message: row.maybe_text("message").as_deref().and_then(MessageId::parse),
        body: row.text("body")?.to_owned(),
        status: row.parsed("status", DeliveryStatus::parse)?,
        attempts: row.number("attempts")?,
        busy_count: row.maybe_number("busy_count")?.unwrap_or_default(),
        last_status: row.maybe_number("last_status")?,
        last_error: row.maybe_text("last_error"),
        last_ms: row.maybe_number("last_ms")?,
        next_attempt: row.maybe_time("due_at")?,
    })
}

fn read_health(row: &Row) -> Result<EndpointHealth, StoreError> {
    let mut slots = [None; limits::DELIVERIES_AT_ONCE];
    for (slot, name) in slots.iter_mut().zip(SLOTS) {
        *slot = row.maybe_time(name)?;
    }
    Ok(EndpointHealth {
        failures: row.maybe_number("failures")?.unwrap_or_default(),
        failing_since: row.maybe_time("failing_since")?,
        paused_until: row.maybe_time("paused_until")?,
        warnings_sent: row.maybe_number("warnings_sent")?.unwrap_or_default(),
        disabled_at: row.maybe_time("disabled_at")?,
        slots,
    })
}
