//! Ending sessions at RingCentral: after a disconnect, a replacement, or an attempt that came to nothing.
//!
//! A revocation is stored in the transaction that gives up the connection, tried at once, then by the sweep, three times
//! within a day. Only the function that may open refresh tokens carries it out.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::circuit_breaker::{self, Member, Pass};
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::keepalive;
use crate::limits;
use crate::model::connection::Revocation;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::refresh::jitter;
use crate::model::secret::Secret;
use crate::ringcentral::oauth::Revocable;
use crate::ringcentral::{self, AccessToken, Kind, RefreshToken};
use crate::vault::{Binding, Owner, Purpose};

/// What the function that may open refresh tokens is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevokeOrder {
    tenant_id: String,
    connection_id: String,
}

/// What it answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RevokeOutcome {
    /// True if the session is ended, now or before.
    pub revoked: bool,
}

/// Ends the session of a token that this process holds. Either token ends the whole session. RingCentral counts this as it
/// counts token calls (group Auth), so `whose` asks for it as for one of these. While nobody can be asked, the store takes
/// no revocation for later either: then the session is ended rather than forgotten.
pub async fn end_session<'a>(
    gateway: &Gateway,
    mut whose: Member,
    token: impl Into<Revocable<'a>>,
) -> Result<(), NotEnded> {
    let client = gateway.ringcentral_app().await?.with_timeout(Duration::from_millis(limits::TOKEN_CALL_MS));
    match whose.pass(gateway).await {
        Ok(Pass::Yes) => {}
        Ok(Pass::After(wait)) => {
            let what = "RingCentral's revoke endpoint";
            return Err(Error::Unavailable { what, retry_after: wait, source: None }.into());
        }
        Err(error) => tracing::warn!(error = error.chain(), "a session is ended uncounted"),
    }
    let Err(error) = client.revoke(token).await else {
        whose.answered(gateway).await;
        return Ok(());
    };
    match error.kind() {
        Kind::RateLimited => {
            whose.limited(gateway, circuit_breaker::ends(gateway, error.retry(), jitter())).await;
        }
        Kind::OurConfiguration => {
            gateway.app_is_refused().await;
            whose.answered(gateway).await;
        }
        // There is nothing left to revoke.
        Kind::Grant(_) => {
            whose.answered(gateway).await;
            return Ok(());
        }
        _ => {}
    }
    Err(error.into())
}

/// Why a session was not ended.
#[derive(Debug, thiserror::Error)]
pub enum NotEnded {
    /// RingCentral did not do it: one of a few attempts.
    #[error("RingCentral did not end a session")]
    RingCentral(#[source] ringcentral::Error),
    /// Something stands in the way (the vault, the app's secret, a penalty, no share left): no attempt was made.
    #[error("a session could not be ended")]
    Ours(#[source] Error),
}

impl From<Error> for NotEnded {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<ringcentral::Error> for NotEnded {
    fn from(error: ringcentral::Error) -> Self {
        match error.kind() {
            Kind::OurConfiguration | Kind::RateLimited => {
                Self::Ours(Error::unavailable("RingCentral's revoke endpoint", error))
            }
            _ => Self::RingCentral(error),
        }
    }
}

impl NotEnded {
    /// The chain of causes in one line, for the log.
    pub fn chain(&self) -> String {
        match self {
            Self::RingCentral(error) => format!("{self}: {error}"),
            Self::Ours(error) => format!("{self}: {}", error.chain()),
        }
    }
}

/// Asks the function that may open refresh tokens to carry out a stored revocation. What fails now, the sweep repeats.
pub async fn request(gateway: &Gateway, tenant: &TenantId, connection: &ConnectionId) {
    let order = RevokeOrder { tenant_id: tenant.to_string(), connection_id: connection.to_string() };
    let payload = serde_json::json!({ "revoke": order });
    if let Err(error) = gateway.functions().call(&gateway.config.refresh_function, &payload).await {
        tracing::warn!(tenant.id = %tenant, error = %error, "a revocation is left for the sweep");
    }
}

/// Carries out a stored revocation: removes the schedule, deletes the subscription while the access token lives, ends the
/// session, forgets the tokens.
pub async fn carry_out(gateway: &Gateway, order: &RevokeOrder) -> Result<RevokeOutcome> {
    let invalid = || Error::Internal { what: "a revocation order", source: None };
    let tenant = TenantId::from_record(&order.tenant_id).ok_or_else(invalid)?;
    let connection = ConnectionId::from_record(&order.connection_id).ok_or_else(invalid)?;
    let Some(revocation) = gateway.store.revocation(&tenant, &connection).await? else {
        return Ok(RevokeOutcome { revoked: true });
    };
    let (ended, ()) = tokio::join!(try_once(gateway, &revocation), keepalive::ended(gateway, &connection));
    let error = match ended {
        Ok(()) => {
            gateway.store.finish_revocation(&tenant, &connection).await?;
            tracing::info!(tenant.id = %tenant, connection.id = %connection, "session ended");
            return Ok(RevokeOutcome { revoked: true });
        }
        Err(error) => error,
    };
    let now = gateway.clock.now();
    let after = |seconds| now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
    let counted = matches!(error, NotEnded::RingCentral(_));
    let attempts = revocation.attempts + u32::from(counted);
    let pause = match limits::REVOCATION_RETRY_SECONDS.get(usize::try_from(attempts).unwrap_or(usize::MAX)) {
        Some(&pause) if counted => pause,
        _ if !counted => limits::REVOCATION_OBSTACLE_SECONDS,
        _ => {
            tracing::error!(tenant.id = %tenant, error = error.chain(), "a session was not ended; it will expire");
            gateway.store.finish_revocation(&tenant, &connection).await?;
            return Ok(RevokeOutcome { revoked: false });
        }
    };
    tracing::warn!(tenant.id = %tenant, error = error.chain(), "a session is not ended yet");
    gateway.store.postpone_revocation(&revocation, attempts, after(pause)).await?;
    Ok(RevokeOutcome { revoked: false })
}

async fn try_once(gateway: &Gateway, revocation: &Revocation) -> Result<(), NotEnded> {
    if let Some(subscription) = &revocation.subscription
        && revocation.access.expires_at > gateway.clock.now()
    {
        let access = AccessToken::new(open(gateway, revocation, Purpose::Access).await?);
        // Its events are refused from now on anyhow, and it lapses within a week.
        if let Err(error) = gateway.ringcentral()?.api(&access).delete_subscription(subscription).await {
            tracing::warn!(tenant.id = %revocation.tenant, error = %error, "a subscription is left to lapse");
        }
    }
    let refresh = RefreshToken::new(open(gateway, revocation, Purpose::Refresh).await?);
    let whose = Member::leaving(&revocation.issuer, &revocation.tenant, &revocation.extension);
    end_session(gateway, whose, &refresh).await
}

async fn open(gateway: &Gateway, revocation: &Revocation, purpose: Purpose) -> Result<Secret> {
    let token = if purpose == Purpose::Access { &revocation.access } else { &revocation.refresh };
    let owner = Owner { tenant: &revocation.tenant, subject: revocation.connection.as_str(), purpose };
    let binding = Binding { generation: revocation.generation, issuer: &revocation.issuer };
    Ok(gateway.vault().open(owner, binding, &token.key, &token.token).await?)
}
