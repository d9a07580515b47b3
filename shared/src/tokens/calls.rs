//! Calls of RingCentral's API in a connection's name: with a token that may be used, once more with another one after a
//! refusal, and none while a penalty lasts.

use std::time::Duration;

use jiff::SignedDuration;

use super::Usable;
use crate::clock::saturating_add;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::limits;
use crate::model::connection::Connection;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::random;
use crate::ringcentral::{self, AccessToken, Api, Kind, Limiter, Retry};
use crate::store::StoreError;

/// Why something in a connection's name failed.
#[derive(Debug)]
pub enum Failure {
    /// RingCentral refuses, or does not answer.
    RingCentral(ringcentral::Error),
    /// The store does not answer.
    Store(StoreError),
    /// It took too long.
    Timeout,
    /// There is no access token to be had, or something else of ours fails.
    Ours(Error),
}

/// Does something with RingCentral's API in a connection's name. It is done once more if RingCentral answers 401, with
/// another token and the connection as it was read with that.
///
/// # Errors
/// [`Error::NotConnected`] in [`Failure::Ours`] if the connection is gone or revoked; else what has failed.
pub async fn call<T, F: Future<Output = Result<T, Failure>>>(
    gateway: &Gateway,
    tenant: &TenantId,
    id: &ConnectionId,
    work: impl Fn(Api, Connection) -> F,
) -> Result<T, Failure> {
    let Usable { access, connection } = super::usable(gateway, tenant, id).await?;
    let generation = connection.generation;
    match call_with(gateway, &access, connection, &work).await {
        Err(Failure::RingCentral(error)) if error.kind() == Kind::AccessToken => {
            let Usable { access, connection } = super::after_refusal(gateway, tenant, id, generation).await?;
            call_with(gateway, &access, connection, work).await
        }
        outcome => outcome,
    }
}

/// The same with a token that the caller has, and no second try. Whatever is done shares one limiter: after a 429 no
/// further call leaves, and what was refused is written down, so that nobody makes one until the penalty is over.
///
/// # Errors
/// As [`call`].
pub async fn call_with<T, F: Future<Output = Result<T, Failure>>>(
    gateway: &Gateway,
    access: &AccessToken,
    connection: Connection,
    work: impl FnOnce(Api, Connection) -> F,
) -> Result<T, Failure> {
    heed_penalty(gateway, &connection)?;
    let (tenant, id) = (connection.tenant.clone(), connection.id.clone());
    let limiter = Limiter::with_max_wait(Duration::ZERO);
    let api = gateway.ringcentral()?.api(access).with_limiter(&limiter, connection.extension.as_str());
    let outcome = work(api, connection).await;
    if let Err(Failure::RingCentral(error)) = &outcome
        && error.kind() == Kind::RateLimited
    {
        note_penalty(gateway, &tenant, &id, error).await?;
    }
    outcome
}

/// Fails while a penalty lasts: every call would begin it anew.
///
/// # Errors
/// [`Kind::RateLimited`], with the wait.
pub fn heed_penalty(gateway: &Gateway, connection: &Connection) -> Result<(), Failure> {
    let wait = connection.rate_limited_until.map(|until| until.duration_since(gateway.clock.now()));
    match wait.and_then(|wait| Duration::try_from(wait).ok()).filter(|wait| !wait.is_zero()) {
        Some(wait) => Err(ringcentral::Error::limited("call", wait).into()),
        None => Ok(()),
    }
}

async fn note_penalty(
    gateway: &Gateway,
    tenant: &TenantId,
    id: &ConnectionId,
    error: &ringcentral::Error,
) -> Result<(), Failure> {
    let asked = if let Retry::After(wait) = error.retry() { wait } else { Duration::ZERO };
    let wait = asked.max(Duration::from_secs(limits::PENALTY_SECONDS))
        + Duration::from_millis(random::below(limits::PENALTY_JITTER_MS));
    let until =
        saturating_add(gateway.clock.now(), SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX));
    tracing::warn!(tenant.id = %tenant, connection.id = %id, %until, "RingCentral's limit is reached");
    gateway.cache.tokens.remove(id.as_str());
    gateway.store.set_rate_limited(tenant, id, until).await?;
    Ok(())
}

impl Failure {
    /// A sentence for the tenant. RingCentral's code, where there is one, is what support will ask for.
    pub fn sentence(&self) -> String {
        match self {
            Self::RingCentral(error) => match (error.status(), error.code()) {
                (Some(status), Some(code)) => format!("RingCentral answered {status} {code}"),
                (Some(status), None) => format!("RingCentral answered {status}"),
                (None, _) if error.kind() == Kind::RateLimited => "RingCentral's limit is reached".to_owned(),
                (None, _) => "RingCentral did not answer".to_owned(),
            },
            Self::Store(_) => "our store did not answer".to_owned(),
            Self::Timeout => "RingCentral did not answer in time".to_owned(),
            Self::Ours(_) => "there is no usable access token at present".to_owned(),
        }
    }
}

impl From<ringcentral::Error> for Failure {
    fn from(error: ringcentral::Error) -> Self {
        Self::RingCentral(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::RingCentral(error) => Self::unavailable("RingCentral", error),
            Failure::Store(error) => error.into(),
            Failure::Timeout => Self::unavailable("RingCentral", "no answer in time"),
            Failure::Ours(error) => error,
        }
    }
}
