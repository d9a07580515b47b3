//! The webhook subscription of a connection, in the connection's row: its state, when it is looked at next (index
//! `renewal`), and when the message store is to be compared because events may have been missed (index `sync`).

use jiff::Timestamp;

use super::connections::key;
use super::due::WorkKind;
use super::item::{self, Change, Row, Writer};
use super::{Store, StoreError, made};
use crate::model::connection::{BackfillReason, Connection, PreviousToken, Subscription};
use crate::model::ids::{ConnectionId, TenantId};

/// What a look at a subscription came to.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The subscription as it is now.
    pub subscription: Subscription,
    /// When to look again.
    pub due: Timestamp,
    /// Why events may have been missed.
    pub gap: Option<BackfillReason>,
}

impl Store {
    /// Writes down what a look at a connection's subscription came to. False if the connection is gone, or has another
    /// subscription than the one that was looked at.
    pub async fn record_check(&self, connection: &Connection, checked: &Checked) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let mut set = write_subscription(Writer::default(), &checked.subscription)
            .set("renewal_kind", item::text(WorkKind::Renewal.as_str()))
            .set("renewal_due", item::time(checked.due));
        if let Some(gap) = checked.gap {
            set = write_gap(set, gap, now);
        }
        let change = Change::of(set.done().into_iter().map(|(name, value)| (name, Some(value))));
        let request = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key(&connection.tenant, &connection.id)))
            .update_expression(change.expression)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values));
        let request = match &connection.subscription {
            None => request
                .condition_expression("attribute_exists(tenant) AND attribute_not_exists(subscription)"),
            Some(seen) => request
                .condition_expression("subscription = :seen")
                .expression_attribute_values(":seen", item::text(&seen.id)),
        };
        made(request.send().await)
    }

    /// Notes that a connection's events may have been missed. False if it is gone.
    pub async fn note_gap(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        gap: BackfillReason,
    ) -> Result<bool, StoreError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key(tenant, connection)))
            .update_expression("SET sync_kind = :kind, sync_due = :now, sync_reason = :reason")
            .condition_expression("attribute_exists(tenant)")
            .expression_attribute_values(":kind", item::text(WorkKind::Sync.as_str()))
            .expression_attribute_values(":now", item::time(self.clock.now()))
            .expression_attribute_values(":reason", item::text(gap.as_str()));
        made(update.send().await)
    }
}

/// The fields that say that events may have been missed.
pub(super) fn write_gap(item: Writer, gap: BackfillReason, now: Timestamp) -> Writer {
    item.set("sync_kind", item::text(WorkKind::Sync.as_str()))
        .set("sync_due", item::time(now))
        .set("sync_reason", item::text(gap.as_str()))
}

/// The fields of a subscription.
pub(super) fn write_subscription(item: Writer, subscription: &Subscription) -> Writer {
    let previous = subscription.previous.as_ref();
    item.set("subscription", item::text(&subscription.id))
        .set("subscription_token_digest", item::text(&subscription.token_digest))
        .set("subscription_status", item::text(&subscription.status))
        .set("subscription_expires_at", item::time(subscription.expires_at))
        .set("renewal_failures", item::number(subscription.failures))
        .maybe("previous_token_digest", previous.map(|previous| item::text(&previous.digest)))
        .maybe("previous_token_until", previous.map(|previous| item::time(previous.until)))
}

/// The subscription of a connection's row.
pub(super) fn read_subscription(row: &Row) -> Result<Option<Subscription>, StoreError> {
    let Some(id) = row.maybe_text("subscription") else { return Ok(None) };
    let previous = match (row.maybe_text("previous_token_digest"), row.maybe_time("previous_token_until")?) {
        (Some(digest), Some(until)) => Some(PreviousToken { digest, until }),
        _ => None,
    };
    Ok(Some(Subscription {
        id,
        token_digest: row.text("subscription_token_digest")?.to_owned(),
        previous,
        status: row.text("subscription_status")?.to_owned(),
        expires_at: row.time("subscription_expires_at")?,
        failures: row.maybe_number("renewal_failures")?.unwrap_or(0),
    }))
}
