//! Ending sessions at RingCentral: after a disconnect, a replacement, or a failed attempt to connect.
//!
//! The transaction that deletes a connection stores a revocation. It is tried at once, then by the sweep, three times
//! within a day. Only the function that may open refresh tokens runs it.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::circuit_breaker::{self, Breaker, Permit};
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::keepalive;
use crate::limits;
use crate::model::connection::Revocation;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::refresh::random_jitter_percent;
use crate::model::secret::Secret;
use crate::ringcentral::oauth::RevocableToken;
use crate::ringcentral::{self, AccessToken, ErrorKind, RefreshToken};
use crate::span;
use crate::store::{DueWork, StoreError, WorkKind};
use crate::vault::{Binding, Owner, Purpose, VaultError};

/// A request to the function that may open refresh tokens.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevokeRequest {
    tenant_id: String,
    connection_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RevokeResponse {
    pub outcome: RevocationOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RevocationOutcome {
    /// The session has ended.
    Ended,
    /// It is retried later.
    Pending,
    /// It cannot be ended: the last attempt failed, or its tokens cannot be decrypted. It expires within a week.
    Abandoned,
}

/// Ends the session of a token. Either token ends the whole session. RingCentral counts this call like a token call (group
/// Auth), so it needs a permit of `breaker`. If the store does not respond, no permit can be checked, and no revocation can
/// be stored for later either: the session is ended without a permit then.
///
/// # Errors
/// [`EndSessionError::Rejected`] if the call failed; [`EndSessionError::NotTried`] if it was not made.
pub async fn end_session<'a>(
    gateway: &Gateway,
    mut breaker: Breaker,
    token: impl Into<RevocableToken<'a>>,
) -> Result<(), EndSessionError> {
    let client = gateway.ringcentral_app().await?.with_timeout(Duration::from_millis(limits::TOKEN_CALL_MS));
    match breaker.acquire_permit(gateway).await {
        Ok(Permit::Granted) => {}
        Ok(Permit::RetryAfter(wait)) => {
            let what = "RingCentral's revoke endpoint";
            return Err(Error::Unavailable { what, retry_after: wait, source: None }.into());
        }
        Err(error) => tracing::warn!(
            error = error.chain(),
            "rate limit of the revoke endpoint could not be checked; ending the session anyway"
        ),
    }
    let Err(error) = client.revoke(token).await else {
        breaker.record_response(gateway).await;
        return Ok(());
    };
    match error.kind() {
        ErrorKind::RateLimited => {
            let until = circuit_breaker::penalty_end(gateway, error.retry(), random_jitter_percent());
            breaker.record_rate_limited(gateway, until).await;
        }
        ErrorKind::AppConfiguration => {
            gateway.app_rejected().await;
            breaker.record_response(gateway).await;
        }
        // The session has already ended.
        ErrorKind::Grant(_) => {
            breaker.record_response(gateway).await;
            return Ok(());
        }
        _ => {}
    }
    Err(error.into())
}

