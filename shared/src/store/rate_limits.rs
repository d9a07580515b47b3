//! Counters of sliding windows, and when apps were last used: table `rate_limits`, one item for each counter.
//!
//! Every method is one conditional write, so that a counter is exact whatever runs at the same time; which of them comes
//! next is decided in `rates.rs`. Items go by TTL.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use jiff::{SignedDuration, Timestamp};

use super::item::{self, Item, Row, Writer};
use super::{Store, StoreError, failure, is_conditional, made};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::ids::{AppId, KeyId};
use crate::model::rate_limit::{Allowance, SLOTS_KEPT, Slots};

/// What became of an attempt to add to a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logged {
    /// It was added; this is the log now.
    Yes(Vec<Timestamp>),
    /// The log has as many entries as are allowed, old ones perhaps among them: this is it.
    Full(Vec<Timestamp>),
}

/// What became of an attempt to count in slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slotted {
    /// It was counted; this is the counter now.
    Yes(Slots),
    /// The counter stands at another slot, or is full: this is it.
    No(Slots),
    /// There is no such counter yet.
    Absent,
}

impl Store {
    /// An update of a counter's item, to be filled in.
    pub(super) fn update_counter(&self, counter: &str) -> UpdateItemFluentBuilder {
        self.db.update_item().table_name(&self.tables.rate_limits).set_key(Some(key(counter)))
    }

    /// Adds `now` to a log that has less than `allowance` entries.
    pub async fn append_to_log(
        &self,
        counter: &str,
        allowance: Allowance,
        now: Timestamp,
    ) -> Result<Logged, StoreError> {
        let appended = self
            .update_counter(counter)
            .update_expression("SET times = list_append(if_not_exists(times, :none), :one), #ttl = :ttl")
            .condition_expression("attribute_not_exists(times) OR size(times) < :limit")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":none", AttributeValue::L(Vec::new()))
            .expression_attribute_values(":one", AttributeValue::L(vec![item::time(now)]))
            .expression_attribute_values(":limit", item::number(allowance.limit))
            .expression_attribute_values(":ttl", kept(allowance, now))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match appended {
            Ok(answer) => Ok(Logged::Yes(read_log(&Row(answer.attributes.unwrap_or_default()))?)),
            Err(error) => match refused(error)? {
                Some(row) => Ok(Logged::Full(read_log(&row)?)),
                None => Err(StoreError::Damaged("times")),
            },
        }
    }

    /// Replaces a log that is still as it was seen. False if it is not.
    pub async fn replace_log(
        &self,
        counter: &str,
        allowance: Allowance,
        seen: &[Timestamp],
        new: &[Timestamp],
    ) -> Result<bool, StoreError> {
        let list = |times: &[Timestamp]| AttributeValue::L(times.iter().copied().map(item::time).collect());
        let replaced = self
            .update_counter(counter)
            .update_expression("SET times = :new, #ttl = :ttl")
            .condition_expression("times = :seen")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":new", list(new))
            .expression_attribute_values(":seen", list(seen))
            .expression_attribute_values(":ttl", kept(allowance, self.clock.now()))
            .send()
            .await;
        made(replaced)
    }

    /// Counts one more in a slot, if it is the counter's newest and less than `allowance` are counted.
    pub async fn count_in_slot(
        &self,
        counter: &str,
        allowance: Allowance,
        slot: i64,
    ) -> Result<Slotted, StoreError> {
        let place = Slots::place(slot);
        let counted = self
            .update_counter(counter)
            .update_expression(format!(
                "SET counts[{place}] = counts[{place}] + :one, #total = #total + :one"
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
            Ok(answer) => Ok(Slotted::Yes(read_slots(&Row(answer.attributes.unwrap_or_default()))?)),
            Err(error) => {
                refused(error)?.map_or(Ok(Slotted::Absent), |row| Ok(Slotted::No(read_slots(&row)?)))
            }
        }
    }

    /// Replaces the slots of a counter that is still as it was seen. False if it is not.
    pub async fn replace_slots(
        &self,
        counter: &str,
        allowance: Allowance,
        seen: Option<&Slots>,
        new: &Slots,
    ) -> Result<bool, StoreError> {
        let counts = AttributeValue::L(new.counts.iter().map(item::number).collect());
        let request = self
            .update_counter(counter)
            .update_expression("SET #slot = :slot, #total = :total, counts = :counts, #ttl = :ttl")
            .expression_attribute_names("#slot", "slot")
            .expression_attribute_names("#total", "total")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":slot", item::number(new.slot))
            .expression_attribute_values(":total", item::number(new.total))
            .expression_attribute_values(":counts", counts)
            .expression_attribute_values(":ttl", kept(allowance, self.clock.now()));
        // Within a slot the total only grows, so slot and total together tell every state of a counter.
        let request = match seen {
            None => request.condition_expression("attribute_not_exists(#slot)"),
            Some(seen) => request
                .condition_expression("#slot = :seen_slot AND #total = :seen_total")
                .expression_attribute_values(":seen_slot", item::number(seen.slot))
                .expression_attribute_values(":seen_total", item::number(seen.total)),
        };
        made(request.send().await)
    }

    /// Writes down that a key was used, unless that was done within the last minute.
    pub async fn note_use(&self, app: &AppId, key_id: &KeyId) -> Result<(), StoreError> {
        let now = self.clock.now();
        let after = |seconds| saturating_add(now, SignedDuration::from_secs(seconds));
        let noted = self
            .update_counter(&use_of(app))
            .update_expression("SET #key = :now, #ttl = :ttl")
            .condition_expression("attribute_not_exists(#key) OR #key <= :before")
            .expression_attribute_names("#key", key_id.as_str())
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":now", item::time(now))
            .expression_attribute_values(":before", item::time(after(-limits::LAST_USED_SECONDS)))
            .expression_attribute_values(":ttl", item::ttl(after(limits::LAST_USED_KEPT_SECONDS)))
            .send()
            .await;
        match noted {
            Ok(_) => Ok(()),
            Err(error) if is_conditional(&error) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }

    /// When the keys of some apps, at most 100, were last used.
    pub async fn last_uses(
        &self,
        apps: &[&AppId],
    ) -> Result<HashMap<AppId, HashMap<KeyId, Timestamp>>, StoreError> {
        let keys = apps.iter().map(|app| key(&use_of(app))).collect();
        let mut uses = HashMap::new();
        for row in self.rows_by_key(&self.tables.rate_limits, keys).await? {
            let app = row.text("counter")?.strip_prefix(USE).and_then(AppId::parse);
            let times = row.0.iter().filter_map(|(name, value)| {
                let milliseconds = value.as_n().ok()?.parse().ok()?;
                Some((KeyId::parse(name)?, Timestamp::from_millisecond(milliseconds).ok()?))
            });
            uses.insert(app.ok_or(StoreError::Damaged("counter"))?, times.collect());
        }
        Ok(uses)
    }
}

const USE: &str = "use#";

fn use_of(app: &AppId) -> String {
    format!("{USE}{app}")
}

pub(super) fn key(counter: &str) -> Item {
    Writer::keyed([("counter", item::text(counter))]).done()
}

/// A counter that nobody adds to has no meaning after its window.
fn kept(allowance: Allowance, now: Timestamp) -> AttributeValue {
    item::ttl(saturating_add(saturating_add(now, allowance.window), allowance.window))
}

/// The item as it stood when a write to it was refused by its condition.
fn refused(error: SdkError<UpdateItemError>) -> Result<Option<Row>, StoreError> {
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
            Ok(refused.item().cloned().filter(|item| !item.is_empty()).map(Row))
        }
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
