//! Erases deleted tenants, page by page. Its queue hands out shards with due deletions; a deletion that takes longer than a run goes
//! on in the next one.

use shared::batch::{BatchResponse, SqsBatch};
use shared::error::Result;
use shared::gateway::Gateway;
use shared::{deletion, due_work, run};

fn main() -> run::ProcessResult {
    run::event(handle)
}

async fn handle(gateway: &Gateway, batch: SqsBatch) -> Result<BatchResponse> {
    let queue = &gateway.config.work_queues.erasure;
    Ok(due_work::process_tasks(gateway, batch, queue, async |task| deletion::sweep(gateway, task).await)
        .await)
}
