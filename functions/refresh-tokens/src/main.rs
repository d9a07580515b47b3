//! The only function that may open refresh tokens. Other functions, schedules and its queue invoke it; it has no public
//! route.
//!
//! | event | response |
//! | --- | --- |
//! | `{"tenantId","connectionId","generation"?}` refreshes a connection whose token of that generation can't be used | `{"generation"}`, `{"retryAfterSeconds"}` or `{"connected":false}` |
//! | `{"revoke":{"tenantId","connectionId"}}` ends the session of a deleted connection | `{"outcome"}` |
//! | a batch of its queue: `{"refresh":{…}}` again, or `{"deferredPair":{…}}`, a sealed pair that could not be stored | `{"batchItemFailures"}` |

use serde::Deserialize;
use serde_json::{Value, json};
use shared::batch::{self, SqsBatch};
use shared::error::Result;
use shared::gateway::Gateway;
use shared::keepalive::RefreshRequest;
use shared::limits;
use shared::revocation::{self, RevocationOutcome, RevokeRequest};
use shared::run::{self, Invocation};
use shared::telemetry::{self, Metric, Unit};
use shared::tokens::{self, RefreshCounts};

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RefreshEvent {
    Revoke { revoke: RevokeRequest },
    Queue(SqsBatch),
    Refresh(RefreshRequest),
}

fn main() -> run::ProcessResult {
    run::invocation(handle)
}

async fn handle(gateway: &Gateway, invocation: Invocation<RefreshEvent>) -> Result<Value> {
    let deadline = tokens::invocation_deadline(gateway, invocation.deadline_ms, limits::REFRESH_FUNCTION_MS);
    match invocation.payload {
        RefreshEvent::Revoke { revoke } => {
            let response = revocation::run_revocation(gateway, &revoke).await?;
            if response.outcome == RevocationOutcome::Abandoned {
                telemetry::metrics(gateway, &[("SessionsAbandoned", Unit::Count, 1.0)]);
            }
            Ok(json!(response))
        }
        RefreshEvent::Refresh(request) => {
            let response = tokens::refresh(gateway, &request, deadline).await?;
            write_metrics(gateway, response.counts);
            Ok(json!(response))
        }
        RefreshEvent::Queue(batch) => {
            let process = async |message| {
                write_metrics(gateway, tokens::process_queue_message(gateway, &message, deadline).await?);
                Ok(())
            };
            Ok(json!(batch::process_sqs_batch(batch, process).await))
        }
    }
}

fn write_metrics(gateway: &Gateway, counts: RefreshCounts) {
    let RefreshCounts { refreshed, adopted, lost, unanswered: _ } = counts;
    let mut metrics: Vec<Metric> =
        [("Refreshes", refreshed), ("AdoptedWrites", adopted), ("LostRotations", lost)]
            .map(|(name, of)| (name, Unit::Count, f64::from(of)))
            .into();
    metrics.retain(|(_, _, of)| *of > 0.0);
    telemetry::metrics(gateway, &metrics);
}
