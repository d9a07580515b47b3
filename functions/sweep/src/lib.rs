//! Every minute: finishes what a crash or an outage left undone. One piece of work that fails is logged and never
//! stops the rest.

use lambda_runtime::Error;
use serde::Serialize;
use serde_json::Value;
use shared::gateway::Gateway;
use shared::{deletion, delivery, disconnect, sending, setup, tokens};

/// What a run has done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    set_ups_finished: usize,
    revocations_tried: usize,
    tenants_erased: usize,
    refreshes_tried: usize,
    deliveries_due: usize,
    senders_rung: usize,
}

/// Takes what is overdue in each lane.
pub async fn handle(gateway: &Gateway, _schedule: Value) -> Result<Swept, Error> {
    let (set_ups, revocations, tenants, refreshes, deliveries, senders) = tokio::join!(
        setup::sweep(gateway),
        disconnect::sweep(gateway),
        deletion::sweep(gateway),
        tokens::sweep(gateway),
        delivery::sweep(gateway),
        sending::ring_due(gateway)
    );
    Ok(Swept {
        set_ups_finished: set_ups?,
        revocations_tried: revocations?,
        tenants_erased: tenants?,
        refreshes_tried: refreshes?,
        deliveries_due: deliveries?,
        senders_rung: senders?,
    })
}
