//! DynamoDB, one file per kind of record.
//!
//! Methods take and return domain types. Most are one DynamoDB call or one transaction; lists, batches and erasure take
//! several. A write that may race with another one is conditional, and losing the race is a named outcome, not an error. Every
//! other write is idempotent. Reads start from a tenant, or from the digest of a secret that the caller presented; a method
//! that reads across tenants says so in its name. Only this module knows keys and attribute names.

mod apps;
mod audit;
mod circuit_breaker;
mod connect_tokens;
mod connection_item;
mod connections;
mod consents;
mod deletions;
mod deliveries;
mod due;
mod error;
mod events;
mod idempotency;
mod inbound;
mod item;
mod keepalive;
mod keys;
mod media;
mod message_sync;
mod messages;
mod numbers;
mod outbox;
mod quarantine;
mod query;
mod rate_limits;
mod readable;
mod refresh;
mod revocations;
mod senders;
mod settings;
mod subscriptions;
mod tenants;
mod unreadable;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, KeysAndAttributes, TransactWriteItem, WriteRequest};

pub use apps::AppChange;
pub(crate) use apps::{SealedSecret, SigningSecrets};
pub use circuit_breaker::ProbeOutcome;
pub use connect_tokens::{ClaimFlowOutcome, DeleteFlowOutcome, StartFlowOutcome};
pub use connections::{ExtensionOwner, NewConnection, RemovableConnection, StoreConnectionOutcome};
pub use consents::ConsentFilter;
pub use deletions::{DueDeletion, TenantTable};
pub use deliveries::{AttemptRecord, DueDelivery, SlotOutcome, time_of_position};
pub use due::{ClaimOutcome, DueWork, WorkKind};
pub use error::StoreError;
pub use events::EventPage;
pub use idempotency::{Idempotency, IdempotentOutcome};
pub use inbound::{EventAuth, InboundOutcome, SyncRequested};
pub use keepalive::KeepaliveEntry;
pub use keys::{AddedKey, KeyChange};
pub use media::{DueMedia, Upload};
pub use message_sync::{BackfillRange, ClaimedSync, SyncCommit, SyncProgress};
pub use messages::{Correlation, EarlyReportOutcome, MessageFilter, NumberedPage, StoredRecord};
pub use numbers::Inventory;
pub use outbox::{DueSend, DueSender, OutboxHead, PendingIn, StoredResponse};
pub use quarantine::QuarantinedRecord;
pub use rate_limits::LogCountOutcome;
pub use senders::{LeaseOutcome, LeaseUpdate, SaveOutcome, SenderLease};
pub use subscriptions::SubscriptionCheck;
pub use tenants::{ChangeOutcome, StoredTenant, TenantChange};
pub use unreadable::UnreadableRow;

use crate::cache::TtlCache;
use crate::clock::Clock;
use crate::limits;
use crate::model::media::MediaUrls;
use crate::model::random;

/// Names of the tables.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Tenants, apps and keys.
    pub tenants: String,
    /// Links and flows.
    pub connect_tokens: String,
    /// Connections, numbers, unfinished revocations.
    pub connections: String,
    /// Which tenant has which extension.
    pub extensions: String,
    /// Counters, and when keys were last used.
    pub rate_limits: String,
    pub audit: String,
    pub events: String,
    /// Deliveries, and the health of endpoints.
    pub deliveries: String,
    /// Messages, and the outbox of each sender.
    pub messages: String,
    /// Consents and their history.
    pub consents: String,
    /// Records that could not be read.
    pub quarantine: String,
}

/// A request for one page of a list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Most entries of the page.
    pub limit: u32,
    /// The position where the previous page ended.
    pub after: Option<String>,
}

impl Page {
    fn rows(&self) -> i32 {
        i32::try_from(self.limit).unwrap_or(i32::MAX).max(1)
    }
}

#[derive(Debug, Clone)]
pub struct Store {
    db: aws_sdk_dynamodb::Client,
    tables: Arc<Tables>,
    media_urls: MediaUrls,
    clock: Arc<dyn Clock>,
    /// Senders whose active marker this process has set.
    active_senders: Arc<TtlCache<()>>,
    unreadable: Arc<unreadable::UnreadableRows>,
}

