//! What RingCentral's events bring. Each write carries the proof that the event is of the connection that it claims to be
//! of: as a condition on the connection's row, in the same call.

use std::collections::HashSet;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    ConditionCheck, KeysAndAttributes, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use jiff::{SignedDuration, Timestamp};

use super::connections::key;
use super::due::Lane;
use super::item::{self, Row, Writer};
use super::messages::record_key;
use super::{Store, StoreError, complete, failed, failure, is_conditional};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::event::Event;
use crate::model::ids::{ConnectionId, ExtensionId, TenantId};
use crate::model::message::Message;

/// What an event claims to be of, and what shows it.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// Of which connection.
    pub connection: &'a ConnectionId,
    /// SHA-256 of the verification token that came with it. Digests may be compared by a database: how long that takes
    /// tells nothing of the token.
    pub token_digest: &'a str,
    /// The subscription that it names.
    pub subscription: &'a str,
    /// The extension that it names.
    pub owner: Option<&'a ExtensionId>,
}

/// What became of a write that carries a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proven {
    /// It was made.
    Yes,
    /// It was made before.
    Already,
    /// The proof is none.
    No,
}

/// The token of the subscription that is, or for a while that of the one before it; and the owner.
const GENUINE: &str = "((subscription_token_digest = :digest AND subscription = :subscription) \
     OR (previous_token_digest = :digest AND previous_token_until > :now)) AND (extension = :owner OR :owner = :none)";

impl Proof<'_> {
    fn values(&self, now: Timestamp) -> [(&'static str, aws_sdk_dynamodb::types::AttributeValue); 5] {
        [
            (":digest", item::text(self.token_digest)),
            (":subscription", item::text(self.subscription)),
            (":owner", item::text(self.owner.map_or(NONE, ExtensionId::as_str))),
            (":none", item::text(NONE)),
            (":now", item::time(now)),
        ]
    }
}

impl Proof<'_> {
    /// [`GENUINE`], for a row that a write has given back.
    fn is_shown_by(&self, row: &Row, now: Timestamp) -> Result<bool, StoreError> {
        let is = |name: &str, value: &str| row.maybe_text(name).as_deref() == Some(value);
        let current =
            is("subscription_token_digest", self.token_digest) && is("subscription", self.subscription);
        let previous = is("previous_token_digest", self.token_digest)
            && row.maybe_time("previous_token_until")?.is_some_and(|until| until > now);
        Ok((current || previous) && self.owner.is_none_or(|owner| is("extension", owner.as_str())))
    }
}

/// No extension's id.
const NONE: &str = "-";

/// Items of one read, as DynamoDB allows.
const MOST_READ: usize = 100;

impl Store {
    /// Stores a message that an event brings, the tie of its record, and the event to be told, in one transaction.
    pub async fn receive_message(
        &self,
        proof: &Proof<'_>,
        message: &Message,
        event: &Event,
    ) -> Result<Proven, StoreError> {
        self.if_so(self.if_genuine(proof), self.inbound_items(message, event)?).await
    }

    /// The same for a message that the message store has. What proves it is that we could ask: the connection is there.
    pub async fn receive_late(
        &self,
        connection: &ConnectionId,
        message: &Message,
        event: &Event,
    ) -> Result<Proven, StoreError> {
        let check = ConditionCheck::builder()
            .table_name(&self.tables.connections)
            .set_key(Some(key(&message.tenant, connection)))
            .condition_expression("extension = :owner")
            .expression_attribute_values(":owner", item::text(message.extension.as_str()));
        let check = TransactWriteItem::builder().condition_check(complete(check.build())).build();
        self.if_so(check, self.inbound_items(message, event)?).await
    }

    /// Which of these records are tied to a message, by RingCentral's ids.
    pub async fn tied_records(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
        rc_ids: &[String],
    ) -> Result<HashSet<String>, StoreError> {
        let mut tied = HashSet::new();
        for some in rc_ids.chunks(MOST_READ) {
            let keys = some.iter().map(|rc_id| record_key(tenant, extension, rc_id)).collect();
            let keys =
                KeysAndAttributes::builder().set_keys(Some(keys)).projection_expression("#item, message");
            let keys = keys.expression_attribute_names("#item", "item");
            let request =
                self.db.batch_get_item().request_items(&self.tables.messages, complete(keys.build()));
            let answer = request.send().await.map_err(failure)?;
            // What was left unread counts as unknown: to take it in again does nothing.
            let rows = answer.responses.unwrap_or_default().remove(&self.tables.messages);
            for row in rows.unwrap_or_default().into_iter().map(Row) {
                if row.maybe_text("message").is_some() {
                    tied.extend(row.text("item")?.rsplit('#').next().map(str::to_owned));
                }
            }
        }
        Ok(tied)
    }

