//! Every minute: hands out the shards with connections whose message sync is due. For each of them, invoked by its queue: syncs
//! these connections with RingCentral's message store, and stores the messages that no event announced.

use shared::due_work::{self, DueWorkEvent, DueWorkResponse};
use shared::error::Result;
use shared::gateway::Gateway;
use shared::store::WorkKind;
use shared::{message_sync, run};

fn main() -> run::ProcessResult {
    run::event(handle)
}

/// A connection that fails does not stop the others.
async fn handle(gateway: &Gateway, event: DueWorkEvent) -> Result<DueWorkResponse> {
    let queue = &gateway.config.work_queues.sync;
    let work = async |task: &_| message_sync::sweep(gateway, task).await;
    Ok(due_work::run(gateway, event, queue, &[WorkKind::Sync], work).await)
}
