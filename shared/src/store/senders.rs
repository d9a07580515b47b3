//! The state of each sender, in the table `messages`: items `sender#<extension>`. A worker holds the item's lease, which
//! outlives the worker.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use jiff::{SignedDuration, Timestamp};

use super::item::{self, Change, Item, Row};
use super::{Store, StoreError, failure, is_conditional, made};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::ids::{ExtensionId, MessageId, TenantId};
use crate::model::sender::{InFlight, SenderState};

/// A worker's lease of a sender.
#[derive(Debug, Clone)]
pub struct SenderLease {
    pub tenant: TenantId,
    pub extension: ExtensionId,
    /// A random string that identifies the worker's run.
    pub owner: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// The caller holds the lease of a sender in this state.
    Acquired(SenderState),
    /// Another worker holds it, or the sender's wake-up time is in the future.
    Unavailable,
}

/// What [`Store::save_sender`] does with the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseUpdate {
    Keep,
    Release,
    /// Release it, and let no worker acquire it before this moment.
    ReleaseUntil(Timestamp),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveOutcome {
    Saved,
    /// The lease has expired, and another worker may hold it. Nothing was saved.
    LeaseLost,
}

impl Store {
    /// Acquires the lease of a sender and reads its state.
    pub async fn lease_sender(&self, lease: &SenderLease) -> Result<LeaseOutcome, StoreError> {
        let now = self.clock.now();
        let soon = saturating_add(now, SignedDuration::from_millis(limits::SENDER_SLEEP_MAX_MS));
        let until = saturating_add(now, SignedDuration::from_secs(limits::SENDER_LEASE_SECONDS));
        let far = saturating_add(now, SignedDuration::from_secs(2 * limits::SENDER_LEASE_SECONDS));
        let latest = saturating_add(now, SignedDuration::from_secs(limits::SENDER_STATE_KEPT_SECONDS));
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.messages)
            .set_key(Some(sender_key(&lease.tenant, &lease.extension)))
            .update_expression("SET lease_owner = :owner, lease_until = :until REMOVE wake_at")
            // True unless a lease or a wake-up time holds: also if it cannot be read, or is much later than any.
            .condition_expression(
                "NOT lease_until BETWEEN :now AND :far AND NOT wake_at BETWEEN :soon AND :latest",
            )
            .expression_attribute_values(":far", item::time(far))
            .expression_attribute_values(":latest", item::time(latest))
            .expression_attribute_values(":owner", item::text(&lease.owner))
            .expression_attribute_values(":until", item::time(until))
            .expression_attribute_values(":now", item::time(now))
            .expression_attribute_values(":soon", item::time(soon))
            .return_values(ReturnValue::AllNew);
        match update.send().await {
            Ok(answer) => {
                let row = Row(answer.attributes.unwrap_or_default());
                Ok(match self.checked(&self.tables.messages, &row, read(&row)) {
                    Ok(sender) => LeaseOutcome::Acquired(sender),
                    Err(_) => match salvage(&row, now) {
                        Ok(sender) => LeaseOutcome::Acquired(sender),
                        // Another send could repeat the one in flight. The sender waits for the operator.
                        Err(_) => LeaseOutcome::Unavailable,
                    },
                })
            }
            Err(error) if is_conditional(&error) => Ok(LeaseOutcome::Unavailable),
            Err(error) => Err(failure(error)),
        }
    }

    /// The state of a sender, without its lease. `None` if it cannot be read.
    pub async fn sender_state(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
    ) -> Result<Option<SenderState>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.messages);
        let response = get.set_key(Some(sender_key(tenant, extension))).send().await.map_err(failure)?;
        Ok(read(&Row(response.item.unwrap_or_default())).ok())
    }

    /// Saves the state of a sender, on condition that the caller still holds its lease.
    pub async fn save_sender(
        &self,
        lease: &SenderLease,
        sender: &SenderState,
        update: LeaseUpdate,
    ) -> Result<SaveOutcome, StoreError> {
        let now = self.clock.now();
        let in_flight = sender.in_flight.as_ref();
        let wake_at = if let LeaseUpdate::ReleaseUntil(at) = update { Some(at) } else { None };
        let fields = [
            (
                "sends",
                Some(AttributeValue::L(sender.sends.iter().map(|at| item::time(*at)).collect()))
                    .filter(|_| !sender.sends.is_empty()),
            ),
            ("limit", Some(item::number(sender.limit))),
            ("window_seconds", Some(item::number(sender.window_seconds))),
            ("paused_until", sender.paused_until.filter(|until| *until > now).map(item::time)),
            ("failures", Some(sender.failures).filter(|count| *count > 0).map(item::number)),
            ("in_flight_message", in_flight.map(|in_flight| item::text(in_flight.message.as_str()))),
            ("in_flight_at", in_flight.map(|in_flight| item::time(in_flight.at))),
            ("partly_sent", sender.partly_sent.as_ref().map(|message| item::text(message.as_str()))),
            ("reconcile_after", sender.reconcile_after.filter(|at| *at > now).map(item::time)),
            ("statuses_due", sender.statuses_due.map(item::time)),
            ("wake_at", wake_at.map(item::time)),
            (
                "ttl",
                Some(item::ttl(saturating_add(
                    now,
                    SignedDuration::from_secs(limits::SENDER_STATE_KEPT_SECONDS),
                ))),
            ),
        ];
        let is_released = update != LeaseUpdate::Keep;
        let released = is_released.then_some(["lease_owner", "lease_until"]).into_iter().flatten();
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
        Ok(if made(update.send().await)? { SaveOutcome::Saved } else { SaveOutcome::LeaseLost })
    }
}

