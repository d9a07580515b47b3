//! DynamoDB, one file per thing that is kept.
//!
//! Methods speak the product's words. Most are one DynamoDB call or one transaction; lists, batches and erasing take
//! several. A write that somebody else may race states what it expects, and losing is a named outcome, not an error; any
//! other may be made twice. Reads begin with the tenant, or with the digest of a secret
//! that the caller presented; what crosses tenants says so in its name. Keys and attribute names are known here only.

mod apps;
mod audit;
mod circuit_breaker;
mod connect_tokens;
mod connection_item;
mod connections;
mod deletions;
mod deliveries;
mod due;
mod events;
mod inbound;
mod item;
mod keepalive;
mod keys;
mod message_sync;
mod messages;
mod numbers;
mod outbox;
mod query;
mod rate_limits;
mod refresh;
mod revocations;
mod senders;
mod subscriptions;
mod tenants;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, KeysAndAttributes, TransactWriteItem, WriteRequest};

pub use apps::AppChange;
pub(crate) use apps::{SealedSecret, SigningSecrets};
pub use circuit_breaker::ProbeOutcome;
pub use connect_tokens::{ClaimFlowOutcome, DeleteFlowOutcome, StartFlowOutcome};
pub use connections::{ExtensionOwner, NewConnection, StoreConnectionOutcome};
pub use deletions::{Holding, Unfinished};
pub use deliveries::{DueDelivery, Entered, Outcome, moment_of};
pub use due::{ClaimOutcome, DueWork, WorkKind};
pub use events::event_of_image;
pub use inbound::{EventAuth, InboundOutcome, SyncRequested};
pub use keepalive::KeepaliveEntry;
pub use keys::KeyChange;
pub use message_sync::{BackfillRange, ClaimedSync, SyncCommit, SyncProgress};
pub use messages::{Correlation, EarlyReportOutcome, MessageFilter, StoredRecord};
pub use numbers::Inventory;
pub use outbox::{AcceptOutcome, DueSender, Idempotency, PendingIn, StoredResponse};
pub use rate_limits::{LogCountOutcome, SlotCountOutcome};
pub use senders::{LeaseOutcome, LeaseUpdate, SaveOutcome, SenderLease};
pub use subscriptions::SubscriptionCheck;
pub use tenants::{Changed, TenantChange};

use crate::cache::TtlCache;
use crate::clock::Clock;
use crate::error::Error;
use crate::limits;
use crate::model::random;

/// Names of the tables.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Tenants, their apps and keys.
    pub tenants: String,
    /// Links and flows.
    pub connect_tokens: String,
    /// Connections, numbers, unfinished revocations.
    pub connections: String,
    /// Which tenant has which extension.
    pub extensions: String,
    /// Counters, and when apps were last used.
    pub rate_limits: String,
    /// Who did what.
    pub audit: String,
    /// What happened, as the tenants' programs are told.
    pub events: String,
    /// Events on their way to apps.
    pub deliveries: String,
    /// Messages, and what waits to be sent.
    pub messages: String,
}

/// A part of a list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// How many entries at most.
    pub limit: u32,
    /// Where the part before it ended.
    pub after: Option<String>,
}

impl Page {
    fn rows(&self) -> i32 {
        i32::try_from(self.limit).unwrap_or(i32::MAX).max(1)
    }
}

/// Everything that is kept.
#[derive(Debug, Clone)]
pub struct Store {
    db: aws_sdk_dynamodb::Client,
    tables: Arc<Tables>,
    clock: Arc<dyn Clock>,
    /// Senders whose active marker this process has set.
    active_senders: Arc<TtlCache<()>>,
}

/// Why the store could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB does not answer, or refuses at present: its word for it. A write may have been applied all the same.
    #[error("DynamoDB: {0}")]
    Unavailable(String),
    /// A record is not as this version of the product writes it.
    #[error("a record has no readable {0}")]
    Damaged(&'static str),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable {
                what: "the store",
                retry_after: Duration::from_secs(5),
                source: Some(error.into()),
            },
            StoreError::Damaged(_) => Self::internal("the store", error),
        }
    }
}

impl Store {
    /// A store in these tables.
    pub fn new(db: aws_sdk_dynamodb::Client, tables: Tables, clock: Arc<dyn Clock>) -> Self {
        Self {
            db,
            tables: Arc::new(tables),
            clock,
            active_senders: Arc::new(TtlCache::at_most(limits::REMEMBERED)),
        }
    }

    /// Asks every table for an item that isn't there, for the readiness check.
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
            probe(&tables.audit, &["tenant", "place"]),
            probe(&tables.events, &["tenant", "item"]),
            probe(&tables.deliveries, &["tenant", "item"]),
            probe(&tables.messages, &["tenant", "item"]),
        )
        .map(|_| ())
        .map_err(failure)
    }

    /// The items of one table that have these keys, at most 100, in any order; none of those that are absent.
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

    /// Writes many items of one table; what DynamoDB leaves undone is repeated.
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

    /// A transaction. `Ok(Err(reasons))` if a condition did not hold, with one reason per item, in order; conflicts with
    /// other transactions are repeated a few times.
    async fn transact(
        &self,
        items: Vec<TransactWriteItem>,
    ) -> Result<Result<(), Vec<CancellationReason>>, StoreError> {
        // The same token makes the SDK's own retries recognisable as one transaction.
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
            // By chance, so that those that met once don't meet again.
            tokio::time::sleep(Duration::from_millis(5 + random::below(20 << attempt))).await;
        }
        unreachable!("the loop ends by returning")
    }
}

/// How often a transaction that conflicts with another is repeated.
const TRANSACTION_ATTEMPTS: u64 = 5;

/// True if the reason at a place says that its condition did not hold.
fn failed(reasons: &[CancellationReason], at: usize) -> bool {
    reasons.get(at).and_then(CancellationReason::code) == Some("ConditionalCheckFailed")
}

/// An SDK error by what it means. Its code alone is kept: texts may repeat what was sent.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn failure<E: ProvideErrorMetadata>(error: SdkError<E>) -> StoreError {
    let code = match &error {
        SdkError::ServiceError(service) => service.err().code().unwrap_or("unknown"),
        SdkError::DispatchFailure(_) => "no answer",
        SdkError::TimeoutError(_) => "no answer in time",
        SdkError::ResponseError(_) => "unreadable answer",
        _ => "the request could not be built",
    };
    StoreError::Unavailable(code.to_owned())
}

/// True if a single write was refused because its condition did not hold.
fn is_conditional<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("ConditionalCheckFailedException")
}

/// True if a single write was refused because a transaction has the item in hand.
fn is_conflict<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("TransactionConflictException")
}

/// The outcome of a write with a condition.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    Applied,
    /// The item changed after it was read. Nothing was written: read it again.
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

/// True if a single write was made, false if its condition did not hold.
fn made<T, E: ProvideErrorMetadata>(answer: Result<T, SdkError<E>>) -> Result<bool, StoreError> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if is_conditional(&error) => Ok(false),
        Err(error) => Err(failure(error)),
    }
}

/// A builder of the SDK that lacks nothing.
fn complete<T>(built: Result<T, aws_sdk_dynamodb::error::BuildError>) -> T {
    built.expect("every required member was set")
}
