//! Counters of sliding windows, and when apps were last used: table `rate_limits`, one item for each counter.
//!
//! Every write is a single conditional write, so counters are exact under concurrency. `rate_limits.rs` (services)
//! combines them. Items expire by TTL.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use jiff::{SignedDuration, Timestamp};

use super::item::{self, Item, Row, Writer};
use super::{Store, StoreError, WriteOutcome, failure, write_outcome};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::ids::{AppId, KeyId};
use crate::model::rate_limit::{Allowance, SLOTS_KEPT, Slots, within};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogCountOutcome {
    /// The log after the entry was added.
    Appended(Vec<Timestamp>),
    /// The log has as many entries as the limit allows. Some may have left the window.
    Full(Vec<Timestamp>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotCountOutcome {
    /// The counter after the increment.
    Counted(Slots),
    /// The counter is full, or its newest slot is another one.
    NotCounted(Slots),
    /// There is no such counter yet.
    Absent,
}

impl Store {
    pub(super) fn update_counter(&self, counter: &str) -> UpdateItemFluentBuilder {
        self.db.update_item().table_name(&self.tables.rate_limits).set_key(Some(key(counter)))
    }

    /// Adds `now` to a log that has fewer entries than the limit.
    pub async fn append_to_log(
        &self,
        counter: &str,
        allowance: Allowance,
        now: Timestamp,
    ) -> Result<LogCountOutcome, StoreError> {
        let appended = self
            .update_counter(counter)
            .update_expression("SET times = list_append(if_not_exists(times, :none), :one), #ttl = :ttl")
            .condition_expression("attribute_not_exists(times) OR size(times) < :limit")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":none", AttributeValue::L(Vec::new()))
            .expression_attribute_values(":one", AttributeValue::L(vec![item::time(now)]))
            .expression_attribute_values(":limit", item::number(allowance.limit))
            .expression_attribute_values(":ttl", expiry(allowance, now))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match appended {
            Ok(answer) => {
                let row = Row(answer.attributes.unwrap_or_default());
                Ok(LogCountOutcome::Appended(self.checked_counter(&row, read_log(&row))?))
            }
            Err(error) => match rejected_item(error)? {
                Some(row) => Ok(LogCountOutcome::Full(self.checked_counter(&row, read_log(&row))?)),
                None => Err(StoreError::Damaged("times")),
            },
        }
    }

    fn checked_counter<T>(&self, row: &Row, result: Result<T, StoreError>) -> Result<T, StoreError> {
        self.checked(&self.tables.rate_limits, row, result)
    }

    /// Starts a counter that cannot be read anew, as a log of `now` alone.
    pub async fn restart_log(
        &self,
        counter: &str,
        allowance: Allowance,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let restart = self
            .update_counter(counter)
            .update_expression("SET times = :one, #ttl = :ttl")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":one", AttributeValue::L(vec![item::time(now)]))
            .expression_attribute_values(":ttl", expiry(allowance, now));
        restart.send().await.map(|_| ()).map_err(failure)
    }

    /// Starts a counter that cannot be read anew, with these slots.
    pub async fn restart_slots(
        &self,
        counter: &str,
        allowance: Allowance,
        slots: &Slots,
    ) -> Result<(), StoreError> {
        let restart = self.set_slots(counter, allowance, slots);
        restart.send().await.map(|_| ()).map_err(failure)
    }

    fn set_slots(&self, counter: &str, allowance: Allowance, new: &Slots) -> UpdateItemFluentBuilder {
        let counts = AttributeValue::L(new.counts.iter().map(item::number).collect());
        self.update_counter(counter)
            .update_expression("SET #slot = :slot, #total = :total, counts = :counts, #ttl = :ttl")
            .expression_attribute_names("#slot", "slot")
            .expression_attribute_names("#total", "total")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":slot", item::number(new.slot))
            .expression_attribute_values(":total", item::number(new.total))
            .expression_attribute_values(":counts", counts)
            .expression_attribute_values(":ttl", expiry(allowance, self.clock.now()))
    }

    /// Replaces a log. The condition fails if it is not equal to `seen`.
    pub async fn replace_log(
        &self,
        counter: &str,
        allowance: Allowance,
        seen: &[Timestamp],
        new: &[Timestamp],
    ) -> Result<WriteOutcome, StoreError> {
        let list = |times: &[Timestamp]| AttributeValue::L(times.iter().copied().map(item::time).collect());
        let replaced = self
            .update_counter(counter)
            .update_expression("SET times = :new, #ttl = :ttl")
            .condition_expression("times = :seen")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":new", list(new))
            .expression_attribute_values(":seen", list(seen))
            .expression_attribute_values(":ttl", expiry(allowance, self.clock.now()))
            .send()
            .await;
        write_outcome(replaced)
    }

    /// Increments a slot, if it is the counter's newest and the total is below the limit.
    pub async fn count_in_slot(
        &self,
        counter: &str,
        allowance: Allowance,
        slot: i64,
    ) -> Result<SlotCountOutcome, StoreError> {
        let index = Slots::index(slot);
        let counted = self
            .update_counter(counter)
            .update_expression(format!(
                "SET counts[{index}] = counts[{index}] + :one, #total = #total + :one"
            ))
            .condition_expression("#slot = :slot AND #total < :limit")
            .expression_attribute_names("#slot", "slot")
            .expression_attribute_names("#total", "total")
            .expression_attribute_values(":one", item::number(1))
            .expression_attribute_values(":slot", item::number(slot))
            .expression_attribute_values(":limit", item::number(allowance.limit))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match counted {
            Ok(answer) => {
                let row = Row(answer.attributes.unwrap_or_default());
                Ok(SlotCountOutcome::Counted(self.checked_counter(&row, read_slots(&row))?))
            }
            Err(error) => rejected_item(error)?.map_or(Ok(SlotCountOutcome::Absent), |row| {
                Ok(SlotCountOutcome::NotCounted(self.checked_counter(&row, read_slots(&row))?))
            }),
        }
    }

    /// Replaces the slots of a counter. The condition fails if it is not equal to `seen`.
    pub async fn replace_slots(
        &self,
        counter: &str,
        allowance: Allowance,
        seen: Option<&Slots>,
        new: &Slots,
    ) -> Result<WriteOutcome, StoreError> {
        let request = self.set_slots(counter, allowance, new);
        // Within a slot the total only increases, so slot and total identify the state of a counter.
        let request = match seen {
            None => request.condition_expression("attribute_not_exists(#slot)"),
            Some(seen) => request
                .condition_expression("#slot = :seen_slot AND #total = :seen_total")
                .expression_attribute_values(":seen_slot", item::number(seen.slot))
                .expression_attribute_values(":seen_total", item::number(seen.total)),
        };
        write_outcome(request.send().await)
    }

    /// How many entries of a log are within the window.
    pub async fn counted_in_log(&self, counter: &str, allowance: Allowance) -> Result<u32, StoreError> {
        let Some(row) = self.counter_row(counter).await? else { return Ok(0) };
        let log = self.checked_counter(&row, read_log(&row))?;
        Ok(u32::try_from(within(allowance, &log, self.clock.now()).len()).unwrap_or(u32::MAX))
    }

    /// The total of the slots within the window.
    pub async fn counted_in_slots(&self, counter: &str, allowance: Allowance) -> Result<u32, StoreError> {
        let Some(row) = self.counter_row(counter).await? else { return Ok(0) };
        let slots = self.checked_counter(&row, read_slots(&row))?;
        Ok(slots.moved_to(Slots::number_at(allowance.window, self.clock.now())).total)
    }

    async fn counter_row(&self, counter: &str) -> Result<Option<Row>, StoreError> {
        Ok(self.rows_by_key(&self.tables.rate_limits, vec![key(counter)]).await?.pop())
    }

    /// Stores when a key was used, at most once a minute.
    pub async fn record_key_use(&self, app: &AppId, key_id: &KeyId) -> Result<(), StoreError> {
        let now = self.clock.now();
        let after = |seconds| saturating_add(now, SignedDuration::from_secs(seconds));
        let updated = self
            .update_counter(&last_use_key(app))
            .update_expression("SET #key = :now, #ttl = :ttl")
            .condition_expression("attribute_not_exists(#key) OR #key <= :before")
            .expression_attribute_names("#key", key_id.as_str())
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":now", item::time(now))
            .expression_attribute_values(":before", item::time(after(-limits::LAST_USED_SECONDS)))
            .expression_attribute_values(":ttl", item::ttl(after(limits::LAST_USED_RETENTION_SECONDS)))
            .send()
            .await;
        write_outcome(updated).map(drop)
    }

    /// When the keys of at most 100 apps were last used.
    pub async fn last_uses(
        &self,
        apps: &[&AppId],
    ) -> Result<HashMap<AppId, HashMap<KeyId, Timestamp>>, StoreError> {
        let keys = apps.iter().map(|app| key(&last_use_key(app))).collect();
        let mut uses = HashMap::new();
        for row in self.rows_by_key(&self.tables.rate_limits, keys).await? {
            let app = row.text("counter")?.strip_prefix(LAST_USE).and_then(AppId::parse);
            let times = row.0.iter().filter_map(|(name, value)| {
                let milliseconds = value.as_n().ok()?.parse().ok()?;
                Some((KeyId::parse(name)?, Timestamp::from_millisecond(milliseconds).ok()?))
            });
            uses.insert(app.ok_or(StoreError::Damaged("counter"))?, times.collect());
        }
        Ok(uses)
    }
}

