//! The entry points of the function that refreshes: requests by Invoke, and messages of its queue.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::attempt::{AttemptRunner, seconds_until};
use super::deferred::{DeferredPair, store_deferred_pair};
use super::follow_up::RefreshCounts;
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::keepalive::RefreshRequest;
use crate::limits;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::refresh::AttemptOutcome;
use crate::span;

/// The response to a [`RefreshRequest`]: one of the first three fields, and how the call went.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshResponse {
    /// The generation of the stored token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// False: the connection was disconnected or is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected: Option<bool>,
    /// The token endpoint was called, and returned neither a pair nor a denial.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unanswered: bool,
    #[serde(skip)]
    pub counts: RefreshCounts,
}

/// When Lambda stops the process. `lambda_deadline_ms` is Lambda's own value, in milliseconds since 1970; if it is not
/// plausible, the configured timeout counts from now.
pub fn invocation_deadline(gateway: &Gateway, lambda_deadline_ms: u64, timeout_ms: u64) -> Timestamp {
    let now = gateway.clock.now();
    let reported = i64::try_from(lambda_deadline_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let is_plausible =
        |at: &Timestamp| at.duration_since(now).as_secs().abs() <= limits::DEADLINE_PLAUSIBLE_SECONDS;
    let configured = SignedDuration::from_millis(timeout_ms.cast_signed());
    reported.filter(is_plausible).unwrap_or_else(|| saturating_add(now, configured))
}

/// Refreshes a connection, if that is necessary. Ends before the deadline.
///
/// # Errors
/// [`Error::Internal`] for a request without a valid connection, or a connection whose tokens can't be opened.
pub async fn refresh(
    gateway: &Gateway,
    request: &RefreshRequest,
    deadline: Timestamp,
) -> Result<RefreshResponse> {
    let invalid = || Error::Internal { what: "refresh request", source: None };
    let tenant = TenantId::from_record(&request.tenant_id).ok_or_else(invalid)?;
    let connection = ConnectionId::from_record(&request.connection_id).ok_or_else(invalid)?;
    span::set_tenant(&tenant);
    if let Some(id) = &request.request_id {
        span::set_caller_request(id);
    }
    let runner =
        AttemptRunner::new(gateway, tenant, connection, request.generation, request.priority, deadline);
    let (outcome, counts) = runner.run().await?;
    let now = gateway.clock.now();
    let mut response =
        RefreshResponse { unanswered: counts.unanswered > 0, counts, ..RefreshResponse::default() };
    match outcome {
        AttemptOutcome::Refreshed(generation) => response.generation = Some(generation),
        AttemptOutcome::NotConnected => response.connected = Some(false),
        AttemptOutcome::RetryAt(at) => response.retry_after_seconds = Some(seconds_until(now, at)),
        AttemptOutcome::Misconfigured => {
            response.retry_after_seconds = u64::try_from(limits::MISCONFIGURED_RETRY_SECONDS).ok();
        }
    }
    Ok(response)
}

/// A message of the refresh queue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefreshQueueMessage {
    /// A retry that is due.
    Refresh(RefreshRequest),
    /// A pair that could not be stored.
    DeferredPair(DeferredPair),
}

/// # Errors
/// If SQS has to redeliver the message.
pub async fn process_queue_message(
    gateway: &Gateway,
    message: &RefreshQueueMessage,
    deadline: Timestamp,
) -> Result<RefreshCounts> {
    match message {
        // The row contains the outcome and the due time of the next attempt.
        RefreshQueueMessage::Refresh(request) => Ok(refresh(gateway, request, deadline).await?.counts),
        RefreshQueueMessage::DeferredPair(deferred) => store_deferred_pair(gateway, deferred).await,
    }
}
