//! Rung by its queue: sends what waits for a sender, at RingCentral's pace. The queue says only that there is something; what
//! there is, is in the table, so a ring too many does nothing.

use lambda_runtime::Error;
use shared::batch::{self, Answer, Batch};
use shared::gateway::Gateway;
use shared::sending::dispatch;

/// Works on the lane of each sender that was rung.
pub async fn handle(gateway: &Gateway, batch: Batch) -> Result<Answer, Error> {
    Ok(batch::process_sqs_batch(batch, async |ring| dispatch::run(gateway, &ring).await).await)
}
