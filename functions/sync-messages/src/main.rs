//! Every minute: syncs the connections that are due with RingCentral's message store, and stores the messages that
//! no event announced.

use serde::Serialize;
use serde_json::Value;
use shared::error::Result;
use shared::gateway::Gateway;
use shared::{message_sync, run};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SyncSummary {
    connections: usize,
}

fn main() -> run::ProcessResult {
    run::event(handle)
}

/// A connection that fails does not stop the others.
async fn handle(gateway: &Gateway, _schedule: Value) -> Result<SyncSummary> {
    Ok(SyncSummary { connections: message_sync::sweep(gateway).await? })
}