    async fn if_so(
        &self,
        check: TransactWriteItem,
        items: impl IntoIterator<Item = TransactWriteItem>,
    ) -> Result<Proven, StoreError> {
        let items = std::iter::once(check).chain(items).collect();
        Ok(match self.transact(items).await? {
            Ok(()) => Proven::Yes,
            Err(reasons) if failed(&reasons, 0) => Proven::No,
            Err(_) => Proven::Already,
        })
    }

    /// Keeps an event that was not understood.
    pub async fn quarantine(&self, proof: &Proof<'_>, uuid: &str, body: &str) -> Result<Proven, StoreError> {
        let digest = crate::model::secret::Secret::new(uuid).digest();
        let kept = SignedDuration::from_secs(limits::EVENT_KEPT_SECONDS);
        let now = self.clock.now();
        let kept_item =
            Writer(item::key(proof.tenant, &format!("quarantine#{}#{}", proof.connection, &digest[..32])))
                .set("body", item::text(body))
                .set("at", item::time(now))
                .set("ttl", item::ttl(saturating_add(now, kept)));
        let put = Put::builder()
            .table_name(&self.tables.messages)
            .set_item(Some(kept_item.done()))
            .condition_expression("attribute_not_exists(tenant)");
        let put = TransactWriteItem::builder().put(complete(put.build())).build();
        self.if_so(self.if_genuine(proof), [put]).await
    }

    /// Notes that a connection's messages have changed: the message store is compared in a moment, with all that changes
    /// until then. If the proof is one, gives from when on changes have to be noted again.
    pub async fn note_changes(&self, proof: &Proof<'_>) -> Result<Option<Timestamp>, StoreError> {
        let now = self.clock.now();
        let soon = saturating_add(now, SignedDuration::from_secs(limits::CHANGES_WAIT_SECONDS));
        let update = self
            .note(proof, now, Lane::Sync, soon)
            // Never later than it is due already, or it would never be while there is traffic; and not while RingCentral
            // wants to hear nothing: whoever takes a comparison then puts it off to the end of that.
            .condition_expression(format!(
                "{GENUINE} AND (attribute_not_exists(sync_due) OR sync_due > :due) \
                 AND (attribute_not_exists(quiet_until) OR quiet_until <= :due OR sync_due > quiet_until)"
            ))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match update.send().await {
            Ok(_) => Ok(Some(soon)),
            Err(error) if is_conditional(&error) => {
                let UpdateItemError::ConditionalCheckFailedException(refused) = error.into_service_error()
                else {
                    return Ok(None);
                };
                let row = Row(refused.item.unwrap_or_default());
                if !proof.is_shown_by(&row, now)? {
                    return Ok(None);
                }
                row.maybe_time("sync_due")
            }
            Err(error) => Err(failure(error)),
        }
    }

    /// Notes that an event of a connection could not be stored: the message store is compared now.
    pub async fn note_trouble(&self, proof: &Proof<'_>) -> Result<Proven, StoreError> {
        let now = self.clock.now();
        self.noted(self.note(proof, now, Lane::Sync, now)).await
    }

    /// Notes that something about a connection's extension has changed: its subscription and numbers are looked at now.
    pub async fn note_extension(&self, proof: &Proof<'_>) -> Result<Proven, StoreError> {
        let now = self.clock.now();
        self.noted(self.note(proof, now, Lane::Renewal, now)).await
    }

    async fn noted(&self, update: UpdateItemFluentBuilder) -> Result<Proven, StoreError> {
        match update.condition_expression(GENUINE).send().await {
            Ok(_) => Ok(Proven::Yes),
            Err(error) if is_conditional(&error) => Ok(Proven::No),
            Err(error) => Err(failure(error)),
        }
    }

    /// Makes a connection's work of a lane due.
    fn note(&self, proof: &Proof<'_>, now: Timestamp, lane: Lane, due: Timestamp) -> UpdateItemFluentBuilder {
        let (_, of, at) = lane.index();
        let mut update = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key(proof.tenant, proof.connection)))
            .update_expression(format!("SET {of} = :lane, {at} = :due"))
            .expression_attribute_values(":lane", item::text(lane.as_str()))
            .expression_attribute_values(":due", item::time(due));
        for (name, value) in proof.values(now) {
            update = update.expression_attribute_values(name, value);
        }
        update
    }

    fn if_genuine(&self, proof: &Proof<'_>) -> TransactWriteItem {
        let mut check = ConditionCheck::builder()
            .table_name(&self.tables.connections)
            .set_key(Some(key(proof.tenant, proof.connection)))
            .condition_expression(GENUINE);
        for (name, value) in proof.values(self.clock.now()) {
            check = check.expression_attribute_values(name, value);
        }
        TransactWriteItem::builder().condition_check(complete(check.build())).build()
    }
}
