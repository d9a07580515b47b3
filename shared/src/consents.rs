//! Recording what was learned about consents: one place merges it into what is known.

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::consent::{Consent, ConsentPair, ConsentReport, ConsentState, ConsentUpdate};
use crate::model::ids::TenantId;
use crate::retry::{Attempt, retry_on_conflict};
use crate::store::WriteOutcome;

/// Merges a report into a consent, with its history entry and event. Returns the consent with it. A report that is late or repeated
/// changes nothing.
///
/// # Errors
/// If the store fails; the report may then be recorded again.
pub async fn record(
    gateway: &Gateway,
    tenant: &TenantId,
    pair: &ConsentPair,
    report: &ConsentReport,
    note: Option<&str>,
) -> Result<Consent> {
    let exhausted = || Error::unavailable("a consent that keeps changing", "recording a report");
    retry_on_conflict(limits::CONFLICT_ATTEMPTS, exhausted, || async {
        let current = gateway.store.consent(tenant, pair).await?;
        let now = gateway.clock.now();
        let Some(update) = ConsentUpdate::of(tenant, pair, current.as_ref(), report, note, now) else {
            let unchanged = || Consent {
                tenant: tenant.clone(),
                pair: pair.clone(),
                state: ConsentState::default(),
                version: 0,
            };
            return Ok(Attempt::Done(current.unwrap_or_else(unchanged)));
        };
        Ok(match gateway.store.apply_consent(&update).await? {
            WriteOutcome::Applied => {
                tracing::info!(tenant.id = %tenant, consent.status = update.entry.status.as_str(),
                    consent.source = report.source.as_str(), "consent recorded");
                Attempt::Done(update.consent)
            }
            WriteOutcome::Conflict => Attempt::Conflict,
        })
    })
    .await
}
