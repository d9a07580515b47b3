//! What RingCentral's events bring. Each write carries the proof that the event is of the connection that it claims to be
//! of: as a condition on the connection's row, in the same call.

use aws_sdk_dynamodb::types::{ConditionCheck, Put, TransactWriteItem};
use jiff::SignedDuration;

use super::connections::key;
use super::due::Lane;
use super::item::{self, Writer};
use super::messages::item_key;
use super::{Store, StoreError, complete, failed, failure, is_conditional};
use crate::limits;
use crate::model::connection::Gap;
use crate::model::event::Event;
use crate::model::ids::{ConnectionId, ExtensionId, TenantId};
use crate::model::message::Message;
use crate::model::rate::later;

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
    fn values(&self, now: jiff::Timestamp) -> [(&'static str, aws_sdk_dynamodb::types::AttributeValue); 5] {
        [
            (":digest", item::text(self.token_digest)),
            (":subscription", item::text(self.subscription)),
            (":owner", item::text(self.owner.map_or(NONE, ExtensionId::as_str))),
            (":none", item::text(NONE)),
            (":now", item::time(now)),
        ]
    }
}

/// No extension's id.
const NONE: &str = "-";

impl Store {
    /// Stores a message that an event brings, the tie of its record, and the event to be told, in one transaction.
    pub async fn receive_message(
        &self,
        proof: &Proof<'_>,
        message: &Message,
        event: &Event,
    ) -> Result<Proven, StoreError> {
        let mut items = vec![self.if_genuine(proof)];
        items.extend(self.inbound_items(message, event)?);
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
            Writer(item_key(proof.tenant, &format!("quarantine#{}#{}", proof.connection, &digest[..32])))
                .set("body", item::text(body))
                .set("at", item::time(now))
                .set("ttl", item::ttl(later(now, kept)));
        let put = Put::builder()
            .table_name(&self.tables.messages)
            .set_item(Some(kept_item.done()))
            .condition_expression("attribute_not_exists(tenant)");
        let items =
            vec![self.if_genuine(proof), TransactWriteItem::builder().put(complete(put.build())).build()];
        Ok(match self.transact(items).await? {
            Ok(()) => Proven::Yes,
            Err(reasons) if failed(&reasons, 0) => Proven::No,
            Err(_) => Proven::Already,
        })
    }

    /// Notes that a connection's messages have changed: the message store is compared with the next run.
    pub async fn note_changes(&self, proof: &Proof<'_>) -> Result<Proven, StoreError> {
        self.note(proof, Gap::Changed).await
    }

    /// Notes that an event of a connection could not be stored.
    pub async fn note_trouble(&self, proof: &Proof<'_>) -> Result<Proven, StoreError> {
        self.note(proof, Gap::Trouble).await
    }

    /// Has the message store compared now.
    async fn note(&self, proof: &Proof<'_>, gap: Gap) -> Result<Proven, StoreError> {
        let now = self.clock.now();
        let mut update = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key(proof.tenant, proof.connection)))
            .update_expression("SET sync_lane = :lane, sync_due = :now, sync_reason = :reason")
            .condition_expression(GENUINE)
            .expression_attribute_values(":lane", item::text(Lane::Sync.as_str()))
            .expression_attribute_values(":reason", item::text(gap.as_str()));
        for (name, value) in proof.values(now) {
            update = update.expression_attribute_values(name, value);
        }
        match update.send().await {
            Ok(_) => Ok(Proven::Yes),
            Err(error) if is_conditional(&error) => Ok(Proven::No),
            Err(error) => Err(failure(error)),
        }
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