pub(super) fn sender_key(tenant: &TenantId, extension: &ExtensionId) -> Item {
    item::key(tenant, &format!("sender#{extension}"))
}

/// What can be read of an unreadable state. A part in flight must be known; the limit counts as used up.
fn salvage(row: &Row, now: Timestamp) -> Result<SenderState, StoreError> {
    let mut sender = SenderState { in_flight: read_in_flight(row)?, ..SenderState::default() };
    sender.partly_sent = row.maybe_text("partly_sent").as_deref().and_then(MessageId::parse);
    sender.pause(Duration::from_secs(limits::PENALTY_SECONDS), now);
    Ok(sender)
}

fn read_message_id(row: &Row, name: &'static str) -> Result<Option<MessageId>, StoreError> {
    row.0.contains_key(name).then(|| row.parsed(name, MessageId::parse)).transpose()
}

fn read_in_flight(row: &Row) -> Result<Option<InFlight>, StoreError> {
    let message = read_message_id(row, "in_flight_message")?;
    message.map(|message| Ok(InFlight { message, at: row.time("in_flight_at")? })).transpose()
}

fn read(row: &Row) -> Result<SenderState, StoreError> {
    let sends = row.0.get("sends").and_then(|value| value.as_l().ok());
    let time = |value: &AttributeValue| {
        let ms = value.as_n().ok()?.parse().ok()?;
        Timestamp::from_millisecond(ms).ok()
    };
    let sends = sends.into_iter().flatten().map(time).collect::<Option<Vec<_>>>();
    let new = SenderState::default();
    Ok(SenderState {
        sends: sends.ok_or(StoreError::Damaged("sends"))?,
        limit: row.maybe_number("limit")?.unwrap_or(new.limit),
        window_seconds: row.maybe_number("window_seconds")?.unwrap_or(new.window_seconds),
        paused_until: row.maybe_time("paused_until")?,
        failures: row.maybe_number("failures")?.unwrap_or(0),
        in_flight: read_in_flight(row)?,
        partly_sent: read_message_id(row, "partly_sent")?,
        reconcile_after: row.maybe_time("reconcile_after")?,
        statuses_due: row.maybe_time("statuses_due")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::item::Writer;

    #[test]
    fn an_item_without_attributes_is_the_default_state() {
        assert_eq!(read(&Row(Writer::default().done())).unwrap(), SenderState::default());
    }

    #[test]
    fn of_an_unreadable_state_the_part_in_flight_is_kept() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let row = |id: &str| {
            let row =
                Writer::default().set("limit", item::text("many")).set("in_flight_message", item::text(id));
            Row(row.set("in_flight_at", item::time(now)).done())
        };
        let id = MessageId::generate(now);
        assert!(read(&row(id.as_str())).is_err());
        let sender = salvage(&row(id.as_str()), now).unwrap();
        assert_eq!(sender.in_flight, Some(InFlight { message: id, at: now }));
        assert!(sender.next_send_at(now) > now, "the limit counts as used up");
        assert!(salvage(&row("?"), now).is_err(), "it is not known what is in flight");
    }
}
