//! How far a connection's messages were compared with RingCentral's message store, in the connection's row.

use aws_sdk_dynamodb::types::ReturnValue;
use jiff::{SignedDuration, Timestamp};

use super::connections::key;
use super::due::Due;
use super::item::{self, Row};
use super::{Store, StoreError, failure, is_conditional};
use crate::model::rate::later;

impl Store {
    /// Takes a comparison: nobody else finds it for the next two minutes. Gives until when, and the token where it goes on;
    /// `None` if somebody else was faster.
    pub async fn take_sync(&self, due: &Due) -> Result<Option<(Timestamp, Option<String>)>, StoreError> {
        let until = later(self.clock.now(), SignedDuration::from_mins(2));
        let taken = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key(&due.tenant, &due.connection)))
            .update_expression("SET sync_due = :until")
            .condition_expression("sync_due = :seen")
            .expression_attribute_values(":seen", item::time(due.at))
            .expression_attribute_values(":until", item::time(until))
            .return_values(ReturnValue::AllOld)
            .send()
            .await;
        match taken {
            Ok(answer) => {
                let old = Row(answer.attributes.unwrap_or_default());
                Ok(Some((until, old.maybe_text("sync_token"))))
            }
            Err(error) if is_conditional(&error) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }

    /// Writes how far a comparison came, after everything up to there was stored, and when the next one is due. If one was
    /// asked for meanwhile, that stays due.
    pub async fn commit_sync(
        &self,
        due: &Due,
        taken: Timestamp,
        token: &str,
        next: Timestamp,
    ) -> Result<(), StoreError> {
        let update = || {
            self.db
                .update_item()
                .table_name(&self.tables.connections)
                .set_key(Some(key(&due.tenant, &due.connection)))
                .expression_attribute_values(":token", item::text(token))
        };
        let committed = update()
            .update_expression("SET sync_token = :token, sync_due = :next REMOVE sync_reason")
            .condition_expression("sync_due = :taken")
            .expression_attribute_values(":taken", item::time(taken))
            .expression_attribute_values(":next", item::time(next))
            .send()
            .await;
        match committed {
            Ok(_) => return Ok(()),
            Err(error) if is_conditional(&error) => {}
            Err(error) => return Err(failure(error)),
        }
        let token_only = update()
            .update_expression("SET sync_token = :token")
            .condition_expression("attribute_exists(tenant)")
            .send()
            .await;
        match token_only {
            Ok(_) => Ok(()),
            Err(error) if is_conditional(&error) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }

    /// A connection that can't be used any more has nothing to compare.
    pub async fn end_sync(&self, due: &Due) -> Result<(), StoreError> {
        let ended = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key(&due.tenant, &due.connection)))
            .update_expression("REMOVE sync_lane, sync_due")
            .condition_expression("attribute_exists(tenant)")
            .send()
            .await;
        match ended {
            Ok(_) => Ok(()),
            Err(error) if is_conditional(&error) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }
}
