//! Every five minutes: hands out the shards with webhook subscriptions whose check is due, about once a day each. For each of them,
//! invoked by its queue: renews these subscriptions, creates those again that are gone or were stopped, and discovers changed
//! numbers.

use shared::due_work::{self, DueWorkEvent, DueWorkResponse};
use shared::error::Result;
use shared::gateway::Gateway;
use shared::store::WorkKind;
use shared::{renewal, run};

fn main() -> run::ProcessResult {
    run::event(handle)
}

async fn handle(gateway: &Gateway, event: DueWorkEvent) -> Result<DueWorkResponse> {
    let queue = &gateway.config.work_queues.renewal;
    let work = async |task: &_| renewal::sweep(gateway, task).await;
    Ok(due_work::run(gateway, event, queue, &[WorkKind::Renewal], work).await)
}
