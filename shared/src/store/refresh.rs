//! The writes of the refresh protocol: lease, intent, new pair and revocation, in the items of connections. Each write has
//! the condition that [`permits`](crate::model::refresh::permits) states, as a DynamoDB expression.

use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use jiff::{SignedDuration, Timestamp};

use super::connection_item::{REFRESH_ATTRIBUTES, key, refresh_attributes};
use super::due::WorkKind;
use super::item::{self, Item, Row};
use super::{Store, StoreError, WriteOutcome, complete, failed};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::connection::{Connection, ConnectionStatus, Sealed, SealedPair};
use crate::model::event::Event;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::refresh::{RefreshRow, RefreshWrite};

impl Store {
    /// Makes a write of an attempt, together with an event if there is one. `connection` is the connection as the attempt
    /// has read it. A write that an earlier call of the same attempt has applied counts as applied.
    pub async fn write_refresh(
        &self,
        connection: &Connection,
        write: RefreshWrite,
        row: &RefreshRow,
        attempt: &str,
        pair: Option<&SealedPair>,
        event: Option<&Event>,
    ) -> Result<WriteOutcome, StoreError> {
        let now = self.clock.now();
        let seen_due = connection.refresh_state.due;
        let condition = match write {
            RefreshWrite::AcquireLease if seen_due.is_some() => {
                "generation = :seen AND #status IN (:active, :failed) AND refresh_due = :due \
                 AND (attribute_not_exists(lease_until) OR lease_until < :now)"
            }
            RefreshWrite::AcquireLease => {
                "generation = :seen AND #status IN (:active, :failed) AND attribute_not_exists(refresh_due) \
                 AND (attribute_not_exists(lease_until) OR lease_until < :now)"
            }
            RefreshWrite::StorePair => "generation = :seen",
            RefreshWrite::ReleaseLease => "generation = :seen AND lease_owner = :attempt",
            RefreshWrite::MarkRevoked => "generation = :seen AND #status IN (:active, :failed)",
        };
        let mut update = Update::builder()
            .table_name(&self.tables.connections)
            .set_key(Some(key(&connection.tenant, &connection.id)))
            .condition_expression(condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_values(":seen", item::number(connection.generation));
        if matches!(write, RefreshWrite::AcquireLease | RefreshWrite::MarkRevoked) {
            update = update
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":active", item::text(ConnectionStatus::Active.as_str()))
                .expression_attribute_values(":failed", item::text(ConnectionStatus::RefreshFailed.as_str()));
        }
        if write == RefreshWrite::AcquireLease {
            update = update.expression_attribute_values(":now", item::time(now));
            if let Some(due) = seen_due {
                update = update.expression_attribute_values(":due", item::time(due));
            }
        }
        if write == RefreshWrite::ReleaseLease {
            update = update.expression_attribute_values(":attempt", item::text(attempt));
        }
        let mut set = refresh_attributes(&row.refresh_state)
            .set("status", item::text(row.status.as_str()))
            .set("generation", item::number(row.generation));
        if let Some(pair) = pair {
            set = set.sealed("access", &pair.access).sealed("refresh", &pair.refresh);
        }
        let set = match write {
            // Rejected tokens are kept for a while, then erased.
            RefreshWrite::MarkRevoked => {
                let erase_at =
                    saturating_add(now, SignedDuration::from_secs(limits::REVOKED_TOKENS_KEPT_SECONDS));
                set.set("refresh_kind", WorkKind::Erasure.partition(&connection.id))
                    .set("refresh_due", item::time(erase_at))
            }
            RefreshWrite::AcquireLease | RefreshWrite::StorePair | RefreshWrite::ReleaseLease => {
                set.set("refresh_kind", WorkKind::Refresh.partition(&connection.id))
            }
        };
        // The connection may have been revoked in between, which ends the checks of its subscription. They resume now.
        let resume_checks = (pair.is_some() && connection.subscription.is_some())
            .then(|| (WorkKind::Renewal.partition(&connection.id), now));
        let update = complete(set_or_remove(update, set.done(), resume_checks).build());
        let mut items = vec![TransactWriteItem::builder().update(update).build()];
        items.extend(event.map(|event| self.append(event)));
        let Err(reasons) = self.transact(items).await? else { return Ok(WriteOutcome::Applied) };
        if !failed(&reasons, 0) {
            return Err(StoreError::Unavailable("a write with its event".into()));
        }
        let old = reasons.into_iter().next().and_then(|reason| reason.item).map(Row);
        let is_own_write = old.is_some_and(|old| match write {
            RefreshWrite::AcquireLease => old.maybe_text("lease_owner").as_deref() == Some(attempt),
            RefreshWrite::StorePair => old.maybe_text("writer").as_deref() == Some(attempt),
            RefreshWrite::ReleaseLease | RefreshWrite::MarkRevoked => false,
        });
        Ok(if is_own_write { WriteOutcome::Applied } else { WriteOutcome::Conflict })
    }

    /// Erases the tokens of a connection whose refresh token RingCentral rejects. The condition fails if the user has
    /// authorized again.
    pub async fn erase_rejected_tokens(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
    ) -> Result<WriteOutcome, StoreError> {
        let empty = Sealed::from_record(Vec::new());
        let update = Update::builder()
            .table_name(&self.tables.connections)
            .set_key(Some(key(tenant, id)))
            .condition_expression("begins_with(refresh_kind, :kind)")
            .update_expression(
                "SET access_token = :empty, access_key = :empty, refresh_token = :empty, refresh_key = :empty \
                 REMOVE refresh_kind, refresh_due",
            )
            .expression_attribute_values(":kind", item::text(format!("{}#", WorkKind::Erasure.as_str())))
            .expression_attribute_values(":empty", item::bytes(&empty));
        let update = TransactWriteItem::builder().update(complete(update.build())).build();
        Ok(WriteOutcome::applied_if(self.transact(vec![update]).await?.is_ok()))
    }
}

/// Sets the attributes in `set` and removes all other attributes of a refresh state. With `resume_checks`, the
/// partition of the checks of the subscription, they are due from that time, unless they are due already.
fn set_or_remove(
    update: UpdateBuilder,
    set: Item,
    resume_checks: Option<(AttributeValue, Timestamp)>,
) -> UpdateBuilder {
    let absent: Vec<&str> = REFRESH_ATTRIBUTES.into_iter().filter(|name| !set.contains_key(*name)).collect();
    let (mut update, mut expression) = (update, String::new());
    for (at, (name, value)) in set.into_iter().enumerate() {
        expression.push_str(if at == 0 { "SET " } else { ", " });
        expression.push_str(&format!("#s{at} = :s{at}"));
        update = update
            .expression_attribute_names(format!("#s{at}"), name)
            .expression_attribute_values(format!(":s{at}"), value);
    }
    if let Some((renewal, from)) = resume_checks {
        expression.push_str(", renewal_kind = :renewal, renewal_due = if_not_exists(renewal_due, :from)");
        update = update
            .expression_attribute_values(":renewal", renewal)
            .expression_attribute_values(":from", item::time(from));
    }
    for (at, name) in absent.into_iter().enumerate() {
        expression.push_str(if at == 0 { " REMOVE " } else { ", " });
        expression.push_str(&format!("#r{at}"));
        update = update.expression_attribute_names(format!("#r{at}"), name);
    }
    update.update_expression(expression)
}
