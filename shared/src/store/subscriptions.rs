//! The webhook subscriptions of a connection, in the connection's item: the state of the main one, when it is checked next (index
//! `renewal`), and when message sync has to backfill because events may have been missed (index `sync`); the one to consent events, if
//! the connection has it, and where the search for consents goes on.

use jiff::Timestamp;

use super::connection_item::{CONSENT_NEXT_PAGE, CONSENT_SUBSCRIPTION, key, set_backfill, set_subscription};
use super::due::WorkKind;
use super::item::{self, Change, Writer};
use super::{Store, StoreError, WriteOutcome, write_outcome};
use crate::model::connection::{BackfillReason, Connection, Subscription};
use crate::model::ids::{ConnectionId, TenantId};

/// The result of checking a subscription.
#[derive(Debug, Clone)]
pub struct SubscriptionCheck {
    /// The subscription after the check.
    pub subscription: Subscription,
    /// When the next check is due.
    pub due: Timestamp,
    /// Set if events may have been missed.
    pub backfill: Option<BackfillReason>,
}

impl Store {
    /// Stores the result of a check. The condition fails if the connection was deleted, or has another subscription than
    /// the checked one.
    pub async fn record_check(
        &self,
        connection: &Connection,
        check: &SubscriptionCheck,
    ) -> Result<WriteOutcome, StoreError> {
        let now = self.clock.now();
        let mut set = set_subscription(Writer::default(), &check.subscription)
            .set("renewal_kind", WorkKind::Renewal.partition(&connection.id))
            .set("renewal_due", item::time(check.due));
        if let Some(reason) = check.backfill {
            set = set_backfill(set, &connection.id, reason, now);
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
        write_outcome(request.send().await)
    }

    /// Makes a backfill due now, unless the connection was deleted.
    pub async fn request_backfill(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        reason: BackfillReason,
    ) -> Result<(), StoreError> {
        let set = set_backfill(Writer::default(), connection, reason, self.clock.now());
        let change = Change::of(set.done().into_iter().map(|(name, value)| (name, Some(value))));
        self.change_existing(tenant, connection, change).await.map(drop)
    }

    /// Stores a connection's subscription to consent events; without one, removes it. A conflict if the connection was deleted.
    pub async fn set_consent_subscription(
        &self,
        connection: &Connection,
        subscription: Option<&Subscription>,
    ) -> Result<WriteOutcome, StoreError> {
        let change = Change::of([
            (CONSENT_SUBSCRIPTION, subscription.map(|subscription| item::text(&subscription.id))),
            ("consent_token_digest", subscription.map(|subscription| item::text(&subscription.token_digest))),
        ]);
        self.change_existing(&connection.tenant, &connection.id, change).await
    }

    /// Stores with which page the next search for consents begins. A conflict if the connection was deleted.
    pub async fn set_consent_next_page(
        &self,
        connection: &Connection,
        token: Option<&str>,
    ) -> Result<WriteOutcome, StoreError> {
        let change = Change::of([(CONSENT_NEXT_PAGE, token.map(item::text))]);
        self.change_existing(&connection.tenant, &connection.id, change).await
    }

    async fn change_existing(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        change: Change,
    ) -> Result<WriteOutcome, StoreError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key(tenant, connection)))
            .update_expression(change.expression)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values((!change.values.is_empty()).then_some(change.values))
            .condition_expression("attribute_exists(tenant)");
        write_outcome(update.send().await)
    }
}
