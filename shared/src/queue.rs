//! SQS: work that is handed to another function and repeated until it is done.

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use serde::Serialize;

use crate::error::Error;
use crate::model::ids::TenantId;

/// Puts work into queues.
#[derive(Debug, Clone)]
pub struct Queues(aws_sdk_sqs::Client);

/// Why a queue did not take a piece of work. It may have taken it all the same.
#[derive(Debug, thiserror::Error)]
#[error("SQS: {0}")]
pub struct QueueError(String);

impl From<QueueError> for Error {
    fn from(error: QueueError) -> Self {
        Self::unavailable("a queue", error)
    }
}

/// The longest that SQS holds back a piece of work, in seconds.
pub const MAX_DELAY_SECONDS: i32 = 900;

impl Queues {
    /// Queues reached through this client.
    pub fn new(client: aws_sdk_sqs::Client) -> Self {
        Self(client)
    }

    /// Puts a piece of a tenant's work into a queue, held back for some seconds (at most [`MAX_DELAY_SECONDS`]). SQS is
    /// fair between tenants that share a queue ("fair queues"): one that fills it does not delay the others.
    pub async fn put(
        &self,
        queue_url: &str,
        tenant: &TenantId,
        work: &impl Serialize,
        delay_seconds: i32,
    ) -> Result<(), QueueError> {
        let body = serde_json::to_string(work).map_err(|error| QueueError(error.to_string()))?;
        let delay = delay_seconds.clamp(0, MAX_DELAY_SECONDS);
        let request = self.0.send_message().queue_url(queue_url).message_body(body);
        let request = request.message_group_id(tenant.as_str());
        let request = if delay > 0 { request.delay_seconds(delay) } else { request };
        request.send().await.map(|_| ()).map_err(failure)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn failure<E: ProvideErrorMetadata>(error: SdkError<E>) -> QueueError {
    QueueError(
        error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or("no answer").to_owned(),
    )
}
