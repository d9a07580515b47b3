//! Every five minutes: looks at the subscriptions whose turn has come, about once a day each. Renews them, makes those again
//! that are gone or were stopped, and looks for numbers that have changed.

use lambda_runtime::Error;
use serde::Serialize;
use serde_json::Value;
use shared::gateway::Gateway;
use shared::renewal;

/// What a run has done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Renewed {
    looked_at: usize,
}

/// Looks at what is due.
pub async fn handle(gateway: &Gateway, _schedule: Value) -> Result<Renewed, Error> {
    Ok(Renewed { looked_at: renewal::sweep(gateway).await? })
}
