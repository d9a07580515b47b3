//! Every five minutes: checks the webhook subscriptions that are due, each about once a day. Renews them, creates those
//! again that are gone or were stopped, and discovers changed numbers.

use serde::Serialize;
use serde_json::Value;
use shared::error::Result;
use shared::gateway::Gateway;
use shared::{renewal, run};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RenewalSummary {
    checked: usize,
}

fn main() -> run::ProcessResult {
    run::event(handle)
}

async fn handle(gateway: &Gateway, _schedule: Value) -> Result<RenewalSummary> {
    Ok(RenewalSummary { checked: renewal::sweep(gateway).await? })
}
