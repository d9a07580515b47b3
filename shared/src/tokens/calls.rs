//! Calls of RingCentral's API for a connection: with a usable token, repeated once after a 401, and not during a penalty.

use std::time::Duration;

use jiff::SignedDuration;

use super::access::{UsableToken, access_token, replace_rejected_token};
use crate::clock::saturating_add;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::limits;
use crate::model::connection::Connection;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::random;
use crate::model::refresh::TokenPriority;
use crate::ringcentral::{self, AccessToken, Api, ErrorKind, Limiter, Retry};
use crate::store::StoreError;

/// Why work for a connection failed.
#[derive(Debug)]
pub enum CallError {
    RingCentral(ringcentral::Error),
    Store(StoreError),
    /// The time for the work has ended.
    Timeout,
    /// There is no usable access token, or the gateway failed in another way.
    Gateway(Error),
}

/// Runs `work` with RingCentral's API for a connection. If RingCentral returns 401, runs it once more, with a new token and
/// the connection as it was read with that token.
///
/// # Errors
/// [`Error::NotConnected`] in [`CallError::Gateway`] if the connection was disconnected or is revoked; otherwise the
/// error of `work`.
pub async fn call<T, F: Future<Output = Result<T, CallError>>>(
    gateway: &Gateway,
    tenant: &TenantId,
    id: &ConnectionId,
    work: impl Fn(Api, Connection) -> F,
) -> Result<T, CallError> {
    call_with_priority(gateway, TokenPriority::Normal, tenant, id, work).await
}

/// [`call`], with the priority of a refresh that it may need.
///
/// # Errors
/// The same as for [`call`].
pub async fn call_with_priority<T, F: Future<Output = Result<T, CallError>>>(
    gateway: &Gateway,
    priority: TokenPriority,
    tenant: &TenantId,
    id: &ConnectionId,
    work: impl Fn(Api, Connection) -> F,
) -> Result<T, CallError> {
    let UsableToken { access, connection } = access_token(gateway, tenant, id, priority).await?;
    let generation = connection.generation;
    match call_with_token(gateway, &access, connection, &work).await {
        Err(CallError::RingCentral(error)) if error.kind() == ErrorKind::AccessToken => {
            let UsableToken { access, connection } =
                replace_rejected_token(gateway, tenant, id, generation).await?;
            call_with_token(gateway, &access, connection, work).await
        }
        result => result,
    }
}

/// Runs `work` once, with the caller's token. All calls of `work` share one limiter: after a 429 no further call is made,
/// and the penalty is stored, so that no other process makes one before it ends.
///
/// # Errors
/// The same as for [`call`].
pub async fn call_with_token<T, F: Future<Output = Result<T, CallError>>>(
    gateway: &Gateway,
    access: &AccessToken,
    connection: Connection,
    work: impl FnOnce(Api, Connection) -> F,
) -> Result<T, CallError> {
    check_rate_limit(gateway, &connection)?;
    let (tenant, id) = (connection.tenant.clone(), connection.id.clone());
    let limiter = Limiter::with_max_wait(Duration::ZERO);
    let api = gateway.ringcentral()?.api(access).with_limiter(&limiter, connection.extension.as_str());
    let result = work(api, connection).await;
    if let Err(CallError::RingCentral(error)) = &result
        && error.kind() == ErrorKind::RateLimited
    {
        store_penalty(gateway, &tenant, &id, error).await?;
    }
    result
}

/// Fails during a penalty: each call would restart it.
///
/// # Errors
/// [`ErrorKind::RateLimited`], with the remaining time.
pub fn check_rate_limit(gateway: &Gateway, connection: &Connection) -> Result<(), CallError> {
    let wait = connection.rate_limited_until.map(|until| until.duration_since(gateway.clock.now()));
    match wait.and_then(|wait| Duration::try_from(wait).ok()).filter(|wait| !wait.is_zero()) {
        Some(wait) => Err(ringcentral::Error::rate_limited("call", wait).into()),
        None => Ok(()),
    }
}

async fn store_penalty(
    gateway: &Gateway,
    tenant: &TenantId,
    id: &ConnectionId,
    error: &ringcentral::Error,
) -> Result<(), CallError> {
    let requested = if let Retry::After(wait) = error.retry() { wait } else { Duration::ZERO };
    let wait = requested.max(Duration::from_secs(limits::PENALTY_SECONDS))
        + Duration::from_millis(random::below(limits::PENALTY_JITTER_MS));
    let until =
        saturating_add(gateway.clock.now(), SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX));
    tracing::warn!(tenant.id = %tenant, connection.id = %id, %until, "RingCentral API rate limit reached");
    gateway.cache.tokens.remove(id.as_str());
    gateway.store.set_rate_limited(tenant, id, until).await?;
    Ok(())
}

impl CallError {
    /// The reason, for the tenant and for the log. RingCentral's support asks for the error code.
    pub fn reason(&self) -> String {
        match self {
            Self::RingCentral(error) => match (error.status(), error.code()) {
                (Some(status), _) if error.kind() == ErrorKind::Intermediary => {
                    format!("a proxy or firewall in front of RingCentral returned {status}")
                }
                (Some(status), _) if error.kind() == ErrorKind::Unreadable => {
                    format!(
                        "the response with status {status} is not RingCentral's JSON; a proxy or firewall may have sent it"
                    )
                }
                (Some(status), Some(code)) => format!("RingCentral returned {status} ({code})"),
                (Some(status), None) => format!("RingCentral returned {status}"),
                (None, _) if error.kind() == ErrorKind::RateLimited => {
                    "RingCentral's rate limit is reached".to_owned()
                }
                (None, _) => "RingCentral did not respond".to_owned(),
            },
            Self::Store(_) => "the gateway's database did not respond".to_owned(),
            Self::Timeout => "RingCentral did not respond in time".to_owned(),
            Self::Gateway(_) => "no usable access token".to_owned(),
        }
    }
}

impl From<ringcentral::Error> for CallError {
    fn from(error: ringcentral::Error) -> Self {
        Self::RingCentral(error)
    }
}

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self::Gateway(error)
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::RingCentral(error) => Self::unavailable("RingCentral", error),
            CallError::Store(error) => error.into(),
            CallError::Timeout => Self::unavailable("RingCentral", "no response in time"),
            CallError::Gateway(error) => error,
        }
    }
}
