//! The only function that may open refresh tokens. Other functions, its schedule and its queue start it, never somebody
//! outside.
//!
//! | order | answer |
//! | --- | --- |
//! | `{"tenantId","connectionId","generation"?}` refreshes a connection whose token of that generation is of no use | `{"generation"}`, `{"retryAfterSeconds"}` or `{"connected":false}` |
//! | `{"revoke":{"tenantId","connectionId"}}` ends the session of a connection that was given up | `{"revoked"}` |
//! | a batch of its queue: `{"refresh":{…}}` again, or `{"rescue":{…}}`, a sealed pair that could not be stored | `{"batchItemFailures"}` |

use serde::Deserialize;
use serde_json::{Value, json};
use shared::batch::{self, Batch};
use shared::error::Result;
use shared::gateway::Gateway;
use shared::keepalive::RefreshOrder;
use shared::limits;
use shared::revocation::{self, RevokeOrder};
use shared::run::{self, Invocation};
use shared::telemetry::{self, Metric, Unit};
use shared::tokens::{self, Counted};

/// What it can be told.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Order {
    /// End a session.
    Revoke {
        /// Whose.
        revoke: RevokeOrder,
    },
    /// A batch of the queue.
    Queue(Batch),
    /// Refresh a connection.
    Refresh(RefreshOrder),
}

fn main() -> run::ProcessResult {
    run::invocation(handle)
}

/// Carries out an order.
async fn handle(gateway: &Gateway, invocation: Invocation<Order>) -> Result<Value> {
    let deadline = tokens::deadline(gateway, invocation.deadline_ms, limits::REFRESH_FUNCTION_MS);
    match invocation.payload {
        Order::Revoke { revoke } => Ok(json!(revocation::carry_out(gateway, &revoke).await?)),
        Order::Refresh(order) => {
            let outcome = tokens::refresh(gateway, &order, deadline).await?;
            count(gateway, outcome.counted);
            Ok(json!(outcome))
        }
        Order::Queue(batch) => {
            let again = async |work| {
                count(gateway, tokens::work(gateway, &work, deadline).await?);
                Ok(())
            };
            Ok(json!(batch::process_sqs_batch(batch, again).await))
        }
    }
}

fn count(gateway: &Gateway, counted: Counted) {
    let Counted { refreshed, adopted, lost, in_vain: _ } = counted;
    let mut metrics: Vec<Metric> =
        [("Refreshes", refreshed), ("AdoptedWrites", adopted), ("LostRotations", lost)]
            .map(|(name, of)| (name, Unit::Count, f64::from(of)))
            .into();
    metrics.retain(|(_, _, of)| *of > 0.0);
    telemetry::metrics(gateway, &metrics);
}
