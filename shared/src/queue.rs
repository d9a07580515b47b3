//! SQS: messages to other functions, which are redelivered until they are processed.

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use serde::Serialize;

use crate::error::Error;

#[derive(Debug, Clone)]
pub struct Queues(aws_sdk_sqs::Client);

/// A failed request, with its error code. The message may have been sent.
#[derive(Debug, thiserror::Error)]
#[error("SQS: {0}")]
pub struct QueueError(String);

impl From<QueueError> for Error {
    fn from(error: QueueError) -> Self {
        Self::unavailable("the queue", error)
    }
}

/// The longest delay that SQS supports.
pub const MAX_DELAY_SECONDS: i32 = 900;

impl Queues {
    pub fn new(client: aws_sdk_sqs::Client) -> Self {
        Self(client)
    }

    /// Sends a message with a delay of at most [`MAX_DELAY_SECONDS`]. The message group is the tenant, if there is one: SQS is fair
    /// between the groups of a queue ("fair queues"), so that one tenant's messages do not delay those of others.
    pub async fn put(
        &self,
        queue_url: &str,
        group: &str,
        message: &impl Serialize,
        delay_seconds: i32,
    ) -> Result<(), QueueError> {
        let body = serde_json::to_string(message).map_err(|error| QueueError(error.to_string()))?;
        let delay = delay_seconds.clamp(0, MAX_DELAY_SECONDS);
        let request = self.0.send_message().queue_url(queue_url).message_body(body);
        let request = request.message_group_id(group);
        let request = if delay > 0 { request.delay_seconds(delay) } else { request };
        request.send().await.map(|_| ()).map_err(failure)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn failure<E: ProvideErrorMetadata>(error: SdkError<E>) -> QueueError {
    QueueError(
        error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or("no response").to_owned(),
    )
}
