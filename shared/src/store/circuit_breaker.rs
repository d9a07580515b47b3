//! The circuit breakers of the token endpoint, in the table `rate_limits`: one item for each scope.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::ReturnValue;
use jiff::{SignedDuration, Timestamp};

use super::item::{self, Row};
use super::rate_limits::key;
use super::{Store, StoreError, failure, write_outcome};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::circuit_breaker::BreakerRecord;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// The caller makes the probe call.
    Acquired,
    /// Another caller is probing.
    InProgress,
}

impl Store {
    /// The records of at most 100 scopes. A scope without a readable record is absent.
    pub async fn breaker_records(
        &self,
        scopes: &[&str],
    ) -> Result<HashMap<String, BreakerRecord>, StoreError> {
        let keys = scopes.iter().map(|scope| key(scope)).collect();
        let rows = self.rows_by_key(&self.tables.rate_limits, keys).await?;
        let read = |row: &Row| Ok((row.text("counter")?.to_owned(), read_record(row)?));
        Ok(self.readable(&self.tables.rate_limits, &rows, read).into_iter().collect())
    }

    /// Records that a member of a scope was rate limited. Returns the record as it was before.
    pub async fn record_rate_limited(&self, scope: &str, member: &str) -> Result<BreakerRecord, StoreError> {
        let now = self.clock.now();
        let update = self
            .update_counter(scope)
            .update_expression("SET limited_member = :member, limited_at = :now, #ttl = :ttl")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":member", item::text(member))
            .expression_attribute_values(":now", item::time(now))
            .expression_attribute_values(":ttl", item::ttl(record_expiry(now)))
            .return_values(ReturnValue::AllOld);
        let before = Row(update.send().await.map_err(failure)?.attributes.unwrap_or_default());
        let record = self.checked(&self.tables.rate_limits, &before, read_record(&before));
        Ok(record.unwrap_or_default())
    }

    /// Opens a scope's breaker, unless it is open for longer.
    pub async fn open_breaker(&self, scope: &str, until: Timestamp) -> Result<(), StoreError> {
        let update = self
            .update_counter(scope)
            .update_expression("SET open_until = :until, #ttl = :ttl REMOVE probe_until, recovered_at")
            .condition_expression("attribute_not_exists(open_until) OR open_until < :until")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":until", item::time(until))
            .expression_attribute_values(":ttl", item::ttl(record_expiry(until)));
        write_outcome(update.send().await).map(drop)
    }

    /// Acquires the probe of a half-open breaker, for [`limits::TOKEN_PROBE_SECONDS`].
    pub async fn acquire_probe(&self, scope: &str) -> Result<ProbeOutcome, StoreError> {
        let now = self.clock.now();
        let until = saturating_add(now, SignedDuration::from_secs(limits::TOKEN_PROBE_SECONDS));
        let update = self
            .update_counter(scope)
            .update_expression("SET probe_until = :until")
            .condition_expression(
                "open_until <= :now AND (attribute_not_exists(probe_until) OR probe_until <= :now)",
            )
            .expression_attribute_values(":until", item::time(until))
            .expression_attribute_values(":now", item::time(now));
        let outcome = write_outcome(update.send().await)?;
        Ok(if outcome.is_applied() { ProbeOutcome::Acquired } else { ProbeOutcome::InProgress })
    }

    /// Closes a scope's breaker after a successful probe. The ramp-up begins.
    pub async fn close_breaker(&self, scope: &str) -> Result<(), StoreError> {
        let now = self.clock.now();
        let update = self
            .update_counter(scope)
            .update_expression(
                "SET recovered_at = :now, #ttl = :ttl REMOVE open_until, probe_until, limited_member, limited_at",
            )
            .condition_expression("open_until <= :now")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":now", item::time(now))
            .expression_attribute_values(":ttl", item::ttl(record_expiry(now)));
        write_outcome(update.send().await).map(drop)
    }
}

/// After an hour no attribute of a record has an effect.
fn record_expiry(from: Timestamp) -> Timestamp {
    saturating_add(from, SignedDuration::from_hours(1))
}

fn read_record(row: &Row) -> Result<BreakerRecord, StoreError> {
    let last_limited = row.maybe_text("limited_member").zip(row.maybe_time("limited_at")?);
    Ok(BreakerRecord {
        last_limited,
        open_until: row.maybe_time("open_until")?,
        recovered_at: row.maybe_time("recovered_at")?,
    })
}
