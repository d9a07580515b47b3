//! Triggered by its queue: sends the pending messages of a sender, as fast as RingCentral allows. A queue message only wakes
//! the sender's worker; pending messages are in the table, so a superfluous wake-up does nothing.

use shared::error::Result;
use shared::gateway::Gateway;
use shared::run;
use shared::sending::{Wakeup, dispatch};

fn main() -> run::ProcessResult {
    run::queue(handle)
}

async fn handle(gateway: &Gateway, wakeup: Wakeup) -> Result<()> {
    dispatch::run(gateway, &wakeup).await
}
