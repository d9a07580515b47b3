//! Refreshing, in the rows of connections: lease, intent, pair and flag. Each write has the condition that
//! [`permits`](crate::model::refresh::permits) states, in DynamoDB's words.

use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use jiff::{SignedDuration, Timestamp};

use super::connections::key;
use super::due::WorkKind;
use super::item::{self, Item, Row, Writer};
use super::{Store, StoreError, complete, failed};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::connection::{Connection, ConnectionStatus, Sealed, SealedToken};
use crate::model::event::Event;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::refresh::{Cause, Intent, Lease, Record, Upkeep, Write};

/// A pair of tokens, sealed to the generation after the one that it replaces.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The access token.
    pub access: SealedToken,
    /// The refresh token.
    pub refresh: SealedToken,
}

/// Every attribute of [`Upkeep`] but the index's.
const ATTRIBUTES: [&str; 11] = [
    "lease_owner",
    "lease_until",
    "intent",
    "intent_since",
    "writer",
    "auth_blocked_until",
    "refresh_failures",
    "denied_at",
    "cause",
    "status_since",
    "refresh_due",
];

impl Store {
    /// Makes a write of an attempt on a connection as it was read, with the event of it if there is one. False if the row
    /// is not as the write expects; a write of this attempt whose answer was lost is recognised.
    pub async fn write_upkeep(
        &self,
        connection: &Connection,
        write: Write,
        record: &Record,
        attempt: &str,
        pair: Option<&Pair>,
        event: Option<&Event>,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let condition = match write {
            Write::Lease if connection.upkeep.due.is_some() => {
                "generation = :seen AND #status IN (:active, :failed) AND refresh_due = :due \
                 AND (attribute_not_exists(lease_until) OR lease_until < :now)"
            }
            Write::Lease => {
                "generation = :seen AND #status IN (:active, :failed) AND attribute_not_exists(refresh_due) \
                 AND (attribute_not_exists(lease_until) OR lease_until < :now)"
            }
            Write::Pair => "generation = :seen",
            Write::End => "generation = :seen AND lease_owner = :attempt",
            Write::Revoked => "generation = :seen AND #status IN (:active, :failed)",
        };
        let mut update = Update::builder()
            .table_name(&self.tables.connections)
            .set_key(Some(key(&connection.tenant, &connection.id)))
            .condition_expression(condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_values(":seen", item::number(connection.generation));
        if matches!(write, Write::Lease | Write::Revoked) {
            update = update
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":active", item::text(ConnectionStatus::Active.as_str()))
                .expression_attribute_values(":failed", item::text(ConnectionStatus::RefreshFailed.as_str()));
        }
        if write == Write::Lease {
            update = update.expression_attribute_values(":now", item::time(now));
            if let Some(due) = connection.upkeep.due {
                update = update.expression_attribute_values(":due", item::time(due));
            }
        }
        if write == Write::End {
            update = update.expression_attribute_values(":attempt", item::text(attempt));
        }
        let mut set = upkeep_item(&record.upkeep)
            .set("status", item::text(record.status.as_str()))
            .set("generation", item::number(record.generation));
        if let Some(pair) = pair {
            set = set.sealed("access", &pair.access).sealed("refresh", &pair.refresh);
        }
        let set = match write {
            // What RingCentral has refused is kept for a while, then erased.
            Write::Revoked => {
                let kept = saturating_add(now, SignedDuration::from_secs(limits::REFUSED_KEPT_SECONDS));
                set.set("refresh_kind", item::text(WorkKind::Erasure.as_str()))
                    .set("refresh_due", item::time(kept))
            }
            Write::Lease | Write::Pair | Write::End => {
                set.set("refresh_kind", item::text(WorkKind::Refresh.as_str()))
            }
        };
        // A pair that lands on a connection that was taken for revoked: its subscription is looked at again.
        let checks = pair.is_some() && connection.subscription.is_some();
        let update = complete(fill(update, set.done(), checks.then_some(now)).build());
        let mut items = vec![TransactWriteItem::builder().update(update).build()];
        items.extend(event.map(|event| self.append(event)));
        let Err(reasons) = self.transact(items).await? else { return Ok(true) };
        if !failed(&reasons, 0) {
            return Err(StoreError::Unavailable("a write with its event".into()));
        }
        let old = reasons.into_iter().next().and_then(|reason| reason.item).map(Row);
        Ok(old.is_some_and(|old| match write {
            Write::Lease => old.maybe_text("lease_owner").as_deref() == Some(attempt),
            Write::Pair => old.maybe_text("writer").as_deref() == Some(attempt),
            Write::End | Write::Revoked => false,
        }))
    }

