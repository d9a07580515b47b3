//! Requests with an idempotency key: one transaction stores the effect of the request together with its response.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use jiff::SignedDuration;
use serde_json::Value;

use super::item::{self, Writer};
use super::{Store, StoreError, complete, failed};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::secret::Secret;

/// The idempotency key of a request.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The digest of the caller's key.
    pub digest: String,
    /// The digest of the request's content.
    pub fingerprint: String,
}

impl Idempotency {
    pub fn of(key: &str, content: &Value) -> Self {
        let digest = |text: &str| Secret::new(text).digest();
        Self { digest: digest(key), fingerprint: digest(&content.to_string()) }
    }
}

/// The outcome of a request that may have an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdempotentOutcome<T> {
    Applied,
    /// An earlier request has used the key; its response.
    Replayed(T),
    /// A request with the same key is being processed.
    InProgress,
    /// The condition of another item of the transaction failed. Nothing was applied.
    Refused,
}

impl Store {
    /// The part of a transaction that stores the response of a request, unless the key has one that has not expired.
    pub(super) fn put_response(&self, table: &str, row: Writer, key: &Idempotency) -> TransactWriteItem {
        let now = self.clock.now();
        let kept = saturating_add(now, SignedDuration::from_secs(limits::IDEMPOTENCY_KEPT_SECONDS));
        let row = row
            .set("fingerprint", item::text(&key.fingerprint))
            .set("expires_at", item::time(kept))
            .set("ttl", item::ttl(kept));
        let put = Put::builder()
            .table_name(table)
            .set_item(Some(row.done()))
            .condition_expression("attribute_not_exists(tenant) OR expires_at <= :now")
            .expression_attribute_values(":now", item::time(now));
        TransactWriteItem::builder().put(complete(put.build())).build()
    }

    /// Applies a transaction whose last item is the response, if there is a key. `stored` reads the response of an earlier request,
    /// which takes precedence over every other condition.
    pub(super) async fn transact_once<T>(
        &self,
        items: Vec<TransactWriteItem>,
        key: Option<&Idempotency>,
        stored: impl AsyncFnOnce(&Idempotency) -> Result<Option<T>, StoreError>,
    ) -> Result<IdempotentOutcome<T>, StoreError> {
        let response = items.len() - 1;
        match (self.transact(items).await, key) {
            (Ok(Ok(())), _) => Ok(IdempotentOutcome::Applied),
            (Ok(Err(reasons)), Some(key)) if failed(&reasons, response) => {
                let stored = stored(key).await?;
                Ok(stored.map_or(IdempotentOutcome::InProgress, IdempotentOutcome::Replayed))
            }
            (Ok(Err(_)), _) => Ok(IdempotentOutcome::Refused),
            // Every attempt conflicted with another request that has the same key.
            (Err(StoreError::Unavailable(code)), Some(_)) if code == "TransactionCanceledException" => {
                Ok(IdempotentOutcome::InProgress)
            }
            (Err(error), _) => Err(error),
        }
    }
}
