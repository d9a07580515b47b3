//! What circles of users know of the token endpoint's penalties, in the table `rate_limits`: one item for each circle.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::ReturnValue;
use jiff::{SignedDuration, Timestamp};

use super::item::{self, Row};
use super::rate_limits::key;
use super::{Store, StoreError, failure, made};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::circuit_breaker::Penalty;

impl Store {
    /// What some circles, at most 100, know; those that know nothing are left out.
    pub async fn penalties(&self, circles: &[&str]) -> Result<HashMap<String, Penalty>, StoreError> {
        let keys = circles.iter().map(|circle| key(circle)).collect();
        let rows = self.rows_by_key(&self.tables.rate_limits, keys).await?;
        rows.iter().map(|row| Ok((row.text("counter")?.to_owned(), read(row)?))).collect()
    }

    /// Notes that a member of a circle was told to wait. What the circle knew before.
    pub async fn note_penalty(&self, circle: &str, member: &str) -> Result<Penalty, StoreError> {
        let now = self.clock.now();
        let update = self
            .update_counter(circle)
            .update_expression("SET told_by = :member, told_at = :now, #ttl = :ttl")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":member", item::text(member))
            .expression_attribute_values(":now", item::time(now))
            .expression_attribute_values(":ttl", item::ttl(kept(now)))
            .return_values(ReturnValue::AllOld);
        read(&Row(update.send().await.map_err(failure)?.attributes.unwrap_or_default()))
    }

    /// Closes a circle until a moment, unless it is closed for longer.
    pub async fn close_circle(&self, circle: &str, until: Timestamp) -> Result<(), StoreError> {
        let update = self
            .update_counter(circle)
            .update_expression("SET closed_until = :until, #ttl = :ttl REMOVE ahead_until, opened_at")
            .condition_expression("attribute_not_exists(closed_until) OR closed_until < :until")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":until", item::time(until))
            .expression_attribute_values(":ttl", item::ttl(kept(until)));
        made(update.send().await).map(|_| ())
    }

    /// Goes ahead for a circle whose silence is over. False if somebody else does.
    pub async fn go_ahead(&self, circle: &str) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let until = saturating_add(now, SignedDuration::from_secs(limits::TOKEN_AHEAD_SECONDS));
        let update = self
            .update_counter(circle)
            .update_expression("SET ahead_until = :until")
            .condition_expression(
                "closed_until <= :now AND (attribute_not_exists(ahead_until) OR ahead_until <= :now)",
            )
            .expression_attribute_values(":until", item::time(until))
            .expression_attribute_values(":now", item::time(now));
        made(update.send().await)
    }

    /// Opens a circle, since the one that went ahead has had an answer.
    pub async fn open_circle(&self, circle: &str) -> Result<(), StoreError> {
        let now = self.clock.now();
        let update = self
            .update_counter(circle)
            .update_expression(
                "SET opened_at = :now, #ttl = :ttl REMOVE closed_until, ahead_until, told_by, told_at",
            )
            .condition_expression("closed_until <= :now")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":now", item::time(now))
            .expression_attribute_values(":ttl", item::ttl(kept(now)));
        made(update.send().await).map(|_| ())
    }
}

/// What a circle knows has no meaning when the news is old, the silence over for long, and all follow at full speed.
fn kept(from: Timestamp) -> Timestamp {
    saturating_add(from, SignedDuration::from_hours(1))
}

fn read(row: &Row) -> Result<Penalty, StoreError> {
    let told = row.maybe_text("told_by").zip(row.maybe_time("told_at")?);
    Ok(Penalty {
        told,
        closed_until: row.maybe_time("closed_until")?,
        opened_at: row.maybe_time("opened_at")?,
    })
}