#[derive(Debug, thiserror::Error)]
pub enum EndSessionError {
    /// RingCentral did not end the session. This counts as one of the attempts.
    #[error("RingCentral did not end the session")]
    Rejected(#[source] ringcentral::Error),
    /// The call was not possible or did not reach RingCentral: the vault, the app's secret, a penalty, the rate limit or a
    /// proxy prevents it. This does not count as an attempt.
    #[error("the session could not be ended")]
    NotTried(#[source] Error),
    /// The refresh token was erased or is damaged.
    #[error("the refresh token cannot be decrypted")]
    TokenLost,
}

impl From<Error> for EndSessionError {
    fn from(error: Error) -> Self {
        Self::NotTried(error)
    }
}

impl From<ringcentral::Error> for EndSessionError {
    fn from(error: ringcentral::Error) -> Self {
        match error.kind() {
            ErrorKind::AppConfiguration | ErrorKind::RateLimited | ErrorKind::Intermediary => {
                Self::NotTried(Error::unavailable("RingCentral's revoke endpoint", error))
            }
            _ => Self::Rejected(error),
        }
    }
}

impl EndSessionError {
    /// The chain of causes in one line, for the log.
    pub fn chain(&self) -> String {
        match self {
            Self::Rejected(error) => format!("{self}: {error}"),
            Self::NotTried(error) => format!("{self}: {}", error.chain()),
            Self::TokenLost => self.to_string(),
        }
    }
}

/// Invokes the function that may open refresh tokens to run a stored revocation. If that fails, the sweep retries it.
pub async fn request(gateway: &Gateway, tenant: &TenantId, connection: &ConnectionId) {
    let request = RevokeRequest { tenant_id: tenant.to_string(), connection_id: connection.to_string() };
    let payload = serde_json::json!({ "revoke": request });
    if let Err(error) = gateway.functions().call(&gateway.config.refresh_function, &payload).await {
        tracing::warn!(tenant.id = %tenant, connection.id = %connection, error = %error, "refresh function did not respond; the sweep ends the session");
    }
}

/// Runs a stored revocation: deletes the schedule, deletes the subscriptions if the access token is still valid, ends the
/// session, and deletes the tokens.
pub async fn run_revocation(gateway: &Gateway, request: &RevokeRequest) -> Result<RevokeResponse> {
    let invalid = || Error::Internal { what: "revocation request", source: None };
    let tenant = TenantId::from_record(&request.tenant_id).ok_or_else(invalid)?;
    span::set_tenant(&tenant);
    let connection = ConnectionId::from_record(&request.connection_id).ok_or_else(invalid)?;
    let revocation = match gateway.store.revocation(&tenant, &connection).await {
        Ok(Some(revocation)) => revocation,
        Ok(None) => return Ok(RevokeResponse { outcome: RevocationOutcome::Ended }),
        Err(StoreError::Damaged(_)) => {
            // It expires; until then the operator can repair it.
            let now = gateway.clock.now();
            let until = saturating_add(now, SignedDuration::from_secs(limits::UNREADABLE_RETRY_SECONDS));
            let due = DueWork { kind: WorkKind::Revocation, tenant, connection, due_at: now };
            gateway.store.postpone_work(&due, until).await?;
            return Ok(RevokeResponse { outcome: RevocationOutcome::Pending });
        }
        Err(error) => return Err(error.into()),
    };
    let (ended, ()) =
        tokio::join!(try_once(gateway, &revocation), keepalive::delete_schedule(gateway, &connection));
    let error = match ended {
        Ok(()) => {
            gateway.store.delete_revocation(&tenant, &connection).await?;
            tracing::info!(tenant.id = %tenant, connection.id = %connection, "session ended");
            return Ok(RevokeResponse { outcome: RevocationOutcome::Ended });
        }
        Err(error) => error,
    };
    let (attempts, pause) = match &error {
        EndSessionError::TokenLost => (revocation.attempts, None),
        EndSessionError::NotTried(_) => (revocation.attempts, Some(limits::REVOCATION_OBSTACLE_SECONDS)),
        EndSessionError::Rejected(_) => {
            let attempts = revocation.attempts + 1;
            let index = usize::try_from(attempts).unwrap_or(usize::MAX);
            (attempts, limits::REVOCATION_RETRY_SECONDS.get(index).copied())
        }
    };
    let Some(pause) = pause else {
        tracing::error!(tenant.id = %tenant, connection.id = %connection, error = error.chain(), "session could not be ended; it expires within a week");
        gateway.store.delete_revocation(&tenant, &connection).await?;
        return Ok(RevokeResponse { outcome: RevocationOutcome::Abandoned });
    };
    tracing::warn!(tenant.id = %tenant, connection.id = %connection, error = error.chain(), "session could not be ended; it is retried");
    let until = saturating_add(gateway.clock.now(), SignedDuration::from_secs(pause));
    gateway.store.postpone_revocation(&revocation, attempts, until).await?;
    Ok(RevokeResponse { outcome: RevocationOutcome::Pending })
}

async fn try_once(gateway: &Gateway, revocation: &Revocation) -> Result<(), EndSessionError> {
    if !revocation.subscriptions.is_empty()
        && revocation.access.expires_at > gateway.clock.now()
        && let Some(access) = open(gateway, revocation, Purpose::Access).await?
    {
        let api = gateway.ringcentral()?.api(&AccessToken::new(access));
        for subscription in &revocation.subscriptions {
            // If this fails: its events are rejected from now on, and it expires within a week.
            if let Err(error) = api.delete_subscription(subscription).await {
                tracing::warn!(tenant.id = %revocation.tenant, connection.id = %revocation.connection, error = %error, "webhook subscription could not be deleted; it expires within a week");
            }
        }
    }
    let refresh = open(gateway, revocation, Purpose::Refresh).await?.ok_or(EndSessionError::TokenLost)?;
    let breaker = Breaker::for_revocation(&revocation.issuer, &revocation.tenant, &revocation.extension);
    end_session(gateway, breaker, &RefreshToken::new(refresh)).await
}

/// A token of the session; `None` if it never opens.
async fn open(gateway: &Gateway, revocation: &Revocation, purpose: Purpose) -> Result<Option<Secret>> {
    let token = if purpose == Purpose::Access { &revocation.access } else { &revocation.refresh };
    let owner = Owner { tenant: &revocation.tenant, subject: revocation.connection.as_str(), purpose };
    let binding = Binding { generation: revocation.generation, issuer: &revocation.issuer };
    match gateway.vault().open(owner, binding, &token.key, &token.token).await {
        Ok(token) => Ok(Some(token)),
        Err(VaultError::DoesNotOpen) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