impl Store {
    pub fn new(
        db: aws_sdk_dynamodb::Client,
        tables: Tables,
        media_urls: MediaUrls,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            db,
            tables: Arc::new(tables),
            media_urls,
            clock,
            active_senders: Arc::new(TtlCache::with_capacity(limits::CACHE_ENTRIES)),
            unreadable: Arc::default(),
        }
    }

    /// Reads a nonexistent item of every table, for the readiness check.
    pub async fn check(&self) -> Result<(), StoreError> {
        let tables = &self.tables;
        let probe = |table: &str, keys: &[&str]| {
            let request = self.db.get_item().table_name(table);
            keys.iter().fold(request, |request, key| request.key(*key, item::text("readiness"))).send()
        };
        tokio::try_join!(
            probe(&tables.tenants, &["tenant", "item"]),
            probe(&tables.connect_tokens, &["id"]),
            probe(&tables.connections, &["tenant", "item"]),
            probe(&tables.extensions, &["extension"]),
            probe(&tables.rate_limits, &["counter"]),
            probe(&tables.audit, &["tenant", "position"]),
            probe(&tables.events, &["tenant", "item"]),
            probe(&tables.deliveries, &["tenant", "item"]),
            probe(&tables.messages, &["tenant", "item"]),
            probe(&tables.consents, &["tenant", "item"]),
            probe(&tables.quarantine, &["tenant", "item"]),
        )
        .map(|_| ())
        .map_err(failure)
    }

    /// Reads up to 100 items of one table. The result is in any order and lacks those that do not exist.
    async fn rows_by_key(&self, table: &str, keys: Vec<item::Item>) -> Result<Vec<item::Row>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true);
        let request = self.db.batch_get_item().request_items(table, complete(keys.build()));
        let answer = request.send().await.map_err(failure)?;
        if answer.unprocessed_keys.is_some_and(|keys| !keys.is_empty()) {
            return Err(StoreError::Unavailable("unprocessed keys".into()));
        }
        let rows = answer.responses.unwrap_or_default().remove(table).unwrap_or_default();
        Ok(rows.into_iter().map(item::Row).collect())
    }

    /// Writes items of one table and repeats those that DynamoDB leaves unprocessed.
    async fn write_all(&self, table: &str, mut writes: Vec<WriteRequest>) -> Result<(), StoreError> {
        for attempt in 0..6_u32 {
            let request = self.db.batch_write_item().request_items(table, writes);
            let answer = request.send().await.map_err(failure)?;
            writes = answer.unprocessed_items.unwrap_or_default().remove(table).unwrap_or_default();
            if writes.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50 << attempt)).await;
        }
        Err(StoreError::Unavailable("unprocessed items".into()))
    }

    /// `Ok(Err(reasons))` if a condition failed, with one reason per item, in order. A conflict with another transaction is
    /// retried.
    async fn transact(
        &self,
        items: Vec<TransactWriteItem>,
    ) -> Result<Result<(), Vec<CancellationReason>>, StoreError> {
        // The token makes the SDK's own retries idempotent.
        let token = crate::model::secret::Secret::random().expose()[..32].to_owned();
        for attempt in 0_u64.. {
            let request = self.db.transact_write_items().set_transact_items(Some(items.clone()));
            let Err(error) = request.client_request_token(format!("{token}{attempt}")).send().await else {
                return Ok(Ok(()));
            };
            let reasons = match &error {
                SdkError::ServiceError(service) => match service.err() {
                    TransactWriteItemsError::TransactionCanceledException(canceled) => {
                        canceled.cancellation_reasons()
                    }
                    _ => return Err(failure(error)),
                },
                _ => return Err(failure(error)),
            };
            let codes: Vec<_> = reasons.iter().filter_map(CancellationReason::code).collect();
            if codes.contains(&"ConditionalCheckFailed") {
                return Ok(Err(reasons.to_vec()));
            }
            if attempt == TRANSACTION_ATTEMPTS || !codes.contains(&"TransactionConflict") {
                return Err(failure(error));
            }
            // With jitter, so that the same transactions do not conflict again.
            tokio::time::sleep(Duration::from_millis(5 + random::below(20 << attempt))).await;
        }
        unreachable!("the loop ends by returning")
    }
}

/// Retries of a transaction that conflicts with another one.
const TRANSACTION_ATTEMPTS: u64 = 5;

/// True if the condition of the item at this index failed.
fn failed(reasons: &[CancellationReason], at: usize) -> bool {
    reasons.get(at).and_then(CancellationReason::code) == Some("ConditionalCheckFailed")
}

/// Keeps only the code of an SDK error: its message may repeat request data.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn failure<E: ProvideErrorMetadata>(error: SdkError<E>) -> StoreError {
    let code = match &error {
        SdkError::ServiceError(service) => service.err().code().unwrap_or("unknown"),
        SdkError::DispatchFailure(_) => "no response",
        SdkError::TimeoutError(_) => "timeout",
        SdkError::ResponseError(_) => "unreadable response",
        _ => "invalid request",
    };
    StoreError::Unavailable(code.to_owned())
}

/// True if the condition of a single write failed.
fn is_conditional<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("ConditionalCheckFailedException")
}

/// True if a single write conflicted with a transaction.
fn is_conflict<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("TransactionConflictException")
}

/// Whether a conditional write was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum WriteOutcome {
    Applied,
    /// The condition failed: another writer was faster. Nothing was written.
    Conflict,
}

impl WriteOutcome {
    fn applied_if(condition_held: bool) -> Self {
        if condition_held { Self::Applied } else { Self::Conflict }
    }

    pub fn is_applied(self) -> bool {
        self == Self::Applied
    }
}

/// The outcome of a single conditional write.
fn write_outcome<T, E: ProvideErrorMetadata>(
    response: Result<T, SdkError<E>>,
) -> Result<WriteOutcome, StoreError> {
    Ok(WriteOutcome::applied_if(made(response)?))
}

/// True if a single conditional write was applied.
fn made<T, E: ProvideErrorMetadata>(answer: Result<T, SdkError<E>>) -> Result<bool, StoreError> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if is_conditional(&error) => Ok(false),
        Err(error) => Err(failure(error)),
    }
}

/// Builds an SDK type whose required members are all set.
fn complete<T>(built: Result<T, aws_sdk_dynamodb::error::BuildError>) -> T {
    built.expect("every required member was set")
}