const LAST_USE: &str = "use#";

fn last_use_key(app: &AppId) -> String {
    format!("{LAST_USE}{app}")
}

pub(super) fn key(counter: &str) -> Item {
    Writer::keyed([("counter", item::text(counter))]).done()
}

/// An unused counter has no effect after its window.
fn expiry(allowance: Allowance, now: Timestamp) -> AttributeValue {
    item::ttl(saturating_add(saturating_add(now, allowance.window), allowance.window))
}

/// The item whose condition failed; `None` if it does not exist.
fn rejected_item(error: SdkError<UpdateItemError>) -> Result<Option<Row>, StoreError> {
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(rejected)) => {
            Ok(rejected.item().cloned().filter(|item| !item.is_empty()).map(Row))
        }
        // The item has an attribute of another type than the expression needs.
        Some(other) if other.code() == Some("ValidationException") => Err(StoreError::Damaged("counter")),
        _ => Err(failure(error)),
    }
}

fn numbers<N: std::str::FromStr>(row: &Row, name: &'static str) -> Result<Vec<N>, StoreError> {
    let list = row.0.get(name).and_then(|value| value.as_l().ok()).ok_or(StoreError::Damaged(name))?;
    let number = |value: &AttributeValue| value.as_n().ok()?.parse().ok();
    list.iter().map(|value| number(value).ok_or(StoreError::Damaged(name))).collect()
}

fn read_log(row: &Row) -> Result<Vec<Timestamp>, StoreError> {
    let time = |ms: i64| Timestamp::from_millisecond(ms).map_err(|_| StoreError::Damaged("times"));
    numbers(row, "times")?.into_iter().map(time).collect()
}

fn read_slots(row: &Row) -> Result<Slots, StoreError> {
    let slots =
        Slots { slot: row.number("slot")?, counts: numbers(row, "counts")?, total: row.number("total")? };
    if slots.counts.len() == SLOTS_KEPT { Ok(slots) } else { Err(StoreError::Damaged("counts")) }
}
