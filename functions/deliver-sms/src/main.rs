//! Triggered by its queue: sends the pending messages of a sender, as fast as RingCentral allows. A queue message only wakes
//! the sender's worker; pending messages are in the table, so a superfluous wake-up does nothing. While a sender sends, its
//! wake-ups also read the statuses of its sent messages.

use shared::error::Result;
use shared::gateway::Gateway;
use shared::sending::{Wakeup, dispatch};
use shared::{message_sync, run};

fn main() -> run::ProcessResult {
    run::queue(handle)
}

async fn handle(gateway: &Gateway, wakeup: Wakeup) -> Result<()> {
    if let Some(sender) = dispatch::run(gateway, &wakeup).await? {
        message_sync::sync_now(gateway, &sender.tenant, &sender.connection).await;
    }
    Ok(())
}
