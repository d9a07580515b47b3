//! Every minute: compares the messages of each connection whose turn has come with RingCentral's message store, and takes
//! in what no event has brought.

use lambda_runtime::Error;
use serde::Serialize;
use serde_json::Value;
use shared::gateway::Gateway;
use shared::message_sync;

/// What a run has done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    connections: usize,
}

/// Takes the connections that are due; one that fails does not stop the others.
pub async fn handle(gateway: &Gateway, _schedule: Value) -> Result<Compared, Error> {
    Ok(Compared { connections: message_sync::sweep(gateway).await? })
}
