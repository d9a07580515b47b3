//! Deferred writes: sealed pairs that could not be stored, on their way through the refresh queue.

use data_encoding::BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::follow_up::RefreshCounts;
use super::follow_up::after_refresh;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::model::connection::{Connection, Revocation, Sealed, SealedPair, SealedToken};
use crate::model::event::EventKind;
use crate::model::ids::{ConnectionId, ExtensionId, TenantId};
use crate::model::refresh::{
    AttemptEffect, AttemptEvent, AttemptState, RefreshAttempt, RefreshRow, TokenResponse, half_life,
    random_jitter_percent, step,
};
use crate::span;
use crate::store::WriteOutcome;

/// A sealed pair that could not be stored, as a queue message. It is stored without being opened.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeferredPair {
    tenant_id: String,
    connection_id: String,
    extension_id: String,
    issuer: String,
    /// The generation that the pair replaces.
    generation: u64,
    /// Id of the attempt that received the pair.
    attempt: String,
    access: DeferredToken,
    refresh: DeferredToken,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeferredToken {
    /// Base64.
    token: String,
    /// Base64.
    key: String,
    expires_at: Timestamp,
}

impl DeferredPair {
    /// The pair that `attempt` has received for a connection.
    pub(super) fn new(connection: &Connection, attempt: &str, pair: &SealedPair) -> Self {
        Self {
            tenant_id: connection.tenant.to_string(),
            connection_id: connection.id.to_string(),
            extension_id: connection.extension.to_string(),
            issuer: connection.issuer.clone(),
            generation: connection.generation,
            attempt: attempt.to_owned(),
            access: DeferredToken::new(&pair.access),
            refresh: DeferredToken::new(&pair.refresh),
        }
    }

    fn pair(&self) -> Option<SealedPair> {
        Some(SealedPair { access: self.access.sealed()?, refresh: self.refresh.sealed()? })
    }
}

impl DeferredToken {
    fn new(token: &SealedToken) -> Self {
        Self {
            token: BASE64.encode(token.token.as_bytes()),
            key: BASE64.encode(token.key.as_bytes()),
            expires_at: token.expires_at,
        }
    }

    fn sealed(&self) -> Option<SealedToken> {
        let decode = |text: &String| BASE64.decode(text.as_bytes()).ok().map(Sealed::from_record);
        Some(SealedToken {
            token: decode(&self.token)?,
            key: decode(&self.key)?,
            expires_at: self.expires_at,
        })
    }
}

/// Stores a deferred pair, under the same condition as the attempt that received it. If the connection was disconnected
/// meanwhile, the pair's session is left to be revoked.
///
/// # Errors
/// If the store fails, or the row has changed since it was read: SQS redelivers the message.
pub(super) async fn store_deferred_pair(gateway: &Gateway, deferred: &DeferredPair) -> Result<RefreshCounts> {
    let invalid = || Error::Internal { what: "deferred pair", source: None };
    let tenant = TenantId::from_record(&deferred.tenant_id).ok_or_else(invalid)?;
    let id = ConnectionId::from_record(&deferred.connection_id).ok_or_else(invalid)?;
    span::set_tenant(&tenant);
    let pair = deferred.pair().ok_or_else(invalid)?;
    let now = gateway.clock.now();
    let Some(connection) = gateway.store.connection(&tenant, &id).await? else {
        let extension = ExtensionId::parse(&deferred.extension_id).ok_or_else(invalid)?;
        revoke_later(gateway, deferred, tenant, id, extension, pair).await?;
        return Ok(RefreshCounts::default());
    };
    if connection.generation != deferred.generation {
        return Ok(RefreshCounts::default());
    }
    let state = AttemptState::CallingTokenEndpoint(RefreshRow::from(&connection));
    let attempt = RefreshAttempt {
        id: &deferred.attempt,
        stale_generation: None,
        now,
        deadline: now,
        wait_until: now,
        jitter_percent: random_jitter_percent(),
    };
    let (_, effect) = step(state, AttemptEvent::Responded(TokenResponse::NewPair), &attempt);
    let AttemptEffect::Write(write, mut row) = effect else { return Ok(RefreshCounts::default()) };
    row.refresh_state.due = Some(half_life(now, pair.refresh.expires_at, attempt.jitter_percent));
    let event = (row.status != connection.status)
        .then(|| row.applied_to(&connection).event(EventKind::ExtensionStatus, now));
    let outcome = gateway
        .store
        .write_refresh(&connection, write, &row, &deferred.attempt, Some(&pair), event.as_ref())
        .await?;
    match outcome {
        WriteOutcome::Applied => {
            tracing::info!(tenant.id = %tenant, connection.id = %id, "deferred token pair stored");
            after_refresh(gateway, &connection, &row).await;
            Ok(RefreshCounts { refreshed: 1, ..RefreshCounts::default() })
        }
        WriteOutcome::Conflict => {
            Err(Error::unavailable("the store", "the connection of a deferred pair has changed"))
        }
    }
}

/// Stores a revocation of the pair's session. It replaces a revocation of the older pair, if that is still pending.
async fn revoke_later(
    gateway: &Gateway,
    deferred: &DeferredPair,
    tenant: TenantId,
    connection: ConnectionId,
    extension: ExtensionId,
    pair: SealedPair,
) -> Result<()> {
    let pending = gateway.store.revocation(&tenant, &connection).await?;
    let (subscriptions, attempts) =
        pending.map(|pending| (pending.subscriptions, pending.attempts)).unwrap_or_default();
    let revocation = Revocation {
        tenant,
        connection,
        extension,
        issuer: deferred.issuer.clone(),
        generation: deferred.generation + 1,
        access: pair.access,
        refresh: pair.refresh,
        subscriptions,
        attempts,
    };
    Ok(gateway.store.create_revocation(&revocation).await?)
}
