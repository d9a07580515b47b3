//! The lanes of senders, in the table `messages`: items `sender#<extension>`. Who works on a lane holds its lease, for longer
//! than the worker can live.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use jiff::{SignedDuration, Timestamp};

use super::item::{self, Change, Item, Row};
use super::{Store, StoreError, failure, is_conditional, made};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::ids::{ExtensionId, MessageId, TenantId};
use crate::model::sender::{Flight, Lane};

/// A lease of a lane.
#[derive(Debug, Clone)]
pub struct Lease {
    /// Whose lane.
    pub tenant: TenantId,
    /// Of which sender.
    pub extension: ExtensionId,
    /// Who has it: a random text.
    pub owner: String,
}

/// What came of asking for a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is the caller's.
    Yes(Lane),
    /// Somebody else works on it, or has set an alarm for later.
    No,
}

impl Store {
    /// Takes the lane of a sender, unless somebody works on it or has set an alarm for later.
    pub async fn take_lane(&self, lease: &Lease) -> Result<Taken, StoreError> {
        let now = self.clock.now();
        let soon = saturating_add(now, SignedDuration::from_millis(limits::LANE_NAP_MS));
        let until = saturating_add(now, SignedDuration::from_secs(limits::LANE_LEASE_SECONDS));
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.messages)
            .set_key(Some(sender_key(&lease.tenant, &lease.extension)))
            .update_expression("SET lease_owner = :owner, lease_until = :until REMOVE wake_at")
            .condition_expression(
                "(attribute_not_exists(lease_until) OR lease_until <= :now) \
                 AND (attribute_not_exists(wake_at) OR wake_at <= :soon)",
            )
            .expression_attribute_values(":owner", item::text(&lease.owner))
            .expression_attribute_values(":until", item::time(until))
            .expression_attribute_values(":now", item::time(now))
            .expression_attribute_values(":soon", item::time(soon))
            .return_values(ReturnValue::AllNew);
        match update.send().await {
            Ok(answer) => Ok(Taken::Yes(read(&Row(answer.attributes.unwrap_or_default()))?)),
            Err(error) if is_conditional(&error) => Ok(Taken::No),
            Err(error) => Err(failure(error)),
        }
    }

    /// Writes a lane. With a moment, the lease ends, and nobody need look before then. False if it is not the caller's
    /// any more.
    pub async fn write_lane(
        &self,
        lease: &Lease,
        lane: &Lane,
        release: Option<Option<Timestamp>>,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let flight = lane.flight.as_ref();
        let fields = [
            (
                "sends",
                Some(AttributeValue::L(lane.sends.iter().map(|at| item::time(*at)).collect()))
                    .filter(|_| !lane.sends.is_empty()),
            ),
            ("limit", Some(item::number(lane.limit))),
            ("window_seconds", Some(item::number(lane.window_seconds))),
            ("closed_until", lane.closed_until.filter(|until| *until > now).map(item::time)),
            ("failures", Some(lane.failures).filter(|count| *count > 0).map(item::number)),
            ("flight_message", flight.map(|flight| item::text(flight.message.as_str()))),
            ("flight_at", flight.map(|flight| item::time(flight.at))),
            ("begun", lane.begun.as_ref().map(|message| item::text(message.as_str()))),
            ("look_after", lane.look_after.filter(|at| *at > now).map(item::time)),
            ("wake_at", release.flatten().map(item::time)),
            (
                "ttl",
                Some(item::ttl(saturating_add(now, SignedDuration::from_secs(limits::LANE_KEPT_SECONDS)))),
            ),
        ];
        let released = release.is_some().then_some(["lease_owner", "lease_until"]).into_iter().flatten();
        let change = Change::of(fields.into_iter().chain(released.map(|name| (name, None))));
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.messages)
            .set_key(Some(sender_key(&lease.tenant, &lease.extension)))
            .update_expression(change.expression)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
            .condition_expression("lease_owner = :owner AND lease_until > :now")
            .expression_attribute_values(":owner", item::text(&lease.owner))
            .expression_attribute_values(":now", item::time(now));
        made(update.send().await)
    }
}

pub(super) fn sender_key(tenant: &TenantId, extension: &ExtensionId) -> Item {
    item::key(tenant, &format!("sender#{extension}"))
}

fn read(row: &Row) -> Result<Lane, StoreError> {
    let sends = row.0.get("sends").and_then(|value| value.as_l().ok());
    let moment = |value: &AttributeValue| {
        let ms = value.as_n().ok()?.parse().ok()?;
        Timestamp::from_millisecond(ms).ok()
    };
    let sends = sends.into_iter().flatten().map(moment).collect::<Option<Vec<_>>>();
    let message = |name: &'static str| {
        let id = row.maybe_text(name);
        id.map(|id| MessageId::parse(&id).ok_or(StoreError::Damaged(name))).transpose()
    };
    let flight = match message("flight_message")? {
        None => None,
        Some(message) => Some(Flight { message, at: row.time("flight_at")? }),
    };
    let known = row.0.contains_key("limit");
    let fresh = Lane::default();
    Ok(Lane {
        sends: sends.ok_or(StoreError::Damaged("sends"))?,
        limit: if known { row.number("limit")? } else { fresh.limit },
        window_seconds: if known { row.number("window_seconds")? } else { fresh.window_seconds },
        closed_until: row.maybe_time("closed_until")?,
        failures: if row.0.contains_key("failures") { row.number("failures")? } else { 0 },
        flight,
        begun: message("begun")?,
        look_after: row.maybe_time("look_after")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::item::Writer;

    #[test]
    fn a_lane_that_nobody_has_used_is_empty() {
        assert_eq!(read(&Row(Writer::default().done())).unwrap(), Lane::default());
    }
}
