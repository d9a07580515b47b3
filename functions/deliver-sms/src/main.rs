//! Sends the pending messages of a sender, at RingCentral's pace. The queue says only which sender to work on; the table
//! holds the messages, so a repeated queue message does nothing.

use shared::error::Result;
use shared::gateway::Gateway;
use shared::run;
use shared::sending::Ring;
use shared::sending::dispatch;

fn main() -> run::ProcessResult {
    run::queue(handle)
}

async fn handle(gateway: &Gateway, ring: Ring) -> Result<()> {
    dispatch::run(gateway, &ring).await
}