    /// Erases the tokens of a connection that RingCentral has refused. False if it was authorized again meanwhile.
    pub async fn erase_refused_tokens(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
    ) -> Result<bool, StoreError> {
        let nothing = Sealed::from_record(Vec::new());
        let update = Update::builder()
            .table_name(&self.tables.connections)
            .set_key(Some(key(tenant, id)))
            .condition_expression("refresh_kind = :kind")
            .update_expression(
                "SET access_token = :no, access_key = :no, refresh_token = :no, refresh_key = :no \
                 REMOVE refresh_kind, refresh_due",
            )
            .expression_attribute_values(":kind", item::text(WorkKind::Erasure.as_str()))
            .expression_attribute_values(":no", item::bytes(&nothing));
        let update = TransactWriteItem::builder().update(complete(update.build())).build();
        Ok(self.transact(vec![update]).await?.is_ok())
    }
}

/// Sets what there is, and removes the rest of an upkeep's attributes. With `checks`, the subscription is looked at from
/// then on, unless it is anyhow.
fn fill(
    update: aws_sdk_dynamodb::types::builders::UpdateBuilder,
    set: Item,
    checks: Option<Timestamp>,
) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
    let gone: Vec<&str> = ATTRIBUTES.into_iter().filter(|name| !set.contains_key(*name)).collect();
    let (mut update, mut text) = (update, String::new());
    for (at, (name, value)) in set.into_iter().enumerate() {
        text.push_str(if at == 0 { "SET " } else { ", " });
        text.push_str(&format!("#s{at} = :s{at}"));
        update = update
            .expression_attribute_names(format!("#s{at}"), name)
            .expression_attribute_values(format!(":s{at}"), value);
    }
    if let Some(from) = checks {
        text.push_str(", renewal_kind = :checks, renewal_due = if_not_exists(renewal_due, :from)");
        update = update
            .expression_attribute_values(":checks", item::text(WorkKind::Renewal.as_str()))
            .expression_attribute_values(":from", item::time(from));
    }
    for (at, name) in gone.into_iter().enumerate() {
        text.push_str(if at == 0 { " REMOVE " } else { ", " });
        text.push_str(&format!("#r{at}"));
        update = update.expression_attribute_names(format!("#r{at}"), name);
    }
    update.update_expression(text)
}

fn upkeep_item(upkeep: &Upkeep) -> Writer {
    let text = |value: &String| item::text(value);
    let failures: Option<AttributeValue> = (upkeep.failures > 0).then(|| item::number(upkeep.failures));
    Writer::default()
        .maybe("lease_owner", upkeep.lease.as_ref().map(|lease| text(&lease.owner)))
        .maybe("lease_until", upkeep.lease.as_ref().map(|lease| item::time(lease.until)))
        .maybe("intent", upkeep.intent.as_ref().map(|intent| text(&intent.id)))
        .maybe("intent_since", upkeep.intent.as_ref().map(|intent| item::time(intent.since)))
        .maybe("writer", upkeep.writer.as_ref().map(text))
        .maybe("auth_blocked_until", upkeep.blocked_until.map(item::time))
        .maybe("refresh_failures", failures)
        .maybe("denied_at", upkeep.denied_at.map(item::time))
        .maybe("cause", upkeep.cause.map(|cause| item::text(cause.as_str())))
        .maybe("status_since", upkeep.since.map(item::time))
        .maybe("refresh_due", upkeep.due.map(item::time))
}

pub(super) fn read_upkeep(row: &Row) -> Result<Upkeep, StoreError> {
    let lease = match (row.maybe_text("lease_owner"), row.maybe_time("lease_until")?) {
        (Some(owner), Some(until)) => Some(Lease { owner, until }),
        _ => None,
    };
    let intent = match (row.maybe_text("intent"), row.maybe_time("intent_since")?) {
        (Some(id), Some(since)) => Some(Intent { id, since }),
        _ => None,
    };
    Ok(Upkeep {
        lease,
        intent,
        writer: row.maybe_text("writer"),
        blocked_until: row.maybe_time("auth_blocked_until")?,
        failures: row.maybe_number("refresh_failures")?.unwrap_or(0),
        denied_at: row.maybe_time("denied_at")?,
        cause: row.maybe_text("cause").and_then(|word| Cause::parse(&word)),
        since: row.maybe_time("status_since")?,
        due: row.maybe_time("refresh_due")?,
    })
}
