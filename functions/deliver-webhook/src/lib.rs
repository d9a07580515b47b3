//! The queues of deliveries, first tries in one and later ones in the other: posts events to the apps' addresses. It can
//! open webhook secrets, and no token.

use lambda_runtime::Error;
use shared::batch::{self, Answer, Batch};
use shared::delivery::{self, Work};
use shared::gateway::Gateway;

/// Tries what the queue says is due; what could not even be looked at is offered again.
pub async fn handle(gateway: &Gateway, batch: Batch) -> Result<Answer, Error> {
    Ok(batch::process_sqs_batch(batch, async |work: Work| delivery::attempt(gateway, &work).await).await)
}
