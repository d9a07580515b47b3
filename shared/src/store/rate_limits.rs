//! Counters of sliding windows, and when apps were last used: table `rate_limits`, one item for each counter.
//!
//! Every count is a single write, so counters are exact under concurrency: a log is appended to if it is not full; a tally is
//! added to, and what is over the limit is taken back. `rate_limits.rs` (services) decides. Items expire by TTL.
//!
//! A tally has one attribute for each party in each slot of the window, `<slot, hexadecimal>.<party>`.

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
use crate::model::rate_limit::{Allowance, Quota, Tally, within};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogCountOutcome {
    /// The log after the entry was added.
    Appended(Vec<Timestamp>),
    /// The log has as many entries as the limit allows. Some may have left the window.
    Full(Vec<Timestamp>),
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
            .expression_attribute_values(":ttl", expiry(allowance.window, now))
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
            .expression_attribute_values(":ttl", expiry(allowance.window, now));
        restart.send().await.map(|_| ()).map_err(failure)
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
            .expression_attribute_values(":ttl", expiry(allowance.window, self.clock.now()))
            .send()
            .await;
        write_outcome(replaced)
    }

    /// Adds one of a party in a slot, and removes these cells. Returns the new counts, and the names of the cells that no
    /// window includes any more or that cannot be read.
    pub async fn add_to_tally(
        &self,
        counter: &str,
        quota: &Quota<'_>,
        slot: i64,
        outdated: &[String],
    ) -> Result<(Tally, Vec<String>), StoreError> {
        let now = self.clock.now();
        let mut update = self
            .change_cell(counter, quota, slot, 1)
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", expiry(quota.window, now))
            .return_values(ReturnValue::AllNew);
        let mut expression = "ADD #cell :by SET #ttl = :ttl".to_owned();
        for (at, name) in outdated.iter().enumerate() {
            expression.push_str(if at == 0 { " REMOVE " } else { ", " });
            expression.push_str(&format!("#o{at}"));
            update = update.expression_attribute_names(format!("#o{at}"), name);
        }
        let counted = update.update_expression(expression).send().await;
        let row = match counted {
            Ok(answer) => Row(answer.attributes.unwrap_or_default()),
            Err(error) => {
                rejected_item(error)?;
                return Err(StoreError::Damaged("counter"));
            }
        };
        Ok(self.read_tally(&row, quota.window, now))
    }

    /// Takes back one of a party in a slot.
    pub async fn subtract_from_tally(
        &self,
        counter: &str,
        quota: &Quota<'_>,
        slot: i64,
    ) -> Result<(), StoreError> {
        let subtract = self.change_cell(counter, quota, slot, -1).update_expression("ADD #cell :by");
        subtract.send().await.map(|_| ()).map_err(failure)
    }

    /// Sets the count of a party in a slot, which could not be read, to one.
    pub async fn restart_tally(&self, counter: &str, quota: &Quota<'_>, slot: i64) -> Result<(), StoreError> {
        let restart = self.change_cell(counter, quota, slot, 1).update_expression("SET #cell = :by");
        restart.send().await.map(|_| ()).map_err(failure)
    }

    fn change_cell(&self, counter: &str, quota: &Quota<'_>, slot: i64, by: i64) -> UpdateItemFluentBuilder {
        self.update_counter(counter)
            .expression_attribute_names("#cell", cell(slot, quota.party))
            .expression_attribute_values(":by", item::number(by))
    }

    fn read_tally(&self, row: &Row, window: SignedDuration, now: Timestamp) -> (Tally, Vec<String>) {
        let (mut counts, mut removable) = (Vec::new(), Vec::new());
        for (name, value) in row.0.iter().filter(|(name, _)| !["counter", "ttl"].contains(&name.as_str())) {
            match read_cell(name, value) {
                Some(count) => counts.push(count),
                None => {
                    self.report_unreadable(&self.tables.rate_limits, row, &StoreError::Damaged("counts"));
                    removable.push(name.clone());
                }
            }
        }
        let tally: Tally = counts.into_iter().collect();
        removable.extend(tally.outdated(window, now).map(|(slot, party)| cell(slot, party)));
        removable.truncate(limits::COUNTER_CELLS_REMOVED);
        (tally, removable)
    }

    /// How many entries of a log are within the window.
    pub async fn counted_in_log(&self, counter: &str, allowance: Allowance) -> Result<u32, StoreError> {
        let Some(row) = self.counter_row(counter).await? else { return Ok(0) };
        let log = self.checked_counter(&row, read_log(&row))?;
        Ok(u32::try_from(within(allowance, &log, self.clock.now()).len()).unwrap_or(u32::MAX))
    }

    /// The total of a tally within the window.
    pub async fn counted_in_tally(&self, counter: &str, allowance: Allowance) -> Result<u32, StoreError> {
        let Some(row) = self.counter_row(counter).await? else { return Ok(0) };
        let now = self.clock.now();
        Ok(self.read_tally(&row, allowance.window, now).0.total(allowance.window, now))
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
fn expiry(window: SignedDuration, now: Timestamp) -> AttributeValue {
    item::ttl(saturating_add(saturating_add(now, window), window))
}

/// The name of the attribute that counts a party in a slot.
fn cell(slot: i64, party: &str) -> String {
    format!("{slot:x}.{party}")
}

fn read_cell(name: &str, value: &AttributeValue) -> Option<((i64, String), u32)> {
    let (slot, party) = name.split_once('.')?;
    let slot = i64::from_str_radix(slot, 16).ok()?;
    // Below zero after a count was taken back twice.
    let count = value.as_n().ok()?.parse::<i64>().ok()?.max(0);
    Some(((slot, party.to_owned()), u32::try_from(count).ok()?))
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
