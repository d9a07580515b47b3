//! The only function that may open refresh tokens. It is invoked by other functions, never from outside.
//!
//! Order: `{"revoke":{"tenantId","connectionId"}}`, which ends the session of a connection that was given up; answer
//! `{"revoked":true}`.

use lambda_runtime::Error;
use serde::Deserialize;
use shared::gateway::Gateway;
use shared::revocation::{self, RevokeOrder, RevokeOutcome};

/// What it can be told.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    revoke: RevokeOrder,
}

/// Carries out an order.
pub async fn handle(gateway: &Gateway, order: Order) -> Result<RevokeOutcome, Error> {
    Ok(revocation::carry_out(gateway, &order.revoke).await?)
}
